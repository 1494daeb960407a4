"""Bytes and files -> digest. A digest is 64 lower-case hex digits of SHA-256."""

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import StringConstraints

_PATTERN: Final = r"^[0-9a-f]{64}$"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")

Digest = Annotated[str, StringConstraints(pattern=_PATTERN)]


def bytes_digest(data: bytes) -> str:
    """SHA-256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def is_digest(text: str) -> bool:
    """Whether `text` has the form of a digest."""
    return _DIGEST.fullmatch(text) is not None


def tree_digest(files: Mapping[str, str]) -> str:
    """One digest for a tree: `files` maps a relative POSIX path to its content's digest.

    Independent of the mapping's order. NUL and newline can't occur in a path (see
    `paths.check_relative_path`), so the concatenation is unambiguous.
    """
    lines = (f"{path}\0{digest}\n" for path, digest in sorted(files.items()))
    return bytes_digest("".join(lines).encode())


__all__ = ["Digest", "bytes_digest", "is_digest", "tree_digest"]
