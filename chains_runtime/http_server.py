"""An HTTP/1.1 server for one ASGI application, as small as the data plane needs.

Source: RFC 9112; parsing is httptools' (llhttp). Compared with a general server it starts faster,
takes less memory, and writes an answer in one piece. Websockets are handed to uvicorn, which is
loaded with the first of them.
"""

import asyncio
import http
import logging
import sys
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httptools

from chains_runtime.asgi import Header, Message, Receive, Scope, Send
from chains_runtime.receiving import receive_buffer

_LOG: Final = logging.getLogger(__name__)

KEEP_ALIVE_S: Final = 120.0
"""Longer than any client of ours keeps an idle connection."""
SWEEP_EVERY_S: Final = 30.0
MAX_HEAD_BYTES: Final = 1024 * 1024
"""More than a gateway lets through; who sends more has no token to show."""
PIPELINE: Final = 8
"""Requests that may wait on one connection while one is being answered."""

_STATUS_LINES: Final = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in http.HTTPStatus}

_CAN_START_EAGERLY: Final = sys.version_info >= (3, 12)

App = Callable[[Scope, Receive, Send], Any]
Upgrade = Callable[[asyncio.Transport, bytes], None]
"""Takes a connection over, given the bytes of the request that asks for it."""


class HttpServer:
    """The connections of a replica.

    Args:
        app: an ASGI application.
        upgrade: takes websocket connections.
    """

    def __init__(self, app: App, upgrade: Upgrade) -> None:
        self.app = app
        self.upgrade = upgrade
        self.buffer = receive_buffer()
        self.connections: set[ServerConnection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self.is_closing = False

    async def listen(self, listener: Any, backlog: int) -> None:
        """Accept connections on a bound socket."""
        self._servers.append(
            await self._loop.create_server(lambda: ServerConnection(self), sock=listener, backlog=backlog)
        )
        self._sweeper = self._loop.call_later(SWEEP_EVERY_S, self._sweep)

    def _sweep(self) -> None:
        oldest = self._loop.time() - KEEP_ALIVE_S
        for connection in tuple(self.connections):
            connection.close_if_idle_since(oldest)
        self._sweeper = self._loop.call_later(SWEEP_EVERY_S, self._sweep)

    def run(self, work: Any) -> None:
        """Start the answer of one request."""
        if _CAN_START_EAGERLY:
            # An answer that waits for nothing is written before this returns.
            task: asyncio.Task[None] = asyncio.Task(work, loop=self._loop, eager_start=True)  # type: ignore[call-arg, unused-ignore]
            if task.done():
                return
        else:
            task = self._loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def close(self, timeout_s: float) -> None:
        """Accept no more, let answers under way be finished, then end every connection."""
        self.is_closing = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for server in self._servers:
            server.close()
        for connection in tuple(self.connections):
            connection.finish()
        if self.tasks:
            await asyncio.wait(tuple(self.tasks), timeout=timeout_s)
        for task in tuple(self.tasks):
            task.cancel()
        for connection in tuple(self.connections):
            connection.abort()
        if self.tasks:
            await asyncio.wait(tuple(self.tasks), timeout=timeout_s)
        await asyncio.sleep(0)  # the connections learn that they are lost


class Exchange:
    """One request and its answer, as ASGI's `receive` and `send`."""

    __slots__ = (
        "_body",
        "_connection",
        "_head",
        "_waiter",
        "admitted",
        "chunked",
        "complete",
        "delivered",
        "expects_continue",
        "finished",
        "keep_alive",
        "scope",
        "started",
    )

    def __init__(
        self, connection: "ServerConnection", scope: Scope, *, keep_alive: bool, expects: bool
    ) -> None:
        self._connection = connection
        self._body: list[bytes] = []
        self._head = b""
        self._waiter: asyncio.Future[None] | None = None
        self.scope = scope
        self.keep_alive = keep_alive
        self.expects_continue = expects
        self.admitted = False
        self.complete = False
        """The request's body has arrived."""
        self.delivered = False
        """`receive` has given the body."""
        self.started = False
        self.chunked = False
        self.finished = False
        """The answer is written."""

    # --- what arrives ------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        self._body.append(data)

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self) -> Message:
        """The whole body at once; afterwards, the end of the connection."""
        if self.expects_continue and not self.complete and not self.started:
            self.expects_continue = False
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while True:
            if self._connection.is_lost or self.finished:
                return {"type": "http.disconnect"}
            if self.complete and not self.delivered:
                self.delivered = True
                body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
                self._body = []
                return {"type": "http.request", "body": body, "more_body": False}
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    # --- what is sent ------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """ASGI's `send`: the head is kept back until the body's first part, so both go in one piece."""
        connection = self._connection
        if connection.is_lost:
            return
        if message["type"] == "http.response.start":
            self._head = self._format_head(message["status"], message["headers"])
            return
        body: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        if not self.started:
            self.started = True
            self.chunked = more or b"content-length" not in self._head
            connection.write(self._first(body, more=more))
        else:
            connection.write(self._chunk(body, more=more))
        if not more:
            self.finished = True
            connection.answered(self)
        elif connection.is_paused:
            await connection.drained()

    def _format_head(self, status: int, headers: list[Header]) -> bytes:
        parts = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        if not self.keep_alive or self._connection.server.is_closing or not self.complete:
            # An answer before the end of the request: what follows can't be told apart.
            self.keep_alive = False
            parts.append(b"connection: close\r\n")
        return b"".join(parts)

    def _first(self, body: bytes, *, more: bool) -> bytes:
        is_head_request = self.scope["method"] == "HEAD"
        if not self.chunked:
            return self._head + b"\r\n" + (b"" if is_head_request else body)
        head = self._head + b"transfer-encoding: chunked\r\n\r\n"
        return head if is_head_request else head + self._chunk(body, more=more)

    def _chunk(self, body: bytes, *, more: bool) -> bytes:
        if not self.chunked:
            return body
        part = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
        return part if more else part + b"0\r\n\r\n"


class ServerConnection(asyncio.BufferedProtocol):
    """A client's connection: parses requests, answers them one after another."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.is_lost = False
        self.is_paused = False
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)  # set before anything arrives
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[Header] = []
        self._arriving: Exchange | None = None
        self._answering: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._expects = False
        self._upgrades = False
        self._is_in_head = False
        self._head_bytes = 0
        self._drain: asyncio.Future[None] | None = None
        self._active_at = 0.0

    # --- asyncio.BufferedProtocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._active_at = asyncio.get_running_loop().time()
        self.server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self.server.connections.discard(self)
        for exchange in (self._answering, *self._waiting):
            if exchange is not None:
                exchange.wake()
        self.resume_writing()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = self.server.buffer[:nbytes]
        self._head_bytes += nbytes
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._hand_over(bytes(data[upgrade.args[0] :]) if upgrade.args else b"")
        except httptools.HttpParserError as error:
            _LOG.info("A request that is not HTTP was refused: %s", error)
            self._refuse()
        else:
            if self._arriving is not None:
                self._admit(self._arriving)  # a long body: who is not let in need not send it
            elif self._is_in_head and self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)

    # --- httptools callbacks -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._expects = False
        self._is_in_head = True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._headers.append((name, value))
        if name == b"expect":
            self._expects = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._head_bytes = 0
        if self._parser.should_upgrade():
            self._upgrades = any(n == b"upgrade" and v.lower() == b"websocket" for n, v in self._headers)
            if self._upgrades:
                return
        path, query = _split(self._url)
        scope: Scope = {
            "type": "http",
            "method": self._parser.get_method().decode("ascii"),
            "path": path,
            "query_string": query,
            "headers": self._headers,
        }
        # Unknown upgrades are answered as plain requests; the parser can read no other request after one.
        keep_alive = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        self._arriving = Exchange(self, scope, keep_alive=keep_alive, expects=self._expects)

    def on_body(self, body: bytes) -> None:
        if self._arriving is not None:
            self._arriving.feed(body)
        self._head_bytes = 0

    def on_message_complete(self) -> None:
        exchange, self._arriving = self._arriving, None
        if exchange is not None:
            exchange.complete = True
            self._admit(exchange)
            exchange.wake()

    # --- answering ---------------------------------------------------------------------------------

    def _admit(self, exchange: Exchange) -> None:
        """Answer now, or after those before it."""
        if exchange.admitted:
            return
        exchange.admitted = True
        if self._answering is None:
            self._start(exchange)
        else:
            self._waiting.append(exchange)
            if len(self._waiting) > PIPELINE:
                self._transport.pause_reading()

    def _start(self, exchange: Exchange) -> None:
        self._answering = exchange
        self.server.run(self._answer(exchange))

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self.server.app(exchange.scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            self.abort()
            raise
        except Exception:  # our bug; the client must not wait, and the log must tell
            _LOG.exception("A request could not be answered.")
            if not exchange.started and not self.is_lost:
                self.write(
                    b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                )
        if not exchange.finished and not self.is_lost:
            # No end of the body is written: that is how a reader learns that it is cut off.
            self._transport.close()

    def answered(self, exchange: Exchange) -> None:
        """The answer is written; the next request may be answered."""
        self._active_at = asyncio.get_running_loop().time()
        exchange.wake()
        self._answering = None
        if not exchange.keep_alive:
            self._transport.close()
        elif self._waiting:
            self._start(self._waiting.popleft())
            self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def drained(self) -> None:
        """Wait until the client has taken most of what was written."""
        if self.is_paused and not self.is_lost:
            self._drain = asyncio.get_running_loop().create_future()
            await self._drain

    def _refuse(self, status: http.HTTPStatus = http.HTTPStatus.BAD_REQUEST) -> None:
        if self._answering is None:
            self.write(_STATUS_LINES[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self._transport.close()

    def _hand_over(self, rest: bytes) -> None:
        """Give the connection to the websocket implementation, with the request as it came."""
        if not self._upgrades:
            return
        lines = [b"%s %s HTTP/1.1\r\n" % (self._parser.get_method(), self._url)]
        lines += [name + b": " + value + b"\r\n" for name, value in self._headers]
        self.server.connections.discard(self)
        self.server.upgrade(self._transport, b"".join(lines) + b"\r\n" + rest)

    # --- ending ------------------------------------------------------------------------------------

    def close_if_idle_since(self, moment: float) -> None:
        if self._answering is None and self._active_at < moment:
            self._transport.close()

    def finish(self) -> None:
        """Close, at once or after the answer that is under way."""
        if self._answering is None:
            self._transport.close()
        else:
            self._answering.keep_alive = False

    def abort(self) -> None:
        if not self.is_lost:
            self._transport.abort()


@lru_cache(maxsize=256)
def _split(url: bytes) -> tuple[str, bytes]:
    """Path and query; also of a target in absolute form, which proxies may send."""
    if not url.startswith(b"/"):
        url = urlsplit(url).path or b"/"
    path, _, query = url.partition(b"?")
    return path.decode("latin-1"), query


__all__ = ["KEEP_ALIVE_S", "HttpServer"]
