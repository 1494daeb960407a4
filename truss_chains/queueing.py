"""At most N calls of a dependency at once; the rest wait in order (S-08 to S-10)."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

_LOG: Final = logging.getLogger(__name__)

WINDOW_CALLS: Final = 1000
REPORT_EVERY_S: Final = 300.0
NOTABLE_WAIT_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """How long the last calls waited for their slot, in seconds."""

    calls: int
    waited: int
    """Calls that waited at least `NOTABLE_WAIT_S`."""
    p50_s: float
    p90_s: float

    @classmethod
    def of(cls, waits_s: Sequence[float]) -> "QueueStatistics":
        """Summarise; with fewer than 10 values the 90th percentile is the maximum (S-10)."""
        if not waits_s:
            return cls(0, 0, 0.0, 0.0)
        ordered = sorted(waits_s)
        n = len(ordered)
        p50_s = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
        p90_s = ordered[-1] if n < 10 else ordered[-(-9 * n // 10) - 1]
        return cls(n, sum(wait >= NOTABLE_WAIT_S for wait in ordered), p50_s, p90_s)


class _Waiter(Protocol):
    """A place in the queue. `granted` is set, under the limiter's lock, when it gets a slot."""

    granted: bool

    def wake(self) -> None: ...


class _Coroutine:
    """The place of a coroutine."""

    __slots__ = ("future", "granted")

    def __init__(self) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.granted = False

    def wake(self) -> None:
        # Not `set_result` itself: the slot may be freed on another thread or loop.
        self.future.get_loop().call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class _Thread:
    """The place of a blocking caller."""

    __slots__ = ("event", "granted")

    def __init__(self) -> None:
        self.event = threading.Event()
        self.granted = False

    def wake(self) -> None:
        self.event.set()


class Limiter:
    """Slots for calls of one dependency, given in order of arrival, to coroutines and threads alike.

    Args:
        service_name: for the log.
        limit: slots; values below 1 count as 1.
        clock: monotonic seconds.
    """

    def __init__(self, service_name: str, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._service_name = service_name
        self.limit = max(1, limit)
        self._clock = clock
        self._lock = threading.Lock()
        self._queue: deque[_Waiter] = deque()
        self._waits_s: deque[float] = deque(maxlen=WINDOW_CALLS)
        self._reported_at = clock()
        self.ongoing = 0
        self.requests_total = 0

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot now."""
        return len(self._queue)

    def statistics(self) -> QueueStatistics:
        """Of the last `WINDOW_CALLS` calls."""
        with self._lock:
            return QueueStatistics.of(tuple(self._waits_s))

    def try_acquire(self) -> bool:
        """Take a slot if one is free and nobody waits."""
        with self._lock:
            taken = self._take_free()
        if taken:
            self._note(0.0)
        return taken

    async def acquire(self) -> None:
        """Wait for a slot; a cancelled waiter leaves the queue (S-09)."""
        waiter = _Coroutine()
        since = self._clock()
        if self._enter(waiter):
            return
        try:
            await waiter.future
        except BaseException:  # whatever ends the wait, the place must not stay taken; it is raised again
            self._leave(waiter)
            raise
        self._note(self._clock() - since)

    def acquire_sync(self, timeout_s: float | None = None) -> bool:
        """Wait for a slot at most `timeout_s`, blocking; False if none came."""
        waiter = _Thread()
        since = self._clock()
        if self._enter(waiter):
            return True
        if not waiter.event.wait(None if timeout_s is None else max(0.0, timeout_s)):
            self._leave(waiter)
            return False
        self._note(self._clock() - since)
        return True

    def release(self) -> None:
        """Give the slot to the first that waits, or back."""
        with self._lock:
            if not self._queue:
                self.ongoing -= 1
                return
            waiter = self._queue.popleft()
            waiter.granted = True
        try:
            waiter.wake()
        except RuntimeError:  # its event loop is closed: nobody waits there any more
            self.release()

    def _take_free(self) -> bool:
        if self._queue or self.ongoing >= self.limit:
            return False
        self.ongoing += 1
        return True

    def _enter(self, waiter: _Waiter) -> bool:
        """Take a slot at once (True), or queue."""
        with self._lock:
            taken = self._take_free()
            if not taken:
                self._queue.append(waiter)
        if taken:
            self._note(0.0)
        return taken

    def _leave(self, waiter: _Waiter) -> None:
        with self._lock:
            granted = waiter.granted
            if not granted:
                self._queue.remove(waiter)
        if granted:  # the slot came while the wait ended: pass it on
            self.release()

    def _note(self, wait_s: float) -> None:
        with self._lock:
            self.requests_total += 1
            self._waits_s.append(wait_s)
            now = self._clock()
            if now - self._reported_at < REPORT_EVERY_S:
                return
            self._reported_at = now
            found = QueueStatistics.of(tuple(self._waits_s))
        self._report(found)

    def _report(self, found: QueueStatistics) -> None:
        level = logging.WARNING if max(found.p50_s, found.p90_s) >= NOTABLE_WAIT_S else logging.DEBUG
        _LOG.log(
            level,
            "Calls of `%s` queue: %d in flight, %d waiting; wait p50 %.1f ms, p90 %.1f ms; %d of the last %d "
            "calls had to wait; the limit is %d. A queue is not bad in itself, it evens out bursts; "
            "to let more calls through, spread them out or raise `concurrency_limit` in `depends(...)`.",
            self._service_name,
            self.ongoing,
            self.waiting,
            found.p50_s * 1000,
            found.p90_s * 1000,
            found.waited,
            found.calls,
            self.limit,
        )


__all__ = ["Limiter", "QueueStatistics"]
