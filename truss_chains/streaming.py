"""Typed frames on top of `AsyncIterator[bytes]`: an optional header, items, an optional footer.

A frame is 1 byte kind, 4 bytes big-endian payload length, then the payload: UTF-8 JSON of a
pydantic model. There is no error frame: a stream that broke off looks like one without footer,
so use a footer where completeness matters.

Example:
    types = stream_types(Token, header_type=Meta, footer_type=Usage)

    async def run_remote(self) -> AsyncIterator[bytes]:
        out = stream_writer(types)
        yield out.yield_header(Meta(model="m1"))
        for token in tokens:
            yield out.yield_item(token)
        yield out.yield_footer(Usage(n=len(tokens)))

    reader = stream_reader(types, dependency.run_remote())
    meta = await reader.read_header()
    async for token in reader.read_items():
        ...
    usage = await reader.read_footer()
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from enum import IntEnum
from typing import Final, Generic, TypeVar, overload

from pydantic import BaseModel

ItemT = TypeVar("ItemT", bound=BaseModel)
HeaderT = TypeVar("HeaderT", bound=BaseModel)
FooterT = TypeVar("FooterT", bound=BaseModel)
ModelT = TypeVar("ModelT", bound=BaseModel)

_TAG: Final = struct.Struct(">BI")


class _Kind(IntEnum):
    """First byte of a frame; 1 and 5 are reserved and never sent."""

    HEADER = 2
    ITEM = 3
    FOOTER = 4


# --- types ---------------------------------------------------------------------------------------------


class StreamTypes(Generic[ItemT]):
    """The models of a stream; make it with `stream_types`."""

    def __init__(self, item_type: type[ItemT]) -> None:
        self.item_type = item_type


class _WithHeader(Generic[HeaderT]):
    header_type: type[HeaderT]


class _WithFooter(Generic[FooterT]):
    footer_type: type[FooterT]


class HeaderStreamTypes(StreamTypes[ItemT], _WithHeader[HeaderT], Generic[ItemT, HeaderT]):
    """The models of a stream with a header."""


class FooterStreamTypes(StreamTypes[ItemT], _WithFooter[FooterT], Generic[ItemT, FooterT]):
    """The models of a stream with a footer."""


class FullStreamTypes(
    StreamTypes[ItemT], _WithHeader[HeaderT], _WithFooter[FooterT], Generic[ItemT, HeaderT, FooterT]
):
    """The models of a stream with header and footer."""


@overload
def stream_types(
    item_type: type[ItemT], *, header_type: type[HeaderT], footer_type: type[FooterT]
) -> FullStreamTypes[ItemT, HeaderT, FooterT]: ...
@overload
def stream_types(
    item_type: type[ItemT], *, header_type: type[HeaderT], footer_type: None = None
) -> HeaderStreamTypes[ItemT, HeaderT]: ...
@overload
def stream_types(
    item_type: type[ItemT], *, header_type: None = None, footer_type: type[FooterT]
) -> FooterStreamTypes[ItemT, FooterT]: ...
@overload
def stream_types(
    item_type: type[ItemT], *, header_type: None = None, footer_type: None = None
) -> StreamTypes[ItemT]: ...
def stream_types(
    item_type: type[ItemT],
    *,
    header_type: type[HeaderT] | None = None,
    footer_type: type[FooterT] | None = None,
) -> StreamTypes[ItemT]:
    """Say which models a stream holds.

    Raises:
        TypeError: one of them is not a pydantic model class.
    """
    models: tuple[object, ...] = (item_type, header_type, footer_type)
    for given in models:
        if given is not None and not (isinstance(given, type) and issubclass(given, BaseModel)):
            raise TypeError(f"streams hold pydantic models, `{given!r}` is not a model class")
    if header_type is not None and footer_type is not None:
        full = FullStreamTypes[ItemT, HeaderT, FooterT](item_type)
        full.header_type, full.footer_type = header_type, footer_type
        return full
    if header_type is not None:
        with_header = HeaderStreamTypes[ItemT, HeaderT](item_type)
        with_header.header_type = header_type
        return with_header
    if footer_type is not None:
        with_footer = FooterStreamTypes[ItemT, FooterT](item_type)
        with_footer.footer_type = footer_type
        return with_footer
    return StreamTypes(item_type)


# --- writing -------------------------------------------------------------------------------------------


class StreamWriter(Generic[ItemT]):
    """Makes frames in their order; each method returns the bytes to yield."""

    def __init__(self) -> None:
        self._last: _Kind | None = None

    def yield_item(self, item: ItemT) -> bytes:
        """The frame of an item; `ValueError` after the footer."""
        if self._last is _Kind.FOOTER:
            raise ValueError("an item can't follow the footer of a stream")
        return self._frame(_Kind.ITEM, item)

    def _frame(self, kind: _Kind, model: BaseModel) -> bytes:
        payload = model.model_dump_json(by_alias=True).encode()
        self._last = kind
        return _TAG.pack(kind, len(payload)) + payload


class HeaderStreamWriter(StreamWriter[ItemT], Generic[ItemT, HeaderT]):
    """A writer of a stream with a header."""

    def yield_header(self, header: HeaderT) -> bytes:
        """The frame of the header; `ValueError` unless it is the first frame."""
        if self._last is not None:
            raise ValueError("the header must be the first frame of a stream")
        return self._frame(_Kind.HEADER, header)


class FooterStreamWriter(StreamWriter[ItemT], Generic[ItemT, FooterT]):
    """A writer of a stream with a footer."""

    def yield_footer(self, footer: FooterT) -> bytes:
        """The frame of the footer, the last one; `ValueError` if there was one."""
        if self._last is _Kind.FOOTER:
            raise ValueError("a stream has one footer, and it was written already")
        return self._frame(_Kind.FOOTER, footer)


class FullStreamWriter(
    HeaderStreamWriter[ItemT, HeaderT], FooterStreamWriter[ItemT, FooterT], Generic[ItemT, HeaderT, FooterT]
):
    """A writer of a stream with header and footer."""


@overload
def stream_writer(
    types: FullStreamTypes[ItemT, HeaderT, FooterT],
) -> FullStreamWriter[ItemT, HeaderT, FooterT]: ...
@overload
def stream_writer(types: HeaderStreamTypes[ItemT, HeaderT]) -> HeaderStreamWriter[ItemT, HeaderT]: ...
@overload
def stream_writer(types: FooterStreamTypes[ItemT, FooterT]) -> FooterStreamWriter[ItemT, FooterT]: ...
@overload
def stream_writer(types: StreamTypes[ItemT]) -> StreamWriter[ItemT]: ...
def stream_writer(types: StreamTypes[ItemT]) -> StreamWriter[ItemT]:
    """A writer for one stream; it has header and footer methods only if their types were given."""
    match types:
        case FullStreamTypes():
            return FullStreamWriter()
        case HeaderStreamTypes():
            return HeaderStreamWriter()
        case FooterStreamTypes():
            return FooterStreamWriter()
        case _:
            return StreamWriter()


# --- reading -------------------------------------------------------------------------------------------


class _Frames:
    """Cuts chunks of any size into frames, one frame ahead."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._next: tuple[_Kind, bytes] | None = None
        self._ended = False

    async def peek(self) -> tuple[_Kind, bytes] | None:
        """The next frame, left in place; None at the end of the stream.

        Raises:
            asyncio.IncompleteReadError: the stream ends within a frame.
            ValueError: a frame of unknown kind.
        """
        if self._next is None and not self._ended:
            self._next = await self._read()
        return self._next

    def drop(self) -> None:
        """Go on to the frame after the next."""
        self._next = None

    async def _read(self) -> tuple[_Kind, bytes] | None:
        if not await self._fill(_TAG.size) and not self._buffer:
            self._ended = True
            return None
        tag = self._take(_TAG.size)
        number, length = _TAG.unpack(tag)
        try:
            kind = _Kind(number)
        except ValueError:
            raise ValueError(f"not a frame of a stream writer: its kind is {number}") from None
        await self._fill(length)
        return kind, self._take(length)

    async def _fill(self, size: int) -> bool:
        while len(self._buffer) < size:
            try:
                self._buffer += await anext(self._stream)
            except StopAsyncIteration:
                return False
        return True

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        if len(taken) < size:
            raise asyncio.IncompleteReadError(taken, size)
        del self._buffer[:size]
        return taken


class StreamReader(Generic[ItemT]):
    """Reads one stream, whatever the chunks it arrives in."""

    def __init__(self, types: StreamTypes[ItemT], stream: AsyncIterator[bytes]) -> None:
        self._types = types
        self._frames = _Frames(aiter(stream))

    async def read_items(self) -> AsyncIterator[ItemT]:
        """The items, up to the footer or the end.

        Raises:
            ValueError: the header was not read yet, or comes again.
            pydantic.ValidationError: an item does not match its model.
            asyncio.IncompleteReadError: the stream ends within a frame.
        """
        while (frame := await self._frames.peek()) is not None:
            kind, payload = frame
            if kind is _Kind.HEADER:
                raise ValueError("the stream has a header that was not read: call `read_header` first")
            if kind is _Kind.FOOTER:
                return
            self._frames.drop()
            yield self._types.item_type.model_validate_json(payload)

    async def _read_one(self, kind: _Kind, model: type[ModelT]) -> ModelT:
        frame = await self._frames.peek()
        if frame is None:
            raise ValueError(f"the stream ended, there is no {kind.name.lower()}")
        if frame[0] is not kind:
            hint = ": read all items first" if kind is _Kind.FOOTER else ""
            raise ValueError(f"the next frame is of kind {frame[0].name}, not {kind.name}{hint}")
        self._frames.drop()
        return model.model_validate_json(frame[1])


class HeaderStreamReader(StreamReader[ItemT], Generic[ItemT, HeaderT]):
    """A reader of a stream with a header."""

    _types: "HeaderStreamTypes[ItemT, HeaderT] | FullStreamTypes[ItemT, HeaderT, BaseModel]"

    async def read_header(self) -> HeaderT:
        """The header; `ValueError` if it is not the next frame."""
        return await self._read_one(_Kind.HEADER, self._types.header_type)


class FooterStreamReader(StreamReader[ItemT], Generic[ItemT, FooterT]):
    """A reader of a stream with a footer."""

    _types: "FooterStreamTypes[ItemT, FooterT] | FullStreamTypes[ItemT, BaseModel, FooterT]"

    async def read_footer(self) -> FooterT:
        """The footer; `ValueError` if items are left or the stream has none."""
        return await self._read_one(_Kind.FOOTER, self._types.footer_type)


class FullStreamReader(
    HeaderStreamReader[ItemT, HeaderT], FooterStreamReader[ItemT, FooterT], Generic[ItemT, HeaderT, FooterT]
):
    """A reader of a stream with header and footer."""

    _types: FullStreamTypes[ItemT, HeaderT, FooterT]  # type: ignore[assignment]  # narrower than both bases


@overload
def stream_reader(
    types: FullStreamTypes[ItemT, HeaderT, FooterT], stream: AsyncIterator[bytes]
) -> FullStreamReader[ItemT, HeaderT, FooterT]: ...
@overload
def stream_reader(
    types: HeaderStreamTypes[ItemT, HeaderT], stream: AsyncIterator[bytes]
) -> HeaderStreamReader[ItemT, HeaderT]: ...
@overload
def stream_reader(
    types: FooterStreamTypes[ItemT, FooterT], stream: AsyncIterator[bytes]
) -> FooterStreamReader[ItemT, FooterT]: ...
@overload
def stream_reader(types: StreamTypes[ItemT], stream: AsyncIterator[bytes]) -> StreamReader[ItemT]: ...
def stream_reader(types: StreamTypes[ItemT], stream: AsyncIterator[bytes]) -> StreamReader[ItemT]:
    """A reader of `stream`; it has header and footer methods only if their types were given."""
    match types:
        case FullStreamTypes():
            return FullStreamReader(types, stream)
        case HeaderStreamTypes():
            return HeaderStreamReader(types, stream)
        case FooterStreamTypes():
            return FooterStreamReader(types, stream)
        case _:
            return StreamReader(types, stream)


__all__ = [
    "FooterStreamReader",
    "FooterStreamTypes",
    "FooterStreamWriter",
    "FullStreamReader",
    "FullStreamTypes",
    "FullStreamWriter",
    "HeaderStreamReader",
    "HeaderStreamTypes",
    "HeaderStreamWriter",
    "StreamReader",
    "StreamTypes",
    "StreamWriter",
    "stream_reader",
    "stream_types",
    "stream_writer",
]
