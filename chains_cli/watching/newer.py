"""Looks, while a round runs, whether its files are saved again: what the round makes is old then.

Also says once that a round takes long.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from chains_cli.watching.snapshot import mark_of

EVERY_S: Final = 0.1
"""Between two looks. Most rounds are over before the first."""

SLOW_LOOKS: Final = 30
"""After so many looks it is said that the round takes long."""


class Newer:
    """A round may take long, or not end at all: an `__init__` that hangs is corrected by another save.

    Other files can wait for the next round; the ones that this round is about can't.

    Args:
        known: what a file held when the round was begun.
        give_up: ends the round, from another thread than its own; repeated until it ended.
        on_slow: told, in that other thread, that the round takes long.
        every_s: seconds between two looks.
    """

    def __init__(
        self,
        known: Callable[[Path], str],
        give_up: Callable[[], None],
        on_slow: Callable[[], None] = lambda: None,
        every_s: float = EVERY_S,
    ) -> None:
        self._known = known
        self._give_up = give_up
        self._on_slow = on_slow
        self._every_s = every_s
        self._is_newer = threading.Event()

    @property
    def is_found(self) -> bool:
        """Whether the last round's files were saved again while it ran."""
        return self._is_newer.is_set()

    @contextmanager
    def looking(self, files: Iterable[Path]) -> Iterator[None]:
        """Look while the body runs, which is the round of these files."""
        self._is_newer.clear()
        done = threading.Event()
        before = {path: self._known(path) for path in files}
        threading.Thread(target=self._look, args=(before, done), name="chains-newer", daemon=True).start()
        try:
            yield
        finally:
            done.set()

    def _look(self, before: dict[Path, str], done: threading.Event) -> None:
        last, looks = before, 0
        while not done.wait(self._every_s):
            looks += 1
            if looks == SLOW_LOOKS:
                self._on_slow()
            now = {path: mark_of(path) for path in before}
            if now != before and now == last:  # twice the same: nobody is still writing
                self._is_newer.set()
                self._give_up()
            last = now


__all__ = ["EVERY_S", "Newer"]
