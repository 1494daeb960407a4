"""At most N calls at once in a replica, the rest in a queue of bounded length (R-30)."""

import asyncio
from collections import deque


class QueueFull(Exception):
    """No slot is free and the queue has no place left."""


class Slots:
    """Slots in order of arrival, for coroutines of one event loop.

    Args:
        limit: calls at once.
        queue_limit: calls that may wait.
    """

    def __init__(self, limit: int, queue_limit: int) -> None:
        self.limit = max(1, limit)
        self._queue_limit = queue_limit
        self.busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def try_take(self) -> bool:
        """Take a slot if one is free and nobody waits for it."""
        if self.busy < self.limit and not self._waiting:
            self.busy += 1
            return True
        return False

    async def take(self) -> None:
        """Wait for a slot; a cancelled waiter leaves the queue.

        Raises:
            QueueFull: too many wait already.
        """
        if self.try_take():
            return
        if len(self._waiting) >= self._queue_limit:
            raise QueueFull
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.give_back()  # it was granted in the same moment
            else:
                self._waiting.remove(future)
            raise

    def give_back(self) -> None:
        """Pass the slot on, or free it."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return
        self.busy -= 1


__all__ = ["QueueFull", "Slots"]
