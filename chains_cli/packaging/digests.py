"""Digests of files, kept between runs of the tool: large data that nobody touched is not read again.

A file is known by path, size, times, inode and device. As in git's index an entry is kept only if the
file was at rest when it was read: had it been written at the very moment, a second write could leave
size and times as they are. What cannot be read, or was written by a clock that has gone back since, is
no error: the files are read.
"""

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from chains_protocol.digest import is_digest

Clock = Callable[[], int]
"""Nanoseconds since 1970, as the times of files."""

WORTH_BYTES: Final = 32 * 1024
"""Smaller files are read as fast as they are looked up."""
RESTING_NS: Final = 2_000_000_000
"""The coarsest times that a file system keeps."""
_KEPT: Final = 5_000
_FORMAT: Final = 1


class Signature(NamedTuple):
    """What tells, without reading it, that a file is still the same."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, found: os.stat_result) -> "Signature":
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)

    def was_resting(self, at_ns: int) -> bool:
        """Whether a write after `at_ns` must show in the times."""
        return max(self.mtime_ns, self.ctime_ns) < at_ns - RESTING_NS


@dataclass(frozen=True, slots=True)
class _Known:
    signature: Signature
    digest: str


class KeptDigests:
    """The digests of one user's files; `save` writes what is new.

    Several runs may share the file: it is replaced as a whole, and who writes last wins.
    """

    def __init__(self, file: Path, clock: Clock = time.time_ns, kept: int = _KEPT) -> None:
        """Read what earlier runs left.

        Args:
            file: where; it and its directory need not exist.
            clock: tells the time.
            kept: how many entries are kept; those that were used last stay.
        """
        self._file = file
        self._clock = clock
        self._kept = kept
        self._known = _read(file, clock())
        self._is_new = False

    def find(self, path: str, signature: Signature) -> str | None:
        """The digest of the file, if it is the one that was read."""
        known = self._known.pop(path, None)
        if known is None:
            return None
        self._known[path] = known  # used last
        return known.digest if known.signature == signature else None

    def add(self, path: str, signature: Signature, digest: str, read_at_ns: int) -> None:
        """Keep the digest of a file; `read_at_ns` is when its reading began."""
        if signature.was_resting(read_at_ns):
            self._known.pop(path, None)
            self._known[path] = _Known(signature, digest)
            self._is_new = True

    def save(self) -> None:
        """Write what is known, if anything is new; a place that cannot be written costs time only."""
        if not self._is_new:
            return
        kept = list(self._known.items())[-self._kept :]
        files = {path: [*known.signature, known.digest] for path, known in kept}
        data = {"format": _FORMAT, "written_ns": self._clock(), "files": files}
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(self._file, json.dumps(data, separators=(",", ":")).encode())
            self._is_new = False


def _read(file: Path, now_ns: int) -> dict[str, _Known]:
    """The entries of a file, in order; none if it is missing, damaged or from the future."""
    try:
        data = json.loads(file.read_bytes())
        if data["format"] != _FORMAT or data["written_ns"] > now_ns:
            return {}
        return {path: _entry(values) for path, values in data["files"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _entry(values: list[object]) -> _Known:
    *numbers, digest = values
    if not (isinstance(digest, str) and is_digest(digest)):
        raise ValueError("no digest")
    if len(numbers) != len(Signature._fields) or not all(type(n) is int for n in numbers):
        raise ValueError("no signature")
    return _Known(Signature(*numbers), digest)  # type: ignore[arg-type]  # checked above


def _replace(file: Path, data: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=".writing-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        os.replace(temporary, file)  # noqa: PTH105 (as text)
    except OSError:
        os.unlink(temporary)  # noqa: PTH108 (as text)
        raise


__all__ = ["RESTING_NS", "WORTH_BYTES", "Clock", "KeptDigests", "Signature"]
