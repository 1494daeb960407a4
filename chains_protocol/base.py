"""The two model bases every wire model derives from.

Validators are built at first use (`defer_build`): importing a message costs next to nothing.
"""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable, and closed: an unknown field is an error, so that a typo never passes silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Reply(BaseModel):
    """Immutable, and open: a newer server may add fields that an older client ignores."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


__all__ = ["Frozen", "Reply"]
