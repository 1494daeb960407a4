"""Listens, and ends in order."""

import asyncio
import socket
from pathlib import Path
from typing import Final

from chains_platform.gateway.connection import Connection, Handler
from chains_platform.net.inflow import receive_buffer

_IDLE_S: Final = 300.0
"""A connection on which nothing happens is closed after so long."""

_HEAD_S: Final = 60.0
"""So long the head of a request may take to arrive: who sends a byte now and then is not kept."""

_SWEEP_S: Final = 10.0


class Server:
    """Any number of listeners with one handler."""

    def __init__(
        self, handler: Handler, idle_s: float = _IDLE_S, head_s: float = _HEAD_S, sweep_s: float = _SWEEP_S
    ) -> None:
        self._handler = handler
        self._idle_s = idle_s
        self._head_s = head_s
        self._sweep_s = sweep_s
        self._buffer = receive_buffer()
        self._connections: set[Connection] = set()
        self._listeners: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._all_closed: asyncio.Future[None] | None = None

    async def listen(self, bound: socket.socket) -> None:
        """Accept on a bound TCP socket."""
        bound.setblocking(False)
        loop = asyncio.get_running_loop()
        self._listeners.append(await loop.create_server(self._connect, sock=bound, backlog=1024))
        self._sweep_later()

    async def listen_unix(self, path: Path) -> None:
        """Accept on a Unix socket that only its owner can open."""
        path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._listeners.append(await loop.create_unix_server(self._connect, path, backlog=128))
        path.chmod(0o600)

    async def close(self, grace_s: float) -> None:
        """Stop listening, let requests under way end for `grace_s`, then end them."""
        for listener in self._listeners:
            listener.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in tuple(self._connections):
            connection.drain()
        if self._connections:
            self._all_closed = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._all_closed], timeout=grace_s)
        for connection in tuple(self._connections):
            connection.abort()

    def _connect(self) -> Connection:
        connection = Connection(self._handler, self._closed, self._buffer)
        self._connections.add(connection)
        return connection

    def _closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if self._all_closed is not None and not self._connections and not self._all_closed.done():
            self._all_closed.set_result(None)

    def _sweep_later(self) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._sweep_s, self._sweep)

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in tuple(self._connections):
            if connection.is_stale(now, self._idle_s, self._head_s):
                connection.abort()  # what a client has not read until now it never will
        self._sweeper = None
        self._sweep_later()


__all__ = ["Server"]
