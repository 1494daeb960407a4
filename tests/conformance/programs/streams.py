"""Streams of bytes, text and models: whole, empty, broken, over two hops, left early."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel, Field

import truss_chains as chains
from truss_chains import streaming


class Token(BaseModel):
    text: str
    score: float = Field(default=0.5, alias="p")


class Meta(BaseModel):
    model: str


class Usage(BaseModel):
    tokens: int


FRAMES = streaming.stream_types(Token, header_type=Meta, footer_type=Usage)
TEXT = "grüße 世界 🚀"


class Read(BaseModel):
    """What a reader got: items, then the class of what ended the stream, if anything did."""

    items: list[str] = []
    raised: str = ""
    note: str = ""


class ByteSource(chains.ChainletBase):
    def __init__(self) -> None:
        self._closed = 0

    async def run_remote(self, how: str, count: int = 3) -> AsyncIterator[bytes]:
        try:
            if how == "fails at once":
                raise LookupError("before the first item")
            if how == "cut characters":
                data = TEXT.encode()
                for n in range(len(data)):
                    yield data[n : n + 1]
            elif how == "large":
                for n in range(count):
                    yield bytes([n]) * 300_000
            elif how == "holes":
                yield b""
                yield b"a"
                yield b""
                yield b"b"
            elif how == "text instead":
                yield "text"  # type: ignore[misc]
            elif how == "frames":
                out = streaming.stream_writer(FRAMES)
                yield out.yield_header(Meta(model="m"))
                for n in range(count):
                    yield out.yield_item(Token(text=str(n), p=n))
                yield out.yield_footer(Usage(tokens=count))
            elif how == "closed count":
                yield str(self._closed).encode()
            elif how == "slow":
                for n in range(count):
                    yield str(n).encode()
                    await asyncio.sleep(0.4)
            else:
                for n in range(0 if how == "empty" else count):
                    yield str(n).encode()
                    await asyncio.sleep(0)
                if how == "breaks":
                    raise LookupError("in the middle")
        except GeneratorExit:
            self._closed += 1
            raise
        except asyncio.CancelledError:
            self._closed += 1
            raise


class TextSource(chains.ChainletBase):
    async def run_remote(self, how: str) -> AsyncIterator[str]:
        if how == "fails at once":
            raise LookupError("before the first item")
        if how == "bytes instead":
            yield b"bytes"  # type: ignore[misc]
        if how == "holes":
            yield ""
            yield "a"
            yield ""
        if how == "characters":
            for letter in TEXT:
                yield letter
        if how == "breaks":
            yield "one"
            raise LookupError("in the middle")


class TokenSource(chains.ChainletBase):
    async def run_remote(self, how: str) -> AsyncIterator[Token]:
        wrong: Any = {"p": "x"}
        if how == "fails at once":
            raise LookupError("before the first item")
        if how == "first does not fit":
            yield wrong
        if how != "empty":
            yield Token(text="a\nb", p=1)
            yield Token(text="世")
        if how == "breaks":
            raise LookupError("in the middle")
        if how == "later does not fit":
            yield wrong


class BinaryTokenSource(TokenSource):
    pass


class Numbers(chains.ChainletBase):
    async def run_remote(self, count: int) -> AsyncIterator[int | None]:
        for n in range(count):
            yield n or None


class Relay(chains.ChainletBase):
    """The middle of two hops: passes each item on as it comes."""

    def __init__(
        self,
        tokens: TokenSource = chains.depends(TokenSource),
        texts: TextSource = chains.depends(TextSource),
    ) -> None:
        self._tokens = tokens
        self._texts = texts

    async def run_remote(self, source: str, how: str) -> AsyncIterator[str]:
        if source == "tokens":
            async for token in self._tokens.run_remote(how):
                yield f"<{token.text}>"
        else:
            async for text in self._texts.run_remote(how):
                yield text


@chains.mark_entrypoint("conformance-streams")
class Streams(chains.ChainletBase):
    """Reads one stream to its end."""

    def __init__(
        self,
        data: ByteSource = chains.depends(ByteSource),
        texts: TextSource = chains.depends(TextSource),
        tokens: TokenSource = chains.depends(TokenSource),
        binary: BinaryTokenSource = chains.depends(BinaryTokenSource, use_binary=True),
        numbers: Numbers = chains.depends(Numbers),
        relay: Relay = chains.depends(Relay),
    ) -> None:
        self._data = data
        self._texts = texts
        self._tokens = {"tokens": tokens, "binary tokens": binary}
        self._numbers = numbers
        self._relay = relay

    async def run_remote(self, source: str, how: str) -> Read:
        if source == "left early":
            return await self._left_early()
        if source == "frames":
            return await self._frames()
        if source == "at the same time":
            return await self._together()
        if source == "as they come":
            return await self._as_they_come()
        read = Read()
        try:
            async for item in self._open(source, how):
                read.items.append(item)
        except Exception as error:
            read.raised = type(error).__name__
        return read

    async def _open(self, source: str, how: str) -> AsyncIterator[str]:
        if source == "data":
            async for chunk in self._data.run_remote(how):
                yield f"{type(chunk).__name__} {len(chunk)}" if len(chunk) > 100 else repr(chunk)
        elif source == "joined data":
            yield b"".join([chunk async for chunk in self._data.run_remote(how)]).decode()
        elif source == "texts":
            async for text in self._texts.run_remote(how):
                yield repr(text)
        elif source == "numbers":
            async for number in self._numbers.run_remote(int(how)):
                yield repr(number)
        elif source.startswith("relay"):
            async for text in self._relay.run_remote(source.partition(" ")[2], how):
                yield text
        else:
            async for token in self._tokens[source].run_remote(how):
                yield repr(token)

    async def _left_early(self) -> Read:
        stream = self._data.run_remote("endless", count=10**9)
        first = await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        ends_at = time.monotonic() + 10
        while time.monotonic() < ends_at:
            (closed,) = [chunk async for chunk in self._data.run_remote("closed count")]
            if closed != b"0":
                return Read(items=[repr(first)], note="the producer was closed")
            await asyncio.sleep(0.01)
        return Read(items=[repr(first)], note="the producer goes on")

    async def _frames(self) -> Read:
        reader = streaming.stream_reader(FRAMES, self._data.run_remote("frames"))
        header = await reader.read_header()
        items = [repr(item) async for item in reader.read_items()]
        return Read(items=[repr(header), *items, repr(await reader.read_footer())])

    async def _together(self) -> Read:
        async def one(n: int) -> int:
            return len([token async for token in self._tokens["tokens"].run_remote("whole")]) + n

        return Read(items=[str(n) for n in await asyncio.gather(*(one(n) for n in range(20)))])

    async def _as_they_come(self) -> Read:
        """The first item is there long before the last one is made."""
        begin = time.monotonic()
        stream = self._data.run_remote("slow")
        await anext(stream)
        first = time.monotonic() - begin
        rest = [chunk async for chunk in stream]
        whole = time.monotonic() - begin
        return Read(items=[repr(chunk) for chunk in rest], note="early" if first < whole / 2 else "late")
