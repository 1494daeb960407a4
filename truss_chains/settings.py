"""The two families of settings that users write: closed and open.

Both are strict (no coercion of `"2"` to `2`), validate assignments too, and build their
validators at first use, so that importing them costs next to nothing.
"""

from pydantic import BaseModel, ConfigDict


class ClosedSettings(BaseModel):
    """An unknown field is an error."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        validate_assignment=True,
        arbitrary_types_allowed=True,
        defer_build=True,
    )


class OpenSettings(BaseModel):
    """An unknown field is ignored."""

    model_config = ConfigDict(
        strict=True,
        extra="ignore",
        validate_assignment=True,
        arbitrary_types_allowed=True,
        defer_build=True,
        protected_namespaces=(),
    )


__all__ = ["ClosedSettings", "OpenSettings"]
