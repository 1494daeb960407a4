"""Which types may cross between Chainlets: what pydantic can write as JSON and read back (V-45).

`refusal` walks through a type form and says why it can't cross; None means it can. What
only pydantic knows (dataclasses, typed dicts, custom schemas) is asked from pydantic.
"""

import collections
import collections.abc
import datetime
import decimal
import enum
import types
import typing
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

from pydantic import BaseModel

from truss_chains.inspection import UnresolvedAnnotationError, is_websocket_type, stream_parts
from truss_chains.validation.subject import form_text

SUPPORTED: Final = (
    "numbers, text, bytes, None, dates, enums, `Literal`, pydantic models, dataclasses, typed dicts, "
    "and lists, dicts, sets, tuples and unions of these"
)

_LEAVES: Final = frozenset(
    {
        int, float, bool, str, bytes, types.NoneType, None,
        datetime.datetime, datetime.date, datetime.time, datetime.timedelta,
        decimal.Decimal, uuid.UUID, Path, PurePath,
    }
)  # fmt: skip
_CONTAINERS: Final = frozenset(
    {
        list, set, frozenset, tuple, collections.deque,
        collections.abc.Sequence, collections.abc.MutableSequence,
        collections.abc.Set, collections.abc.MutableSet,
    }
)  # fmt: skip
_MAPPINGS: Final = frozenset(
    {
        dict, collections.defaultdict, collections.OrderedDict,
        collections.abc.Mapping, collections.abc.MutableMapping,
    }
)  # fmt: skip
_KEY_LEAVES: Final = _LEAVES - {bytes, types.NoneType, None}
_UNIONS: Final = (typing.Union, types.UnionType)


@dataclass(frozen=True)
class Refusal:
    """Why a type can't cross, and what to use instead."""

    reason: str
    remedy: str = f"use {SUPPORTED}"


def refusal(form: Any, *, is_nested: bool = False) -> Refusal | None:
    """Why `form` can't be sent and received as JSON; None if it can.

    Args:
        form: a resolved type form.
        is_nested: it is an item of a container, where `Any` means any JSON value, as in a
            bare `list`.

    Raises:
        UnresolvedAnnotationError: it refers to a class that is not complete yet.
    """
    if form in (Any, object) or isinstance(form, typing.TypeVar):
        return None if form is Any and is_nested else _unknown(form)
    if _is_leaf(form):
        return None
    origin = typing.get_origin(form)
    arguments = typing.get_args(form)
    if not arguments and origin in (_CONTAINERS | _MAPPINGS):
        return None  # `typing.Dict`
    if origin in _UNIONS:
        return _first(refusal(arm, is_nested=is_nested) for arm in arguments)
    if origin in _CONTAINERS:
        return _first(refusal(item, is_nested=True) for item in arguments if item is not Ellipsis)
    if origin in _MAPPINGS:
        return _key_refusal(arguments[0]) or refusal(arguments[1], is_nested=True)
    if origin is typing.Annotated and arguments[0] in (Any, object):
        return _unknown(arguments[0])
    if isinstance(form, typing.NewType):
        return refusal(form.__supertype__, is_nested=is_nested)
    return _special(form, origin) or _ask_pydantic(form)


def _is_leaf(form: Any) -> bool:
    try:
        if form in (_LEAVES | _CONTAINERS | _MAPPINGS):
            return True
    except TypeError:  # unhashable, such as the list in `x: [int]`
        return False
    return isinstance(form, type) and not typing.get_args(form) and issubclass(form, BaseModel)


def _first(found: collections.abc.Iterable[Refusal | None]) -> Refusal | None:
    return next((one for one in found if one is not None), None)


def _unknown(form: Any) -> Refusal:
    return Refusal(
        f"`{form_text(form)}` does not say what to read back from JSON",
        "name the type; `pydantic.JsonValue` stands for any JSON value",
    )


def _key_refusal(key: Any) -> Refusal | None:
    """Keys of a JSON object are text, so a key has to be one value that can be read from text."""
    origin = typing.get_origin(key)
    if key is Any or key in _KEY_LEAVES:
        return None
    if origin is typing.Literal and all(isinstance(choice, str) for choice in typing.get_args(key)):
        return None
    if isinstance(key, type) and issubclass(key, enum.Enum) and _reads_from_text(key):
        return None
    if isinstance(key, typing.NewType):
        return _key_refusal(key.__supertype__)
    if origin is typing.Annotated:
        return _key_refusal(typing.get_args(key)[0])
    if origin in _UNIONS:
        return _first(_key_refusal(arm) for arm in typing.get_args(key))
    return Refusal(
        f"`{form_text(key)}` can't be the key of a JSON object, which is text",
        "use `str` or `int` keys, or a list of pairs",
    )


def _reads_from_text(choices: type[enum.Enum]) -> bool:
    """pydantic reads an `IntEnum` from digits, and other enums from exactly their values."""
    return issubclass(choices, int) or all(isinstance(choice.value, str) for choice in choices)


def _special(form: Any, origin: Any) -> Refusal | None:
    """Forms that deserve a better explanation than pydantic's."""
    plain = origin or form
    if is_websocket_type(form):
        return Refusal("a websocket can't be part of another type", "make it the only parameter")
    if stream_parts(form)[0]:
        return Refusal(
            "an iterator can't be sent as one value",
            "take or return a list; only the result of an `async def` with `yield` can be a stream",
        )
    if plain in (collections.abc.Callable, collections.abc.Awaitable, collections.abc.Coroutine):
        return Refusal("code can't be sent", "send data, and call code where it lives")
    if plain is type:
        return Refusal("a class can't be sent", "send its name, or a `Literal` of the choices")
    return _special_class(plain) if isinstance(plain, type) else _not_a_type(form)


def _special_class(plain: type) -> Refusal | None:
    from truss_chains.chainlet import AbstractChainlet

    if issubclass(plain, AbstractChainlet):
        return Refusal(
            f"`{plain.__name__}` is a Chainlet, not data",
            "make it a dependency of the Chainlet that calls it, and send its results",
        )
    if plain.__module__.partition(".")[0] == "numpy" and plain.__name__ == "ndarray":
        return Refusal(
            "a plain array does not say its dtype and shape",
            "put a `truss_chains.pydantic_numpy.NumpyArrayField` into a pydantic model",
        )
    return None


def _not_a_type(form: Any) -> Refusal | None:
    if typing.get_origin(form) is None and not hasattr(form, "__value__") and not _is_special_form(form):
        return Refusal(f"`{form!r}` is a value, not a type")
    return None


def _is_special_form(form: Any) -> bool:
    return type(form).__module__ in ("typing", "typing_extensions", "types")


def _ask_pydantic(form: Any) -> Refusal | None:
    """Whether pydantic can make a schema for both directions."""
    from pydantic import TypeAdapter
    from pydantic.errors import (
        PydanticInvalidForJsonSchema,
        PydanticSchemaGenerationError,
        PydanticUndefinedAnnotation,
        PydanticUserError,
    )

    from truss_chains.schemas import QuietJsonSchema

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(form)
        for mode in ("validation", "serialization"):
            adapter.json_schema(mode=mode, schema_generator=QuietJsonSchema)
    except PydanticUndefinedAnnotation as error:
        raise UnresolvedAnnotationError(form_text(form), error) from error
    except PydanticInvalidForJsonSchema:
        return Refusal(f"`{form_text(form)}` has a part that has no form in JSON")
    except PydanticSchemaGenerationError:
        return Refusal(
            f"pydantic does not know how to write `{form_text(form)}`, or a part of it, as JSON",
            "make it a pydantic model or a dataclass of plain types",
        )
    except PydanticUserError as error:
        if error.code in ("class-not-fully-defined", "undefined-annotation"):
            raise UnresolvedAnnotationError(form_text(form), error) from error
        return Refusal(f"pydantic refuses `{form_text(form)}`: {error.message}")
    except Exception as error:  # metadata of a user's type can raise anything
        return Refusal(f"pydantic refuses `{form_text(form)}`: {error}")
    return None


__all__ = ["SUPPORTED", "Refusal", "refusal"]
