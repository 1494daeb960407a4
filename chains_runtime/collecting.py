"""When the cycles of code that is gone are collected: in a pause between calls, and not too often.

A generation of code is full of cycles, and so is whatever its modules held. Left alone, the
interpreter looks for them only after hundreds of patches.
"""

import asyncio
import gc
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

SOON_S: Final = 0.2
"""After a generation was dropped: what follows from a patch is done by then."""
LOOK_EVERY_S: Final = 0.005
LOOKS: Final = 200
SHARE: Final = 0.002
"""Of the time that may go into it: after a collection of 2 ms, the next one is at least a second later."""


class Timer(Protocol):
    """Something that will be called."""

    def cancel(self) -> None: ...


Later = Callable[[float, Callable[[], None]], Timer]


class IdleCollection:
    """Collects when asked for, once nothing runs.

    Args:
        is_idle: whether no call is inside the replica.
        collect: a full collection; None: Python's, unless the user's code has switched that off.
        clock: seconds.
        later: calls something after some seconds; the running loop's timers by default.
    """

    def __init__(
        self,
        is_idle: Callable[[], bool],
        collect: Callable[[], object] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        later: Later | None = None,
    ) -> None:
        self._is_idle = is_idle
        self._collect = _collect if collect is None else collect
        self._clock = clock
        self._later: Later = asyncio.get_running_loop().call_later if later is None else later
        self._not_before = 0.0
        self._timer: Timer | None = None

    def ask(self) -> None:
        """There is something to collect; asked again before it is, that is one question."""
        if self._timer is None:
            pause_s = max(SOON_S, self._not_before - self._clock())
            self._timer = self._later(pause_s, partial(self._look, LOOKS))

    def _look(self, looks: int) -> None:
        self._timer = None
        if self._is_idle():
            begun = self._clock()
            self._collect()
            ended = self._clock()
            self._not_before = ended + (ended - begun) / SHARE
        elif looks > 0:  # under more load than that, the interpreter's own collections come soon enough
            self._timer = self._later(LOOK_EVERY_S, partial(self._look, looks - 1))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _collect() -> None:
    if gc.isenabled():
        gc.collect()


__all__ = ["LOOKS", "LOOK_EVERY_S", "SHARE", "SOON_S", "IdleCollection"]
