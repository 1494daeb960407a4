"""Keys of mappings as text, as JSON writes them: msgpack of other keys can't be read back (R-25)."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from truss_chains.codec import encode_binary

_ADAPTERS: Final = 1024


def dump_binary(adapter: TypeAdapter[Any], value: object) -> bytes:
    """Msgpack of a value of the adapter's type; a reader with that type gets the keys back.

    Raises:
        ValueError: the value can't be written.
    """
    dumped = adapter.dump_python(value, by_alias=True)
    return encode_binary(with_text_keys(dumped) if has_other_keys(adapter) else dumped)


@lru_cache(maxsize=_ADAPTERS)
def has_other_keys(adapter: TypeAdapter[Any]) -> bool:
    """Whether values of this type may hold mappings with keys that are no text.

    Told from pydantic's schema, so that values of most types need no look inside.
    """
    pending: list[Any] = [adapter.core_schema]
    while pending:
        part = pending.pop()
        if isinstance(part, Mapping):
            if part.get("type") == "any" or (part.get("type") == "dict" and not _is_text(part)):
                return True
            # `json_schema` is for values that came as JSON; ours are Python values
            pending += [value for key, value in part.items() if key not in ("metadata", "json_schema")]
        elif isinstance(part, list | tuple):
            pending += part
    return False


def _is_text(mapping_schema: Mapping[Any, Any]) -> bool:
    keys: Mapping[Any, Any] = mapping_schema.get("keys_schema", {})
    return keys.get("type") == "str"


def with_text_keys(value: Any) -> Any:
    """A value that pydantic dumped in Python mode, its mappings' keys written as in JSON."""
    if isinstance(value, dict):
        return {_text(key): with_text_keys(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_text_keys(item) for item in value]
    return value


def _text(key: object) -> Any:
    if type(key) is str or type(key) is bytes:
        return key
    (text,) = to_jsonable_python({key: None})
    return text


__all__ = ["dump_binary", "has_other_keys", "with_text_keys"]
