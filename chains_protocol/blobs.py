"""Many blobs in one request: the body of `POST /v1/blobs`.

A sequence of records, each 32 bytes of SHA-256, 8 bytes big-endian length, then the bytes.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from chains_protocol.digest import bytes_digest

MAX_BATCH_BYTES: Final = 64 * 1024 * 1024
"""The largest body a platform accepts; a larger blob goes by itself with `PUT /v1/blobs/{digest}`."""

UPLOAD_OFFSET: Final = "upload-offset"
"""How much of a blob is there (`HEAD`), and where a `PUT` goes on; as in the IETF's resumable uploads."""
UPLOAD_COMPLETE: Final = "upload-complete"
"""`?1`: all of it is there."""

_HEAD: Final = struct.Struct(">32sQ")


def encode_blobs(blobs: Iterable[tuple[str, bytes]]) -> bytes:
    """Join (digest, bytes) pairs into one body."""
    parts: list[bytes] = []
    for digest, data in blobs:
        parts += (_HEAD.pack(bytes.fromhex(digest), len(data)), data)
    return b"".join(parts)


def decode_blobs(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Split a body into (digest, bytes), each verified; `ValueError` on any mismatch or rest."""
    at = 0
    while at < len(body):
        if len(body) - at < _HEAD.size:
            raise ValueError("truncated record head")
        raw, length = _HEAD.unpack_from(body, at)
        at += _HEAD.size
        data = body[at : at + length]
        if len(data) != length:
            raise ValueError("truncated record")
        if bytes_digest(data) != raw.hex():
            raise ValueError(f"content does not match digest {raw.hex()}")
        yield raw.hex(), data
        at += length


__all__ = ["MAX_BATCH_BYTES", "UPLOAD_COMPLETE", "UPLOAD_OFFSET", "decode_blobs", "encode_blobs"]
