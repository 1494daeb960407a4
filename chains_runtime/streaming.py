"""A streaming call's answer (R-26 to R-30).

The generator runs in a task of its own and holds the call's slot only until it is exhausted; what
a slow reader has not taken yet waits in memory, up to a bound. An exception after the first item
ends the body abnormally, so that a reader can tell (R-27); one before it is an ordinary error.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_core import to_json

from chains_protocol.spec import StreamItem
from chains_runtime.asgi import Send, send_bytes
from chains_runtime.calls import Incoming, Lease, describe_failure
from chains_runtime.request_context import RequestHeaders
from chains_runtime.stream_frames import item_writer, stream_content_type

_LOG: Final = logging.getLogger(__name__)
AHEAD_BYTES: Final = 16 * 1024 * 1024
"""How far a generator may run ahead of its reader."""


class _Items:
    """Written items between the generator's task and the answer's."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False
        self.error: BaseException | None = None

    async def put(self, chunk: bytes) -> None:
        await self._room.wait()
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > AHEAD_BYTES:
            self._room.clear()
        self._filled.set()

    def end(self, error: BaseException | None) -> None:
        self._ended = True
        self.error = error
        self._filled.set()

    async def next(self, timeout_s: float | None) -> bytes | None:
        """The next chunk, None at the end; `TimeoutError` if none comes in time."""
        while not self._chunks:
            if self._ended:
                return None
            self._filled.clear()
            async with asyncio.timeout(timeout_s):
                await self._filled.wait()
        chunk = self._chunks.popleft()
        self._size -= len(chunk)
        self._room.set()
        return chunk


async def serve_stream(incoming: Incoming, lease: Lease, stream: AsyncIterator[Any]) -> None:
    """Send the items of `stream`; the caller ends the lease."""
    signature = lease.generation.served.signature
    item = signature.stream_item or StreamItem.BYTES
    if _wants_json(incoming.headers):
        await _send_collected(stream, item, signature.answer, incoming.send)
        return
    items = _Items()
    write = item_writer(item, signature.answer, binary=incoming.is_binary)
    producer = asyncio.create_task(_produce(stream, write, items, lease))
    try:
        await _send_items(incoming, lease, items, stream_content_type(item, binary=incoming.is_binary))
    finally:
        if not producer.done():
            producer.cancel()
            await asyncio.wait([producer])


def _wants_json(headers: RequestHeaders) -> bool:
    """R-26: the caller asks for one JSON document; openai's client says so, too, but means a stream."""
    return headers.accept == b"application/json" and b"openai" not in headers.user_agent.lower()


async def _produce(
    stream: AsyncIterator[Any], write: Callable[[Any], bytes], items: _Items, lease: Lease
) -> None:
    try:
        async with aclosing(stream) as source:  # type: ignore[type-var]  # async generators can be closed
            async for value in source:
                await items.put(write(value))
    except BaseException as error:  # handed to the task that answers
        items.end(error)
        if isinstance(error, asyncio.CancelledError):
            raise
    else:
        items.end(None)
    finally:
        lease.free_slot()


async def _send_items(incoming: Incoming, lease: Lease, items: _Items, content_type: str) -> None:
    send = incoming.send
    chunk = await items.next(None)
    if items.error is not None and chunk is None:
        raise items.error
    headers = [(b"content-type", content_type.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    pause_s = lease.generation.package.spec.options.streaming_read_timeout_s
    while chunk is not None:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        try:
            chunk = await items.next(pause_s)
        except TimeoutError:
            # Returning without an end of the body makes the server break the connection.
            _LOG.error("The stream is ended: no item within `streaming_read_timeout` (%d s).", pause_s)
            incoming.replica.errors_total += 1
            return
    if items.error is not None:
        describe_failure(incoming.replica, items.error)
        return
    await send({"type": "http.response.body", "body": b""})


async def _send_collected(
    stream: AsyncIterator[Any], item: StreamItem, adapter: TypeAdapter[Any], send: Send
) -> None:
    """One JSON string (or array, of typed items) instead of a stream; errors are ordinary ones."""
    async with aclosing(stream) as source:  # type: ignore[type-var]  # async generators can be closed
        values = [value async for value in source]
    if item is StreamItem.MODEL:
        documents = (adapter.dump_json(adapter.validate_python(v), by_alias=True) for v in values)
        body = b"[" + b",".join(documents) + b"]"
    else:
        write = item_writer(item, adapter, binary=False)
        body = to_json(b"".join(write(v) for v in values).decode())
    await send_bytes(send, 200, body)


__all__ = ["AHEAD_BYTES", "serve_stream"]
