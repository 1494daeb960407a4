"""A numpy array as a field of a pydantic model. numpy is imported with the first value."""

import ast
import base64
import binascii
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import core_schema

from truss_chains.codec import load_numpy

if TYPE_CHECKING:
    from numpy import dtype, ndarray
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

_JSON_SCHEMA: Final = {
    "type": "object",
    "title": "NumpyArray",
    "properties": {
        "data_b64": {
            "type": "string",
            "contentEncoding": "base64",
            "description": "the array's bytes in C order",
        },
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "dtype": {"type": "string", "description": "numpy's name of the element type"},
    },
    "required": ["data_b64", "shape", "dtype"],
    "examples": [{"data_b64": "AAAAAAAA8D8=", "shape": [1], "dtype": "float64"}],
}


class NumpyArrayField:
    """Field type for an array of any shape and dtype except `object`.

    It takes a `numpy.ndarray` (kept, not copied), another field, or what it is dumped to: in JSON
    `{"data_b64": ..., "shape": [...], "dtype": ...}`. A Python-mode dump holds the array itself, which binary
    calls carry as raw bytes. Arrays read from JSON are writable.

    Example:
        class Frame(pydantic.BaseModel):
            pixels: NumpyArrayField

        Frame(pixels=numpy.zeros((4, 4))).pixels.array.sum()
    """

    def __init__(self, array: "ndarray[Any, Any]") -> None:
        self.array = array

    def __repr__(self) -> str:
        return f"NumpyArrayField(shape={self.array.shape}, dtype={self.array.dtype}, data={self.array!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NumpyArrayField):
            return NotImplemented
        same_type = self.array.dtype == other.array.dtype
        return same_type and bool(load_numpy().array_equal(self.array, other.array))

    __hash__ = None  # type: ignore[assignment]  # the array may change

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: "GetCoreSchemaHandler"
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: "GetJsonSchemaHandler"
    ) -> "JsonSchemaValue":
        return dict(_JSON_SCHEMA)

    @classmethod
    def _validate(cls, value: object) -> "NumpyArrayField":
        if isinstance(value, NumpyArrayField):
            value = value.array
        if isinstance(value, Mapping):
            return cls(_read(value))
        numpy = load_numpy()
        if not isinstance(value, numpy.ndarray):
            raise ValueError(
                "expected a numpy array or an object with `data_b64`, `shape` and `dtype`, "
                f"got `{type(value).__name__}`"
            )
        _refuse_objects(value.dtype)
        return cls(value)


def _dump(field: NumpyArrayField, info: core_schema.SerializationInfo) -> object:
    """The array itself in Python mode, its JSON form in JSON mode (N-03)."""
    array = field.array
    _refuse_objects(array.dtype)
    if info.mode == "python":
        return array
    return {
        "data_b64": base64.b64encode(array.tobytes()).decode("ascii"),
        "shape": list(array.shape),
        "dtype": str(array.dtype if array.dtype.names is None else array.dtype.descr),
    }


def _read(value: Mapping[Any, Any]) -> "ndarray[Any, Any]":
    numpy = load_numpy()
    data, shape, name = (value.get(key) for key in ("data_b64", "shape", "dtype"))
    if not isinstance(data, str) or not isinstance(name, str) or not isinstance(shape, list | tuple):
        raise ValueError("an array needs `data_b64` (text), `shape` (list of integers) and `dtype` (text)")
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape):
        raise ValueError(f"`shape` must hold integers from 0 on, got {shape!r}")
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"`data_b64` is not base64: {error}") from error
    kind = _dtype(numpy, name)
    if math.prod(shape) * kind.itemsize != len(raw):
        raise ValueError(f"`data_b64` holds {len(raw)} bytes, which don't fill shape {shape} of {name}")
    # Over a bytearray of its own, so that the array is writable.
    array: ndarray[Any, Any] = numpy.ndarray(tuple(shape), kind, bytearray(raw))
    return array


def _dtype(numpy: Any, name: str) -> "dtype[Any]":
    """`numpy` is the module. Structured types are written as the list of their fields."""
    try:
        kind: dtype[Any] = numpy.dtype(ast.literal_eval(name) if name.startswith("[") else name)
    except (TypeError, ValueError, SyntaxError) as error:
        raise ValueError(f"`dtype` {name!r} is not known to numpy: {error}") from error
    _refuse_objects(kind)
    return kind


def _refuse_objects(kind: "dtype[Any]") -> None:
    if kind.hasobject:
        raise ValueError(f"arrays of Python objects (dtype {kind}) can't be sent")


__all__ = ["NumpyArrayField"]
