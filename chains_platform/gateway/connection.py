"""One connection of a client: HTTP/1.1 in and out, one request after the other.

Written on asyncio's transports with httptools, because the gateway is on the road of every
request and a web framework costs more there than everything else together.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, cast

import httptools

from chains_platform.net.http1 import Headers
from chains_platform.net.inflow import Inflow, pause_reading

_MAX_HEAD_BYTES: Final = 64 * 1024
_MAX_PIPELINED: Final = 16
_MAX_DISCARDED_BYTES: Final = 8 * 1024 * 1024
"""So much of a body nobody wants is read, so that the client sees the answer before the end."""

_STATUS_LINES: Final = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
_LOGGER: Final = logging.getLogger("chains.gateway")

Handler = Callable[["Request"], Awaitable[None]]


class Request:
    """A request and the way to answer it: `respond`, or `begin`, `write` and `end`.

    Header names are lower case. `target` is the path with its query, still encoded.
    """

    __slots__ = (
        "_connection",
        "_is_chunked",
        "_keep_alive",
        "_version",
        "answered",
        "body",
        "headers",
        "is_upgrade",
        "method",
        "target",
    )

    def __init__(self, connection: "Connection") -> None:
        self.method = ""
        self.target = ""
        self.headers: Headers = []
        self.is_upgrade = False
        self.answered = False
        """Whether an answer has begun."""
        self.body = Inflow(connection.pause_body)
        self._connection = connection
        self._keep_alive = True
        self._is_chunked = False
        self._version = "1.1"

    def header(self, name: bytes) -> str | None:
        """The first header of that (lower case) name."""
        for found, value in self.headers:
            if found == name:
                return value.decode("latin-1")
        return None

    def understood(self, method: str, *, keep_alive: bool, version: str, is_upgrade: bool) -> None:
        """All headers are there."""
        self.method = method
        self.is_upgrade = is_upgrade
        self._keep_alive = keep_alive
        self._version = version

    @property
    def keeps_alive(self) -> bool:
        return self._keep_alive

    def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """The whole answer at once."""
        length = (b"content-length", b"%d" % len(body))
        head = self._head(status, [*headers, length])
        self._connection.write(head if self.method == "HEAD" else head + body)

    def begin(self, status: int, headers: Headers, length: int | None) -> None:
        """Status and headers; a body of `length` bytes (None: unknown) follows with `write`."""
        framing: Headers = []
        if length is not None:
            framing = [(b"content-length", b"%d" % length)]
        elif self._version == "1.1":
            framing = [(b"transfer-encoding", b"chunked")]
            self._is_chunked = True
        else:
            self._keep_alive = False  # such a client knows only the end of the connection
        self._connection.write(self._head(status, [*headers, *framing]))

    async def write(self, chunk: bytes) -> None:
        """A part of the body, no faster than the client takes it. `ConnectionError` if it is gone."""
        if chunk:
            self._connection.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._is_chunked else chunk)
            await self._connection.writable()

    def end(self) -> None:
        """The body is complete."""
        if self._is_chunked:
            self._connection.write(b"0\r\n\r\n")

    def abort(self) -> None:
        """The body will never be complete: end the connection, so that nobody takes it for whole."""
        self._connection.close()

    def go_on(self) -> None:
        """Tell a client that asked for it that its body is wanted."""
        if (self.header(b"expect") or "").lower() == "100-continue":
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def take_over(self, head: bytes) -> Inflow:
        """Answer with raw bytes; from now on the connection is no longer HTTP.

        Returns:
            What the client sends; `write_raw` goes the other way.
        """
        self.answered = True
        self._keep_alive = False
        inflow = self._connection.take_over()
        self._connection.write(head)
        return inflow

    async def write_raw(self, data: bytes) -> None:
        """Bytes to a connection that was taken over."""
        self._connection.write(data)
        await self._connection.writable()

    def _head(self, status: int, headers: Headers) -> bytes:
        self.answered = True
        if not self._keep_alive:
            headers.append((b"connection", b"close"))
        line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d -\r\n" % status
        return line + b"".join([b"%b: %b\r\n" % header for header in headers]) + b"\r\n"


class Connection(asyncio.BufferedProtocol):
    """Parses requests and runs the handler for each in a task, in order.

    Args:
        handler: answers a request.
        closed: told when the connection is gone.
        buffer: what is received goes through it; all connections of a loop can share one.
    """

    def __init__(self, handler: Handler, closed: Callable[["Connection"], None], buffer: memoryview) -> None:
        self.last_active = 0.0
        self._buffer = buffer
        self._handler = handler
        self._on_closed = closed
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._reading: Request | None = None
        self._waiting: deque[Request] = deque()
        self._active: Request | None = None
        self._task: asyncio.Task[None] | None = None
        self._raw: Inflow | None = None
        self._is_taken = False
        self._declined: Request | None = None
        self._writable: asyncio.Future[None] | None = None
        self._head_bytes = 0
        self._head_began = 0.0
        self._discarded = 0
        self._is_draining = False

    # life

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self._active is None

    def is_stale(self, now: float, idle_s: float, head_s: float) -> bool:
        """Whether nothing happened for too long, or a request's head takes too long to arrive."""
        if self._is_in_head and self._head_began < now - head_s:
            return True
        return self.is_idle and self.last_active < now - idle_s

    def drain(self) -> None:
        """Close after the request that is being answered, at once if there is none."""
        self._is_draining = True
        if self._active is None:
            self.close()

    def close(self) -> None:
        """Close when what was written is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.last_active = self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.resume_writing()
        self._on_closed(self)
        if self._raw is not None and self._is_taken:
            self._raw.finish()  # what came before the end is still carried on
        elif self._task is not None:
            self._task.cancel()
        if self._reading is not None:
            self._reading.body.fail(ConnectionResetError("the client went away"))

    # reading

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.last_active = self._loop.time()
        if self._raw is not None:
            self._raw.feed(bytes(self._buffer[:nbytes]))
        else:
            self._received(self._buffer[:nbytes])

    def _received(self, data: bytes | memoryview) -> None:
        self._head_bytes += len(data)
        left = data
        while left:
            left = self._parse(left)
        if self._waiting and self._active is None:
            self._start_next()

    def _parse(self, data: bytes | memoryview) -> bytes:
        """Feed the parser. Returns what is to be read once more, if it stopped on the way."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return self._upgraded(bytes(data[upgrade.args[0] :]))
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST)
        else:
            if self._is_in_head and self._head_bytes > _MAX_HEAD_BYTES:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        return b""

    @property
    def _is_in_head(self) -> bool:
        return self._reading is not None and not self._reading.method

    def _upgraded(self, rest: bytes) -> bytes:
        """The parser stopped behind a request with `Upgrade`; only websockets are one to us."""
        declined, self._declined = self._declined, None
        if declined is None:
            self._raw = Inflow(self.pause_body)
            if rest:
                self._raw.feed(rest)
            return b""
        if declined.method == "CONNECT":  # without `Upgrade`: there is nothing it could be read as
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED)
            return b""
        # another protocol was offered, which is not to be taken up: read it as a plain request
        line = f"{declined.method} {declined.target} HTTP/1.1\r\n".encode("latin-1")
        kept = [b"%b: %b\r\n" % header for header in declined.headers if header[0] != b"upgrade"]
        self._parser = httptools.HttpRequestParser(self)
        return line + b"".join(kept) + b"\r\n" + rest

    def take_over(self) -> Inflow:
        """Hand the connection's bytes behind an upgrade to somebody else."""
        if self._raw is None:
            raise RuntimeError("the request did not ask for an upgrade")
        self._is_taken = True
        return self._raw

    def pause_body(self, is_paused: bool) -> None:
        """Let the client wait, or go on."""
        pause_reading(self._transport, is_paused)

    def _refuse(self, status: HTTPStatus) -> None:
        """What came is not a request we can read: say so and end."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.body.fail(ConnectionResetError("the request is not HTTP"))
        if self._active is not None or self._waiting:
            self._is_draining = True  # those before it get their answer first
            return
        answer = reading or Request(self)
        answer.understood("", keep_alive=False, version="1.1", is_upgrade=False)
        answer.respond(status, [], b"")
        self.close()

    # httptools

    def on_message_begin(self) -> None:
        self._reading = Request(self)
        self._head_began = self._loop.time()

    def on_url(self, url: bytes) -> None:
        if self._reading is not None:
            self._reading.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reading is not None and not self._reading.method:  # else a trailer: not wanted
            self._reading.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        request, parser = self._reading, self._parser
        if request is None:
            return
        self._head_bytes = 0
        request.understood(
            parser.get_method().decode("ascii"),
            keep_alive=parser.should_keep_alive() and not self._is_draining,
            version=parser.get_http_version(),
            is_upgrade=parser.should_upgrade(),
        )
        if request.is_upgrade and (request.header(b"upgrade") or "").lower() != "websocket":
            self._declined = request  # the parser is about to stop; see `_upgraded`
            return
        self._waiting.append(request)
        if len(self._waiting) == _MAX_PIPELINED:
            self.pause_body(True)

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        request = self._reading
        if request is None:
            return
        if request is self._active or request in self._waiting:
            request.body.feed(body)
            return
        self._discarded += len(body)  # answered already
        if self._discarded > _MAX_DISCARDED_BYTES:
            self.close()

    def on_message_complete(self) -> None:
        request, self._reading = self._reading, None
        if request is not None:
            request.body.finish()
        self._head_bytes = self._discarded = 0

    # answering

    def _start_next(self) -> None:
        self._active = request = self._waiting.popleft()
        if len(self._waiting) == _MAX_PIPELINED - 1:
            self.pause_body(False)
        self._task = self._loop.create_task(self._answer(request))

    async def _answer(self, request: Request) -> None:
        try:
            await self._handler(request)
        except ConnectionError:
            self.close()  # the client went away while it was being answered
        except Exception:
            _LOGGER.exception("a request could not be answered")
            if request.answered:
                self.abort()
            else:
                request.respond(HTTPStatus.INTERNAL_SERVER_ERROR, [], b"")
        finally:
            self._task = self._active = None
            request.body.discard()
            if not request.keeps_alive or self._is_draining or self._raw is not None:
                self.close()
            elif self._waiting and self._transport is not None and not self._transport.is_closing():
                self._start_next()

    # writing

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def writable(self) -> None:
        """Wait until the client has taken enough. `ConnectionError` if it is gone."""
        if self._writable is not None:
            await self._writable
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the client went away")

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None


__all__ = ["Connection", "Handler", "Request"]
