"""Ends calls whose caller has gone, or whose deadline has passed."""

import asyncio
from enum import StrEnum
from typing import Any, Final

from chains_runtime.asgi import Receive

LOOK_EVERY_S: Final = 0.02
"""Calls shorter than this hardly pay for being watched; deadlines are this exact."""


class Ended(StrEnum):
    """Why a call was ended from outside."""

    GONE = "gone"
    DEADLINE = "deadline"


class CallGuard:
    """Watches the call that the current task runs, and cancels the task when nobody waits any more.

    Args:
        receive: of the request; it gives `http.disconnect` when the client is gone. The
            request's body must have been read.
        deadline: on the loop's clock; None if there is none.
    """

    __slots__ = ("_deadline", "_is_new", "_receive", "_task", "_watcher", "reason")

    def __init__(self, receive: Receive, deadline: float | None) -> None:
        self.reason: Ended | None = None
        self._task = _running_task()
        self._receive = receive
        self._deadline = deadline
        self._watcher: asyncio.Task[None] | None = None
        self._is_new = True

    def look(self, now: float) -> None:
        """Called again and again while the call runs."""
        if self._deadline is not None and now >= self._deadline:
            self._end(Ended.DEADLINE)
        elif self._is_new:
            self._is_new = False  # most calls are over before they are looked at twice
        elif self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._end(Ended.GONE)

    def _end(self, reason: Ended) -> None:
        if self.reason is None:
            self.reason = reason
            self._task.cancel()

    def ended(self) -> bool:
        """For an `except CancelledError`: whether it was this guard; then the cancellation is used up."""
        if self.reason is None:
            return False
        self._task.uncancel()
        return True

    def close(self) -> None:
        """The call is over."""
        if self._watcher is not None:
            self._watcher.cancel()


class CallWatch:
    """Looks after all calls of a replica with one timer, which runs only while there are any."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._guards: set[CallGuard] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, guard: CallGuard) -> None:
        self._guards.add(guard)
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK_EVERY_S, self._look)

    def remove(self, guard: CallGuard) -> None:
        self._guards.discard(guard)
        guard.close()

    def _look(self) -> None:
        self._timer = None
        if self._guards:
            now = self._loop.time()
            for guard in tuple(self._guards):
                guard.look(now)
            self._timer = self._loop.call_later(LOOK_EVERY_S, self._look)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _running_task() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("calls run in tasks")
    return task


__all__ = ["LOOK_EVERY_S", "CallGuard", "CallWatch", "Ended"]
