"""What files hold, so that a touch, or a save of the same text, is no change."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

IgnoreRule = Callable[[str], bool]
"""Whether a POSIX path, relative to the watch root, is ignored. Directories end with `/`."""

_HASHED_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WatchRoot:
    """A directory that is watched, and what is ignored below it."""

    path: Path
    is_ignored: IgnoreRule


class Snapshot:
    """The content of all files below some roots, as far as it was told of changes.

    Contents are compared by digest; files above 4 MiB (data, weights) by size and time.
    """

    def __init__(self, roots: Iterable[WatchRoot]) -> None:
        self._roots = tuple(roots)
        self._known: dict[Path, str] = {path: mark_of(path) for path in self._files()}

    @property
    def roots(self) -> tuple[WatchRoot, ...]:
        return self._roots

    def wants(self, path: Path) -> bool:
        """Whether `path` lies below a root and is not ignored there."""
        return any(_is_wanted(root, path) for root in self._roots)

    def knows(self, path: Path) -> bool:
        """Whether there was such a file when it was looked at last."""
        return path in self._known

    def known(self, path: Path) -> str:
        """What it held when it was looked at last (`mark_of`)."""
        return self._known.get(path, "")

    def with_roots(self, roots: Iterable[WatchRoot]) -> "Snapshot":
        """The files below other roots; of those that are known, what they held stays what is known."""
        other = Snapshot(roots)
        other._known |= {path: mark for path, mark in self._known.items() if other.wants(path)}
        return other

    def recheck(self) -> tuple[Path, ...]:
        """All files whose content is another than before, sorted."""
        return self.changed((*self._known, *self._files()))

    def changed(self, paths: Iterable[Path]) -> tuple[Path, ...]:
        """Those of these files whose content is another than before, sorted.

        A directory stands for all files in it.
        """
        found = set()
        for path in set(self._expanded(paths)):
            mark = mark_of(path)
            if mark != self._known.get(path, ""):
                found.add(path)
                if mark:
                    self._known[path] = mark
                else:
                    del self._known[path]
        return tuple(sorted(found))

    def _expanded(self, paths: Iterable[Path]) -> Iterator[Path]:
        """An event for a directory stands for all files in it, those that are gone included."""
        for path in paths:
            if path.is_dir():
                yield from (file for file in _walk(path) if self.wants(file))
            elif self.wants(path):
                yield path
            if path not in self._known:
                yield from (known for known in self._known if known.is_relative_to(path))

    def _files(self) -> Iterator[Path]:
        for root in self._roots:
            yield from (path for path in _walk(root.path, root) if _is_wanted(root, path))


def mark_of(path: Path) -> str:
    """A text that changes with the content; empty if there is no such file."""
    try:
        size = path.stat().st_size
        if size > _HASHED_BYTES:
            return f"{size}:{path.stat().st_mtime_ns}"
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return ""


def _is_wanted(root: WatchRoot, path: Path) -> bool:
    try:
        relative = path.relative_to(root.path).as_posix()
    except ValueError:
        return False
    return relative != "." and not root.is_ignored(relative)


def _walk(directory: Path, root: WatchRoot | None = None) -> Iterator[Path]:
    """Files below a directory; ignored directories of `root` are not entered, nor are links to any."""
    for parent, directories, files in os.walk(directory):
        here = Path(parent)
        if root is not None:
            directories[:] = [
                name
                for name in directories
                if not root.is_ignored((here / name).relative_to(root.path).as_posix() + "/")
            ]
        yield from (here / name for name in files)


__all__ = ["IgnoreRule", "Snapshot", "WatchRoot", "mark_of"]
