"""Which environments nobody needs, and their removal: at once for others, in any case whole."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

COMPLETE: Final = ".complete"
"""The file that closes an environment; its time says when the environment was wanted last."""
_GONE: Final = ".gone-"


@dataclass(frozen=True)
class Collected:
    """How many went, and the bytes that are free now; files that are linked elsewhere free none."""

    count: int = 0
    freed_bytes: int = 0


def collect(root: Path, kept: Collection[Path], older_than: float, *, dry_run: bool = False) -> Collected:
    """Remove environments below `root`, and what interrupted builds left.

    Args:
        root: the directory of all environments.
        kept: those that some record refers to.
        older_than: Unix seconds; what was wanted later stays.
        dry_run: only count.
    """
    used = _used_by_processes(root)
    count = freed = 0
    for directory in sorted(path for path in root.iterdir() if path.is_dir()):
        is_leftover = directory.name.startswith(_GONE)
        if (
            directory in kept
            or directory in used
            or (not is_leftover and _wanted_at(directory) >= older_than)
        ):
            continue
        size = _own_bytes(directory)
        if dry_run or _remove(directory):
            count += not is_leftover
            freed += size
    return Collected(count, freed)


def touch(directory: Path) -> None:
    """The environment is wanted now."""
    with contextlib.suppress(OSError):
        os.utime(directory / COMPLETE)


def _wanted_at(directory: Path) -> float:
    for path in (directory / COMPLETE, directory):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return 0.0


def _remove(directory: Path) -> bool:
    """Rename it away, then delete: found whole or not at all. False if it is being built."""
    with _lock_of(directory) as is_ours:
        if not is_ours:
            return False
        gone = directory
        if not directory.name.startswith(_GONE):
            gone = directory.with_name(f"{_GONE}{directory.name}-{os.getpid()}")
            directory.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    return True


@contextlib.contextmanager
def _lock_of(directory: Path) -> Iterator[bool]:
    """The lock that a build holds; not waited for."""
    descriptor = os.open(directory.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _used_by_processes(root: Path) -> set[Path]:
    """Environments whose interpreter runs right now, whatever the records say."""
    used: set[Path] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            program = Path((process.cmdline() or [""])[0])
            if program.is_relative_to(root) and program != root:
                used.add(root / program.relative_to(root).parts[0])
    return used


def _own_bytes(directory: Path) -> int:
    """Bytes of files that have no other link."""
    total = 0
    for path, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                found = os.lstat(os.path.join(path, name))  # noqa: PTH118 (tens of thousands of files)
                total += found.st_size if found.st_nlink == 1 else 0
    return total


__all__ = ["COMPLETE", "Collected", "collect", "touch"]
