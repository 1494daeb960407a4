"""One HTTP/1.1 connection to a replica, used for one exchange at a time.

Source: RFC 9112. Parsing is httptools' (llhttp); this file only joins its callbacks to futures.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Final, cast

import httptools

from truss_chains.calling import Answer

REFUSED: Final = b"x-chains-refused"
"""A replica's header on an answer that says: nothing of this request was executed."""
NOT_READY: Final = b"not-ready"
"""That header's value of a replica that loads or drains: soon it, or another one, may take the request."""

_PAUSE_BYTES: Final = 1024 * 1024


class LostConnection(ConnectionError):
    """The connection ended before the answer was complete. `untouched`: no byte of it had come."""

    def __init__(self, message: str, *, untouched: bool) -> None:
        super().__init__(message)
        self.untouched = untouched


class RefusedAnswer(Answer):
    """An answer of a replica that did nothing for this request: another replica may."""

    __slots__ = ()


class NotReadyAnswer(RefusedAnswer):
    """It loads or drains."""

    __slots__ = ()


class BodyStream:
    """The body of a successful answer while it arrives, chunk by chunk as the peer sent it."""

    status: Final = 200
    retry_after_s: Final = None

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._wakeup: asyncio.Future[None] | None = None
        self._ended = False
        self._error: Exception | None = None

    def feed(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > _PAUSE_BYTES:
            self._connection.pause_reading()
        self._wake()

    def end(self, error: Exception | None = None) -> None:
        self._ended = True
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def close(self) -> None:
        """Stop reading; an unfinished answer costs its connection, which tells the peer."""
        if not self._ended:
            self._connection.abort()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The chunks.

        Raises:
            LostConnection: the body ended before its end (R-27).
        """
        try:
            while True:
                while self._chunks:
                    chunk = self._chunks.popleft()
                    self._size -= len(chunk)
                    if self._size <= _PAUSE_BYTES // 2:
                        self._connection.resume_reading()
                    yield chunk
                if self._ended:
                    break
                self._wakeup = asyncio.get_running_loop().create_future()
                await self._wakeup
            if self._error is not None:
                raise self._error
        finally:
            self.close()


class _Exchange:
    """What one request waits for."""

    __slots__ = ("body", "future", "refused", "retry_after", "status", "stream", "wants_stream")

    def __init__(self, future: "asyncio.Future[Answer | BodyStream]", *, wants_stream: bool) -> None:
        self.future = future
        self.wants_stream = wants_stream
        self.status = 0
        self.body: list[bytes] = []
        self.stream: BodyStream | None = None
        self.retry_after = b""
        self.refused = b""

    def answer(self) -> Answer:
        body = self.body[0] if len(self.body) == 1 else b"".join(self.body)
        kind = NotReadyAnswer if self.refused == NOT_READY else RefusedAnswer if self.refused else Answer
        return kind(self.status, body, _seconds(self.retry_after))


def _seconds(value: bytes) -> float | None:
    try:
        return float(value) if value else None
    except ValueError:
        return None


class Connection(asyncio.BufferedProtocol):
    """A client connection.

    Args:
        released: called with the connection when its exchange is over and it may be used again.
        lost: called when it has ended.
        buffer: what is received is written there; shared with other connections of the event loop.
    """

    def __init__(
        self,
        released: "Callable[[Connection], None]",
        lost: "Callable[[Connection], None]",
        buffer: memoryview,
    ) -> None:
        self._buffer = buffer
        self._released = released
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: _Exchange | None = None
        self._touched = False
        self._chunk: list[bytes] | None = None
        self._paused = False
        self.used = False
        self.idle_since = 0.0

    # --- the client's side -------------------------------------------------------------------------

    def send(self, request: bytes, *, wants_stream: bool) -> "asyncio.Future[Answer | BodyStream]":
        """Write a request; the future gets the answer, or a `BodyStream` once its head is there."""
        if self._transport is None or self._exchange is not None:
            raise LostConnection("the connection is not free", untouched=True)
        future: asyncio.Future[Answer | BodyStream] = asyncio.get_running_loop().create_future()
        self._exchange = _Exchange(future, wants_stream=wants_stream)
        self._touched = False
        self._transport.write(request)
        return future

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def abort(self) -> None:
        """End at once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            self._paused = True

    def resume_reading(self) -> None:
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self._paused = False

    # --- asyncio.BufferedProtocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._touched = True
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(LostConnection(f"the peer's answer is not HTTP: {error}", untouched=False))
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        reason = f": {exc}" if exc is not None else ""
        self._fail(
            LostConnection(f"the connection ended before the answer{reason}", untouched=not self._touched)
        )
        self._transport = None
        self._lost(self)

    def _fail(self, error: LostConnection) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if exchange.stream is not None:
            exchange.stream.end(error)
        elif not exchange.future.done():
            exchange.future.set_exception(error)

    # --- httptools callbacks -----------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        lowered = name.lower()
        if lowered == b"retry-after":
            exchange.retry_after = value
        elif lowered == REFUSED:
            exchange.refused = value

    def on_headers_complete(self) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        exchange.status = self._parser.get_status_code()
        if exchange.wants_stream and exchange.status < 300 and not exchange.future.done():
            exchange.stream = BodyStream(self)
            exchange.future.set_result(exchange.stream)

    def on_chunk_header(self) -> None:
        self._chunk = []

    def on_body(self, body: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        if exchange.stream is None:
            exchange.body.append(body)
        elif self._chunk is not None:
            self._chunk.append(body)
        else:
            exchange.stream.feed(body)

    def on_chunk_complete(self) -> None:
        # One chunk is one item of a stream, so a reader gets items as they were yielded.
        chunk, self._chunk = self._chunk, None
        if chunk and self._exchange is not None and self._exchange.stream is not None:
            self._exchange.stream.feed(b"".join(chunk))

    def on_message_complete(self) -> None:
        exchange, self._exchange = self._exchange, None
        keep_alive = self._parser.should_keep_alive()
        self.used = True
        if exchange is not None:
            if exchange.stream is not None:
                exchange.stream.end()
            elif not exchange.future.done():
                exchange.future.set_result(exchange.answer())
        self.resume_reading()
        if keep_alive:
            self._released(self)
        else:
            self.abort()


__all__ = [
    "NOT_READY",
    "REFUSED",
    "BodyStream",
    "Connection",
    "LostConnection",
    "NotReadyAnswer",
    "RefusedAnswer",
]
