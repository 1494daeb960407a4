"""One request on its way: its revision, where it may go, how long it may wait."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from chains_platform.gateway.flight import Balance, Flights
from chains_platform.gateway.table import Table
from chains_protocol.rpc import Revision

MAX_WAITING: Final = 1000
"""Requests that wait for a replica at once; more are told to come back."""

_FIRST_PAUSE_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 0.25


class Refusal(Exception):
    """An answer of the gateway itself: a status, a sentence, perhaps `Retry-After`."""

    def __init__(self, status: HTTPStatus, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


@dataclass
class Call:
    """A request being forwarded. `until` is the monotonic time at which waiting ends."""

    revision: Revision
    started: float
    until: float
    deadline_s: float | None = None
    pause_s: float = _FIRST_PAUSE_S
    unanswered: int = 0


@dataclass(frozen=True)
class Chosen:
    """A replica for one attempt."""

    address: str
    token: str


@dataclass
class Router:
    """The current table and what is under way: all state of a running gateway.

    `replace` is one assignment, so a request sees the old table or the new one.
    """

    table: Table
    clock: Callable[[], float]
    wait_s: float = 10.0
    flights: Flights = field(default_factory=Flights)
    balance: Balance = field(init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _waiting: int = 0

    def __post_init__(self) -> None:
        self.balance = Balance(self.clock)

    def replace(self, table: Table) -> None:
        """Serve from another table from now on; wakes the requests that wait for a replica."""
        self.table = table
        self.balance.keep(table.addresses())
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def call(self, revision: Revision, deadline: str | None, started: float) -> Call:
        """A request that came at `started`, by the router's clock; `deadline` is the header's text."""
        deadline_s = _seconds(deadline) if deadline is not None else None
        until = self.clock() + self.wait_s
        if deadline_s is not None:
            until = min(until, started + deadline_s)
        return Call(revision, started, until, deadline_s)

    async def choose(self, call: Call) -> Chosen:
        """A replica for the next attempt, waiting a bounded time for one to appear.

        Raises:
            Refusal: 503 with `Retry-After` if none came in time, 404 if the deployment is gone.
        """
        has_waited = False
        while True:
            found = self.table.replicas(call.revision.deployment, call.revision.version)
            if found is None:
                raise Refusal(HTTPStatus.NOT_FOUND, f"deployment `{call.revision.deployment}` is gone")
            address = self.balance.pick(found.addresses)
            if address is not None and (has_waited or not self.balance.is_suspect(address)):
                return Chosen(address, found.token)
            await self._wait(call)
            has_waited = True

    async def _wait(self, call: Call) -> None:
        """Until the table changes or a pause has passed; the pauses grow."""
        left = call.until - self.clock()
        if left <= 0 or self._waiting >= MAX_WAITING:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "no replica of the entrypoint answers; it may be starting",
                {"Retry-After": "1"},
            )
        self._waiting += 1
        try:
            async with asyncio.timeout(min(call.pause_s, left)):
                await self._changed.wait()
        except TimeoutError:
            call.pause_s = min(call.pause_s * 1.5, _LONGEST_PAUSE_S)
        finally:
            self._waiting -= 1


def _seconds(text: str) -> float | None:
    """The deadline header; None if it is not a sensible number of seconds."""
    try:
        value = float(text)
    except ValueError:
        return None
    return max(value, 0.0) if math.isfinite(value) else None


__all__ = ["MAX_WAITING", "Call", "Chosen", "Refusal", "Router"]
