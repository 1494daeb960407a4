"""Bytes of a call: JSON, and the msgpack dialect with dates, decimals and arrays (R-25).

numpy is used only if a value holds arrays, which means that the user's code has imported it, or if
received bytes do. msgpack is imported with the first binary call. Objects are never unpickled.
"""

import math
import sys
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from pydantic_core import PydanticSerializationError, from_json, to_json, to_jsonable_python

from chains_protocol.errors import Code
from truss_chains.errors import ChainsRuntimeError

if TYPE_CHECKING:
    from numpy import dtype

_DATA: Final = b"data"
_ND: Final = b"nd"
_TYPE: Final = b"type"
_KIND: Final = b"kind"
_SHAPE: Final = b"shape"
_NO_OBJECTS: Final = (
    "arrays of Python objects can't be sent: give the array a numeric, string or structured dtype"
)


def encode(value: object, *, binary: bool) -> bytes:
    """Msgpack or JSON of `value`."""
    return encode_binary(value) if binary else encode_json(value)


def decode(data: bytes, *, binary: bool) -> Any:
    """The value of a msgpack or JSON text; `ValueError` if it is none."""
    return decode_binary(data) if binary else decode_json(data)


# --- JSON ----------------------------------------------------------------------------------------------


def encode_json(value: object) -> bytes:
    """JSON of a JSON-able value or a pydantic model.

    Raises:
        ValueError: the value can't be written.
    """
    try:
        return to_json(value, by_alias=True, inf_nan_mode="constants")
    except PydanticSerializationError as error:
        raise ValueError(str(error)) from error


def decode_json(data: bytes) -> Any:
    """The value of a JSON text; `ValueError` if it is none."""
    return from_json(data)


# --- msgpack: writing ----------------------------------------------------------------------------------


def encode_binary(value: object) -> bytes:
    """Msgpack of a Python-mode value (R-25).

    Raises:
        ValueError: the value can't be written, object arrays among them.
        ChainsRuntimeError: CH510, msgpack is not installed.
    """
    msgpack = _load_msgpack()
    try:
        packed: bytes = msgpack.packb(value, default=_to_map, use_bin_type=True)
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"the value can't be written as msgpack: {error}") from error
    return packed


def _to_map(value: object) -> object:
    numpy = sys.modules.get("numpy")
    if numpy is not None:  # first: some of its scalars are also Python numbers
        if isinstance(value, numpy.ndarray):
            return _array_map(value)
        if isinstance(value, numpy.generic):
            return _scalar_map(value)
    for cls, write in _WRITERS.items():
        if isinstance(value, cls):
            return write(value)
    # What a Python-mode dump may also hold (enums, sets, paths, URLs) is written as in JSON.
    return to_jsonable_python(value, by_alias=True)


def _datetime_map(value: datetime) -> dict[bytes, object]:
    text = value.isoformat()
    if text.endswith("+00:00"):
        text = text[: -len("+00:00")] + "Z"
    return {b"__dt_datetime_iso__": True, _DATA: text}


def _time_map(value: time) -> dict[bytes, object]:
    if value.tzinfo is not None:
        raise ValueError("a time with a time zone can't be sent: send a datetime instead")
    return {b"__dt_time_iso__": True, _DATA: value.isoformat()}


_WRITERS: Final[Mapping[type, Callable[[Any], object]]] = {
    datetime: _datetime_map,  # before date: a datetime is a date
    date: lambda v: {b"__dt_date_iso__": True, _DATA: v.isoformat()},
    time: _time_map,
    timedelta: lambda v: {b"__dt_timedelta__": True, _DATA: [v.days, v.seconds, v.microseconds]},
    Decimal: lambda v: {b"__decimal__": True, _DATA: str(v)},
    UUID: lambda v: {b"__uuid__": True, _DATA: str(v)},
    complex: lambda v: {b"complex": True, _DATA: repr(v)},
}


def _array_map(array: Any) -> dict[bytes, object]:
    """`array` is a numpy.ndarray; numpy's types are not known when it is not installed."""
    if array.dtype.hasobject:
        raise ValueError(_NO_OBJECTS)
    structured = array.dtype.names is not None
    raw = array if array.flags.c_contiguous else array.copy(order="C")
    return {
        _ND: True,
        _TYPE: array.dtype.descr if structured else array.dtype.str,
        _KIND: b"V" if structured else b"",
        _SHAPE: list(array.shape),
        # A view of the bytes avoids a copy; an empty array has none.
        _DATA: raw.reshape(-1).view("u1").data if raw.nbytes else b"",
    }


def _scalar_map(scalar: Any) -> dict[bytes, object]:
    """`scalar` is a numpy.generic."""
    if scalar.dtype.hasobject:
        raise ValueError(_NO_OBJECTS)
    described = scalar.dtype.str if scalar.dtype.names is None else scalar.dtype.descr
    return {_ND: False, _TYPE: described, _DATA: scalar.tobytes()}


# --- msgpack: reading ----------------------------------------------------------------------------------


def decode_binary(data: bytes) -> Any:
    """The value of a msgpack text in the dialect of R-25.

    Arrays own their memory and are writable.

    Raises:
        ValueError: not msgpack, or a marked map that does not hold what its mark says; also
            for pickled objects, which are never read.
        ChainsRuntimeError: CH510, msgpack or numpy is not installed.
    """
    msgpack = _load_msgpack()
    try:
        return msgpack.unpackb(data, object_hook=_from_map, raw=False, strict_map_key=True)
    except (msgpack.UnpackException, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a valid msgpack text: {error!r}") from error


def _from_map(value: dict[Any, Any]) -> object:
    if _DATA not in value:
        return value
    if _ND in value and _TYPE in value:
        return _to_array(value)
    if len(value) == 2:
        for mark, read in _READERS.items():
            if value.get(mark) is True:
                return _read_marked(mark, read, value[_DATA])
    return value


def _read_marked(mark: bytes, read: Callable[[Any], object], data: object) -> object:
    try:
        return read(data)
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise ValueError(f"a value marked `{mark.decode()}` can't be read: {error}") from error


_READERS: Final[Mapping[bytes, Callable[[Any], object]]] = {
    b"__dt_datetime_iso__": datetime.fromisoformat,
    b"__dt_date_iso__": date.fromisoformat,
    b"__dt_time_iso__": time.fromisoformat,
    b"__dt_timedelta__": lambda d: timedelta(*d),
    b"__decimal__": Decimal,
    b"__uuid__": UUID,
    b"complex": complex,
}


def _to_array(value: dict[Any, Any]) -> object:
    raw = value[_DATA]
    if value.get(_KIND) in (b"O", "O"):
        raise ValueError(_NO_OBJECTS)
    if not isinstance(raw, bytes):  # an int would ask for that much memory
        raise ValueError("an array without bytes")
    numpy = load_numpy()
    try:
        kind = _to_dtype(numpy, value[_TYPE])
        shape = tuple(value.get(_SHAPE, ())) if value[_ND] else ()
        if math.prod(shape) * kind.itemsize != len(raw):
            raise ValueError(f"{len(raw)} bytes don't fill shape {shape} of {kind}")
        array = numpy.ndarray(shape, kind, bytearray(raw))
    except ValueError:
        raise
    except (TypeError, SyntaxError) as error:
        raise ValueError(f"an array can't be read: {error}") from error
    return array if value[_ND] else array[()]


def _to_dtype(numpy: Any, described: object) -> "dtype[Any]":
    """`numpy` is the module. Lists of the wire become the tuples that numpy wants."""
    if isinstance(described, list):
        fields = [tuple(tuple(p) if isinstance(p, list) else p for p in field) for field in described]
        found: dtype[Any] = numpy.dtype(fields)
    else:
        found = numpy.dtype(described.decode() if isinstance(described, bytes) else described)
    if found.hasobject:
        raise ValueError(_NO_OBJECTS)
    return found


# --- optional modules ----------------------------------------------------------------------------------


def _load_msgpack() -> Any:
    try:
        import msgpack  # type: ignore[import-untyped]  # it ships no types
    except ImportError as error:
        raise missing_module("msgpack", "binary calls (`use_binary`)") from error
    return msgpack


def load_numpy() -> Any:
    """The module numpy, typed `Any` because it may be absent where types are checked.

    Raises:
        ChainsRuntimeError: CH510, it is not installed.
    """
    try:
        import numpy
    except ImportError as error:
        raise missing_module("numpy", "arrays") from error
    return numpy


def missing_module(name: str, purpose: str) -> ChainsRuntimeError:
    """The error for an optional module that is needed now and is not installed (CH510)."""
    return ChainsRuntimeError(
        f"the module `{name}` is needed for {purpose} and is not installed here; install it with "
        f"`pip install {name}`. In deployed Chainlets it is present automatically.",
        code=Code.MISSING_OPTIONAL_MODULE,
    )


__all__ = [
    "decode",
    "decode_binary",
    "decode_json",
    "encode",
    "encode_binary",
    "encode_json",
    "load_numpy",
    "missing_module",
]
