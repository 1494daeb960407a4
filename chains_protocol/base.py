"""The two model bases every wire model derives from."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable, and closed: an unknown field is an error, so that a typo never passes silently."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Reply(BaseModel):
    """Immutable, and open: a newer server may add fields that an older client ignores."""

    model_config = ConfigDict(frozen=True, extra="ignore")


__all__ = ["Frozen", "Reply"]
