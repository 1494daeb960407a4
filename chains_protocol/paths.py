"""Relative paths that may come from a network: one rule, one place."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator


def check_relative_path(path: str) -> str:
    """Return `path` if it names a file strictly below a root, else raise `ValueError`.

    Accepted: POSIX separators, relative, normalised (no empty, `.` or `..` part), no
    control character, no backslash, Unicode in NFC, at most 1,024 bytes.
    """
    if not path or len(path.encode()) > 1024:
        raise ValueError("a path has 1 to 1,024 bytes")
    if path.startswith("/") or "\\" in path or (len(path) > 1 and path[1] == ":"):
        raise ValueError(f"not a relative POSIX path: {path!r}")
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"not a normalised path: {path!r}")
    if path.isascii():  # nearly all are, and there are thousands of them
        if not path.isprintable():
            raise ValueError(f"control character in path: {path!r}")
        return path
    if any(unicodedata.category(c) == "Cc" for c in path):
        raise ValueError(f"control character in path: {path!r}")
    if unicodedata.normalize("NFC", path) != path:
        raise ValueError(f"path is not in Unicode NFC: {path!r}")
    return path


RelativePath = Annotated[str, AfterValidator(check_relative_path)]

__all__ = ["RelativePath", "check_relative_path"]
