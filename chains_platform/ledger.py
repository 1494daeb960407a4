"""The one place that holds the current `State`: changes go in, differences go to the store."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from chains_platform.state import State
from chains_platform.store.store import differences
from chains_platform.store.writer import Writer

T = TypeVar("T")


class Ledger:
    """Current state, in memory; written behind, in order. Used from one event loop."""

    def __init__(self, state: State, writer: Writer) -> None:
        self._state = state
        self._writer = writer
        self._waiting: list[tuple[Callable[[State], object | None], asyncio.Future[object]]] = []
        self._listeners: list[Callable[[State], None]] = []

    @property
    def state(self) -> State:
        return self._state

    def apply(self, change: Callable[[State], State]) -> State:
        """Replace the state by `change(state)`; the difference is written soon (`saved` waits)."""
        before = self._state
        after = change(before)
        if after is before:
            return before
        self._state = after
        found = differences(before, after)
        if found:
            self._writer.submit(partial(self._writer.store.save, changes=found))
        self._tell()
        return after

    async def saved(self) -> None:
        """Return when all changes so far are in the database."""
        await self._writer.flush()

    async def wait(self, look: Callable[[State], T | None], timeout_s: float) -> T:
        """Return the first answer of `look` that is not None; it is asked after every change.

        Raises:
            TimeoutError: there was none within `timeout_s`.
        """
        found = look(self._state)
        if found is not None:
            return found
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        entry = (look, future)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(timeout_s):
                return await future  # type: ignore[return-value] # `look` made it
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)

    def listen(self, listener: Callable[[State], None]) -> None:
        """Call `listener` after every change."""
        self._listeners.append(listener)

    def _tell(self) -> None:
        for entry in list(self._waiting):
            look, future = entry
            if future.done():
                continue
            found = look(self._state)
            if found is not None:
                self._waiting.remove(entry)
                future.set_result(found)
        for listener in self._listeners:
            listener(self._state)


__all__ = ["Ledger"]
