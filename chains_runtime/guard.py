"""Ends a call whose caller has gone, or whose deadline has passed."""

import asyncio
from enum import StrEnum
from typing import Any, Final

from chains_runtime.asgi import Receive

WATCH_AFTER_S: Final = 0.02
"""Calls shorter than this never pay for being watched."""


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

    __slots__ = ("_deadline", "_loop", "_receive", "_task", "_timer", "_watcher", "reason")

    def __init__(self, receive: Receive, deadline: float | None) -> None:
        self.reason: Ended | None = None
        self._loop = asyncio.get_running_loop()
        self._task = _running_task()
        self._receive = receive
        self._deadline = deadline
        self._watcher: asyncio.Task[None] | None = None
        first = self._loop.time() + WATCH_AFTER_S
        self._timer: asyncio.TimerHandle | None = self._loop.call_at(
            first if deadline is None else min(first, deadline), self._look
        )

    def _look(self) -> None:
        self._timer = None
        if self._deadline is not None:
            if self._loop.time() >= self._deadline:
                self._end(Ended.DEADLINE)
                return
            self._timer = self._loop.call_at(self._deadline, self._look)
        if self._watcher is None:
            self._watcher = self._loop.create_task(self._watch())

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
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watcher is not None:
            self._watcher.cancel()


def _running_task() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("calls run in tasks")
    return task


__all__ = ["WATCH_AFTER_S", "CallGuard", "Ended"]
