"""Blobs that are still arriving: kept when the connection is cut, so that the rest is all that is sent again.

A blob has at most one partial file, and one request at a time writes it; another one that sends
the same blob meanwhile writes a draft of its own. What arrived is believed only when the whole
has the digest it was announced with.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from chains_platform.engines.collecting import Collected

PARTIAL_DIR: Final = ".partial"
_PIECE_BYTES: Final = 1024 * 1024


class WrongOffset(Exception):
    """The request goes on from somewhere else than what is here. `offset` is where to go on."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


class Part:
    """What one request writes: from `offset` on, to a file that outlives the request if it `is_kept`."""

    def __init__(self, path: Path, file: BinaryIO, offset: int, *, is_kept: bool) -> None:
        self.path = path
        self.offset = offset
        self.received_bytes = 0
        self.is_kept = is_kept
        self._file = file
        self._found = hashlib.sha256() if offset == 0 else None

    def write(self, piece: bytes) -> None:
        """Add what has arrived."""
        if self._found is not None:
            self._found.update(piece)
        self._file.write(piece)
        self.received_bytes += len(piece)

    def finish(self) -> None:
        """Everything is written; may fail as any write."""
        self._file.close()

    def digest(self) -> str:
        """Of the whole file. Reads what an earlier request wrote, so it may take a while."""
        found = self._found
        if found is None:
            found = hashlib.sha256()
            with self.path.open("rb") as file:
                while piece := file.read(_PIECE_BYTES):
                    found.update(piece)
        return found.hexdigest()


class PartialBlobs:
    """Partial files below the directory of the blobs, which have to be on one file system."""

    def __init__(self, blobs: Path) -> None:
        self._blobs = blobs
        self._root = blobs / PARTIAL_DIR
        self._open: set[str] = set()

    def offset(self, digest: str) -> int:
        """How much of it is here and can be added to; 0 while another request adds to it."""
        if digest in self._open:
            return 0
        try:
            return self._file(digest).stat().st_size
        except FileNotFoundError:
            return 0

    @contextmanager
    def receiving(self, digest: str, offset: int) -> Iterator[Part]:
        """Write one request's body. Afterwards the file is the caller's to take, or stays for the next one.

        A draft that is nobody's to continue is gone afterwards, and so is a file that a full disk cut.

        Raises:
            WrongOffset: there is less or more here than the request says.
            OSError: it cannot be written.
        """
        is_kept = digest not in self._open
        if offset and offset != self.offset(digest):
            raise WrongOffset(self.offset(digest))
        part = self._part(digest, offset, is_kept=is_kept)
        if is_kept:
            self._open.add(digest)
        try:
            yield part
        except OSError:
            part.path.unlink(missing_ok=True)
            raise
        finally:
            self._close(digest, part)

    def _part(self, digest: str, offset: int, *, is_kept: bool) -> Part:
        if not is_kept:
            handle, name = tempfile.mkstemp(prefix=".new-", dir=self._blobs)
            return Part(Path(name), os.fdopen(handle, "wb"), 0, is_kept=False)
        self._root.mkdir(mode=0o700, exist_ok=True)
        path = self._file(digest)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | (0 if offset else os.O_TRUNC), 0o600)
        file = os.fdopen(descriptor, "wb")
        file.seek(offset)
        return Part(path, file, offset, is_kept=True)

    def _close(self, digest: str, part: Part) -> None:
        try:
            part.finish()
        except OSError:  # the last bytes found no room
            part.path.unlink(missing_ok=True)
            raise
        finally:
            if part.is_kept:
                self._open.discard(digest)
            else:
                part.path.unlink(missing_ok=True)

    def _file(self, digest: str) -> Path:
        return self._root / digest

    def collect(self, older_than: float, *, dry_run: bool = False) -> Collected:
        """Remove what nobody went on sending since `older_than` (Unix seconds)."""
        count = freed = 0
        for path in self._root.iterdir() if self._root.is_dir() else ():
            found = path.stat()
            if path.name in self._open or found.st_mtime >= older_than:
                continue
            if not dry_run:
                path.unlink(missing_ok=True)
            count += 1
            freed += found.st_size
        return Collected(count, freed)


__all__ = ["PARTIAL_DIR", "Part", "PartialBlobs", "WrongOffset"]
