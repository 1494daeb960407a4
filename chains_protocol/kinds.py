"""Kinds of Chainlets and of stream items; apart from `spec`, so that the SDK loads no spec models."""

from enum import StrEnum


class ChainletKind(StrEnum):
    CHAINLET = "chainlet"
    MODEL = "model"
    ENGINE_BUILDER = "engine_builder"
    TRUSS = "truss"


class StreamItem(StrEnum):
    """What one item of a streaming endpoint is on the wire."""

    BYTES = "bytes"
    STR = "str"
    MODEL = "model"
    """Any other JSON-able type: framed one JSON document an item."""


__all__ = ["ChainletKind", "StreamItem"]
