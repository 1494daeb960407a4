"""The client between replicas: pools of connections, balancing, another try where none was made.

Comes in: a replica set and the bytes of a request. Goes out: its answer. Opens sockets, reads no
files.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from chains_runtime.connection import (
    BodyStream,
    Connection,
    LostConnection,
    NotReadyAnswer,
    RefusedAnswer,
)
from chains_runtime.receiving import receive_buffer
from truss_chains.calling import Answer

IDLE_LIMIT_S: Final = 30.0
"""Shorter than a replica keeps a connection open, so that a request never meets its closing."""
CONNECT_TIMEOUT_S: Final = 5.0
RESEND_AFTER_S: Final = 0.05
"""Before a request is sent once more to where its connection died: a process that is being killed may
still have its listening socket for a moment, and would take the second one along."""
AVOID_S: Final = 1.0
"""For so long, a replica that refused a connection is tried last."""


@dataclass(frozen=True)
class Target:
    """A parsed address: a socket path, or host and port."""

    path: str | None
    host: str
    port: int

    @classmethod
    def parse(cls, address: str) -> "Target":
        """Read `unix:<path>` or `http://host:port`; `ValueError` for anything else."""
        if address.startswith("unix:"):
            return cls(address.removeprefix("unix:"), "chainlet", 0)
        url = urlsplit(address)
        if url.scheme != "http" or not url.hostname:
            raise ValueError(f"not the address of a replica: {address!r}")
        return cls(None, url.hostname, url.port or 80)

    @property
    def host_header(self) -> str:
        return self.host if self.path is not None else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of a request that do not depend on the replica that gets it."""

    start: bytes
    """Request line and the headers that a replica set has in common, without `host`."""
    rest: bytes
    """Further header lines, the empty line, the body."""
    wants_stream: bool = False


class NotReached(ConnectionRefusedError):
    """No replica took the request, but one may soon: none could be reached, or it loads or drains.

    `was_sent`: it was on a connection that died before a byte of the answer came. `answer` is what
    a replica said that is not ready.
    """

    def __init__(self, message: str, *, was_sent: bool, answer: Answer | None = None) -> None:
        super().__init__(message)
        self.was_sent = was_sent
        self.answer = answer


class Pool:
    """The connections to one replica. `in_flight` counts exchanges under way."""

    def __init__(self, address: str, clock: Callable[[], float], buffer: memoryview) -> None:
        self._buffer = buffer
        self.target = Target.parse(address)
        self.in_flight = 0
        self.avoid_until = 0.0
        self._host = f"host: {self.target.host_header}\r\n".encode()
        self._clock = clock
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()

    def take_idle(self) -> Connection | None:
        """The most recently used idle connection that is certainly still open."""
        oldest = self._clock() - IDLE_LIMIT_S
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.idle_since >= oldest:
                return connection
            connection.abort()
        return None

    async def connect(self) -> Connection:
        """A new connection; `OSError` if there is none to be had."""
        loop = asyncio.get_running_loop()
        target = self.target

        def make() -> Connection:
            return Connection(self._release, self._forget, self._buffer)

        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                if target.path is not None:
                    _, connection = await loop.create_unix_connection(make, target.path)
                else:
                    _, connection = await loop.create_connection(make, target.host, target.port)
        except TimeoutError as error:
            raise ConnectionRefusedError(f"no connection within {CONNECT_TIMEOUT_S:g} s") from error
        self._open.add(connection)
        return connection

    async def exchange(self, request: Request, *, fresh: bool = False) -> Answer | BodyStream:
        """Send and wait; a cancelled caller costs the connection, which tells the replica."""
        self.in_flight += 1
        try:
            connection = None if fresh else self.take_idle()
            if connection is None:
                connection = await self.connect()
            data = b"".join((request.start, self._host, request.rest))
            try:
                return await connection.send(data, wants_stream=request.wants_stream)
            except asyncio.CancelledError:
                connection.abort()
                raise
        finally:
            self.in_flight -= 1

    def _release(self, connection: Connection) -> None:
        connection.idle_since = self._clock()
        self._idle.append(connection)

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    @property
    def is_quiet(self) -> bool:
        """Nothing is under way, no body is still arriving."""
        return self.in_flight == 0 and len(self._idle) == len(self._open)

    def close(self) -> None:
        for connection in tuple(self._open):
            connection.abort()
        self._idle.clear()


class Client:
    """Sends requests to replica sets. It belongs to one event loop.

    Each request goes to the replica of the set with the fewest exchanges under way. If a
    replica can't be reached or refuses, nothing was executed, and the others are tried. If a
    connection dies before a byte of the answer came, the request is sent once more: a call may
    then have begun twice, which is the price of a killed replica not being noticed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buffer = receive_buffer()
        self._pools: dict[str, Pool] = {}
        self._turn = 0

    def pool(self, address: str) -> Pool:
        found = self._pools.get(address)
        if found is None:
            found = self._pools[address] = Pool(address, self._clock, self._buffer)
        return found

    async def send(
        self, addresses: Sequence[str], request: Request, *, was_sent: bool = False
    ) -> Answer | BodyStream:
        """The answer of one of the replicas.

        Args:
            addresses: where they are.
            request: what to send.
            was_sent: it was sent before, and is not to be sent again once it was on a connection.

        Raises:
            NotReached: no replica could be reached.
            LostConnection: the answer broke off, or did not begin.
        """
        if len(addresses) == 1:
            return await self._send_to_one(self.pool(addresses[0]), request, was_sent)
        return await self._send_to_any(self._ordered(addresses), request, was_sent)

    async def _send_to_one(self, pool: Pool, request: Request, was_sent: bool) -> Answer | BodyStream:
        try:
            try:
                answer = await pool.exchange(request)
            except LostConnection as error:
                if was_sent or not error.untouched:
                    raise
                was_sent = True
                await asyncio.sleep(RESEND_AFTER_S)
                answer = await pool.exchange(request, fresh=True)
        except LostConnection:
            raise
        except OSError as error:
            raise NotReached(str(error), was_sent=was_sent) from error
        if isinstance(answer, NotReadyAnswer):
            raise NotReached("it is not ready", was_sent=was_sent, answer=answer)
        return answer

    async def _send_to_any(
        self, pools: Sequence[Pool], request: Request, was_sent: bool
    ) -> Answer | BodyStream:
        why = "no replica is running"
        not_ready: Answer | None = None
        refusal: Answer | None = None
        for pool in pools:
            try:
                answer = await pool.exchange(request)
            except LostConnection as error:
                if was_sent or not error.untouched:
                    raise
                was_sent, why = True, str(error)
            except OSError as error:
                pool.avoid_until = self._clock() + AVOID_S
                why = str(error)
            else:
                if not isinstance(answer, RefusedAnswer):
                    return answer
                if isinstance(answer, NotReadyAnswer):
                    not_ready = answer
                else:
                    refusal = answer
        if refusal is not None:
            return refusal
        raise NotReached(why, was_sent=was_sent, answer=not_ready)

    def _ordered(self, addresses: Sequence[str]) -> list[Pool]:
        """Reachable ones first, then by exchanges under way; equals in turn."""
        self._turn += 1
        count = len(addresses)
        pools = [self.pool(addresses[(self._turn + i) % count]) for i in range(count)]
        now = self._clock()
        return sorted(pools, key=lambda pool: (pool.avoid_until > now, pool.in_flight))

    def keep_only(self, addresses: Collection[str]) -> None:
        """Close the pools of replicas that left the table and have nothing under way."""
        for address in set(self._pools).difference(addresses):
            if self._pools[address].is_quiet:
                self._pools.pop(address).close()

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()


__all__ = ["CONNECT_TIMEOUT_S", "IDLE_LIMIT_S", "Client", "NotReached", "Pool", "Request", "Target"]
