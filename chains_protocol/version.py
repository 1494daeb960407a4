"""The protocol's version, stated by every manifest and by `GET /v1/health`."""

from typing import Final

PROTOCOL_VERSION: Final = 1
"""Raised whenever an older peer could misread a message; both sides refuse a version they don't know."""

__all__ = ["PROTOCOL_VERSION"]
