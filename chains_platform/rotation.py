"""Keeps log files from filling the disk.

Who writes them (replicas, the gateway, this process) holds them open for appending, so a file is
copied beside and cut, not renamed: the next line is written at its new end.
"""

import asyncio
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from chains_platform.layout import Layout
from chains_platform.rounds import Rounds

LONGEST_BYTES: Final = 64 * 1024 * 1024
"""Of one log file; one former part of about this size is kept beside it."""
_EVERY_S: Final = 60.0


class LogRotation:
    """`rounds` looks at every log file over and over."""

    def __init__(self, layout: Layout, longest_bytes: int = LONGEST_BYTES) -> None:
        self._layout = layout
        self._longest_bytes = longest_bytes
        self.rounds = Rounds(self.look, _EVERY_S)

    async def look(self) -> tuple[Path, ...]:
        """One round; returns the files that were cut."""
        return await asyncio.to_thread(self._cut_all)

    def _cut_all(self) -> tuple[Path, ...]:
        return tuple(path for path in self._files() if cut(path, self._longest_bytes))

    def _files(self) -> Iterator[Path]:
        places: Iterable[Path] = (self._layout.logs, *self._layout.replicas.iterdir())
        for place in places:
            yield from place.glob("*.log")


def cut(path: Path, longest_bytes: int) -> bool:
    """Move what a file that grew too long holds to `<name>.1`; returns whether it was too long.

    Lines written between the copy and the cut are lost: a few at most, in a file of millions.
    """
    try:
        if path.stat().st_size <= longest_bytes:
            return False
        draft = path.with_name(f"{path.name}.1.new")
        shutil.copyfile(path, draft)
        draft.chmod(0o600)
        os.truncate(path, 0)
        draft.replace(path.with_name(f"{path.name}.1"))
    except FileNotFoundError:  # its replica was removed meanwhile
        return False
    return True


__all__ = ["LONGEST_BYTES", "LogRotation", "cut"]
