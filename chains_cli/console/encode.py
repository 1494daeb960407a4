"""Results and events as JSON: dataclasses, pydantic models, enums, paths and bytes."""

import base64
import dataclasses
import json
from enum import Enum
from pathlib import PurePath
from typing import Any, Final

from pydantic import BaseModel

SCHEMA: Final = 1
"""Raised when a line's fields change their meaning."""


def to_plain(value: Any) -> Any:  # Any: whatever an event or result holds; JSON values come out
    """`value` as JSON values."""
    if hasattr(value, "to_json") and not isinstance(value, type):
        return value.to_json()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, dict):
        return {str(to_plain(k)): to_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(v) for v in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:  # Any: as above
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, float):
        return round(value, 6)
    if value is None or isinstance(value, str | int | bool):
        return value
    return value.as_posix() if isinstance(value, PurePath) else str(value)


def json_line(type_: str, fields: dict[str, Any]) -> str:  # Any: JSON values
    """One line of output: `{"type": ..., "schema": 1, ...}`."""
    plain = {k: to_plain(v) for k, v in fields.items()}
    return json.dumps({"type": type_, "schema": SCHEMA, **plain}, ensure_ascii=False, separators=(", ", ": "))


__all__ = ["SCHEMA", "json_line", "to_plain"]
