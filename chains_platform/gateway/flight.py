"""What is under way: requests per revision, and requests per replica."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from chains_protocol.rpc import Revision

_SUSPECT_S: Final = 0.25
"""So long after a failed connection a replica is tried last."""


@dataclass(frozen=True)
class _Drain:
    """Somebody who waits for the end of all requests of a deployment below a version."""

    deployment: str
    below: int
    done: asyncio.Future[None]


class Flights:
    """Counts open requests, streams and websockets per revision."""

    def __init__(self) -> None:
        self._open: dict[Revision, int] = {}
        self._drains: list[_Drain] = []

    def enter(self, revision: Revision) -> None:
        self._open[revision] = self._open.get(revision, 0) + 1

    def leave(self, revision: Revision) -> None:
        left = self._open[revision] - 1
        if left:
            self._open[revision] = left
            return
        del self._open[revision]
        for drain in self._drains:
            if not drain.done.done() and not self._is_open(drain.deployment, drain.below):
                drain.done.set_result(None)

    def counts(self) -> dict[str, int]:
        """`<deployment>.<version>` -> open requests, only those that are not zero."""
        return {str(revision): count for revision, count in self._open.items()}

    async def wait_drained(self, deployment: str, below: int, timeout_s: float) -> None:
        """Return when no request of `deployment` below that version is open, or after `timeout_s`."""
        if not self._is_open(deployment, below):
            return
        drain = _Drain(deployment, below, asyncio.get_running_loop().create_future())
        self._drains.append(drain)
        try:
            await asyncio.wait([drain.done], timeout=timeout_s)
        finally:
            self._drains.remove(drain)

    def _is_open(self, deployment: str, below: int) -> bool:
        return any(r.deployment == deployment and r.version < below for r in self._open)


class Balance:
    """Chooses the replica with the fewest requests that went through this gateway.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: dict[str, int] = {}
        self._failed_at: dict[str, float] = {}
        self._turn = 0

    def pick(self, addresses: Collection[str]) -> str | None:
        """The least loaded address, equal ones in turn; one that just failed only if all did."""
        if len(addresses) < 2:
            return next(iter(addresses), None)
        self._turn += 1
        ordered = list(addresses)
        shift = self._turn % len(ordered)
        ordered = ordered[shift:] + ordered[:shift]
        return min(ordered, key=self._rank)

    def _rank(self, address: str) -> tuple[bool, int]:
        failed_at = self._failed_at.get(address)
        is_suspect = failed_at is not None and self._clock() - failed_at < _SUSPECT_S
        return is_suspect, self._open.get(address, 0)

    def enter(self, address: str) -> None:
        self._open[address] = self._open.get(address, 0) + 1

    def leave(self, address: str) -> None:
        left = self._open[address] - 1
        if left:
            self._open[address] = left
        else:
            del self._open[address]

    def failed(self, address: str) -> None:
        """No connection, or one that ended without an answer."""
        self._failed_at[address] = self._clock()

    def is_suspect(self, address: str) -> bool:
        return self._rank(address)[0]

    def keep(self, addresses: Collection[str]) -> None:
        """Forget the failures of addresses that left the table, and of all that just entered."""
        self._failed_at = {a: at for a, at in self._failed_at.items() if a in addresses}


__all__ = ["Balance", "Flights"]
