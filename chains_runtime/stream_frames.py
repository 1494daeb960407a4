"""The items of a stream on the wire.

`bytes` and `str` items are written as they are (R-26); between replicas one chunk of the HTTP
body is one item. Items of other types are framed: a JSON request gets one JSON document a line
(`application/x-ndjson`), a binary request gets 4 bytes of big-endian length and msgpack an item.
"""

import codecs
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Final

from pydantic import TypeAdapter

from chains_protocol.rpc import BINARY_TYPE
from chains_protocol.spec import StreamItem
from chains_runtime.endpoint import BadResult

LINES_TYPE: Final = "application/x-ndjson"
_LENGTH: Final = struct.Struct(">I")


def stream_content_type(item: StreamItem, *, binary: bool) -> str:
    """Of the answer that carries the stream."""
    return LINES_TYPE if item is StreamItem.MODEL and not binary else BINARY_TYPE


def item_writer(item: StreamItem, adapter: TypeAdapter[Any], *, binary: bool) -> Callable[[Any], bytes]:
    """What turns an item that the method yielded into bytes; it raises for one that does not fit."""
    if item is StreamItem.BYTES:
        return _plain_bytes
    if item is StreamItem.STR:
        return _plain_text
    write = _binary_writer(adapter) if binary else _line_writer(adapter)

    def checked(value: Any) -> bytes:
        try:
            return write(value)
        except ValueError as error:  # pydantic's and msgpack's errors are such
            raise _misfit(str(error)) from error

    return checked


def _line_writer(adapter: TypeAdapter[Any]) -> Callable[[Any], bytes]:
    return lambda value: adapter.dump_json(adapter.validate_python(value), by_alias=True) + b"\n"


def _binary_writer(adapter: TypeAdapter[Any]) -> Callable[[Any], bytes]:
    def write(value: Any) -> bytes:
        from truss_chains.text_keys import dump_binary

        payload = dump_binary(adapter, adapter.validate_python(value))
        return _LENGTH.pack(len(payload)) + payload

    return write


def _plain_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    try:
        return bytes(memoryview(value))
    except TypeError as error:
        raise _misfit(str(error)) from error


def _plain_text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _misfit(f"a stream of `str` yielded `{type(value).__qualname__}`")
    return value.encode()


def _misfit(problem: str) -> BadResult:
    """An item that is not what the annotation says (R-34)."""
    return BadResult(f"Internal error in model/chainlet: an item of the stream does not fit: {problem}")


async def read_items(
    item: StreamItem, adapter: TypeAdapter[Any], chunks: AsyncIterator[bytes], *, binary: bool
) -> AsyncGenerator[Any, None]:
    """The items of a stream that arrives in any chunks.

    Raises:
        ValueError: the stream ended inside an item, or an item does not fit the type.
    """
    if item is StreamItem.BYTES:
        async for chunk in chunks:
            yield chunk
    elif item is StreamItem.STR:
        decoder = codecs.getincrementaldecoder("utf-8")()
        async for chunk in chunks:
            text = decoder.decode(chunk)
            if text:
                yield text
        decoder.decode(b"", final=True)
    else:
        async for payload in _framed(chunks, binary=binary):
            yield _read_model(adapter, payload, binary=binary)


def _read_model(adapter: TypeAdapter[Any], payload: bytes, *, binary: bool) -> Any:
    if not binary:
        return adapter.validate_json(payload)
    from truss_chains.codec import decode_binary

    return adapter.validate_python(decode_binary(payload))


async def _framed(chunks: AsyncIterator[bytes], *, binary: bool) -> AsyncGenerator[bytes, None]:
    buffer = b""
    cut = _cut_frame if binary else _cut_line
    async for chunk in chunks:
        buffer += chunk
        while True:
            payload, rest = cut(buffer)
            if payload is None:
                break
            buffer = rest
            yield payload
    if buffer:
        raise ValueError("the stream ended inside an item")


def _cut_line(buffer: bytes) -> tuple[bytes | None, bytes]:
    line, end, rest = buffer.partition(b"\n")
    return (line, rest) if end else (None, buffer)


def _cut_frame(buffer: bytes) -> tuple[bytes | None, bytes]:
    if len(buffer) < _LENGTH.size:
        return None, buffer
    end = _LENGTH.size + _LENGTH.unpack_from(buffer)[0]
    return (buffer[_LENGTH.size : end], buffer[end:]) if len(buffer) >= end else (None, buffer)


__all__ = ["LINES_TYPE", "item_writer", "read_items", "stream_content_type"]
