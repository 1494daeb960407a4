"""Work that comes round for as long as the control plane runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

Sleep = Callable[[float], Awaitable[None]]

_log: Final = logging.getLogger(__name__)


class Rounds:
    """Does `work` every `every_s` seconds, from `start` to `close`.

    A round that fails is logged; the next one comes all the same.
    """

    def __init__(
        self, work: Callable[[], Awaitable[object]], every_s: float, *, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._work = work
        self._every_s = every_s
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to wait for the first round."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """No further round; one under way is cancelled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._sleep(self._every_s)
            try:
                await self._work()
            except Exception:  # a full disk today must not end the rounds of tomorrow
                _log.exception(
                    "a round of %s failed; the next one is in %g s", _name(self._work), self._every_s
                )


def _name(work: Callable[[], Awaitable[object]]) -> str:
    return getattr(work, "__qualname__", repr(work))


__all__ = ["Rounds", "Sleep"]
