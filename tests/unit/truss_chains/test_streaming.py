"""W-rules: typed frames on a stream of bytes."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from truss_chains import streaming


class Meta(BaseModel):
    model: str


class Token(BaseModel):
    a: int


class Usage(BaseModel):
    n: int


FULL = streaming.stream_types(Token, header_type=Meta, footer_type=Usage)
HEADER = streaming.stream_types(Token, header_type=Meta)
FOOTER = streaming.stream_types(Token, footer_type=Usage)
ITEMS = streaming.stream_types(Token)


async def feed(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def frames(*values: int) -> list[bytes]:
    out = streaming.stream_writer(FULL)
    written = [out.yield_header(Meta(model="m"))]
    written += [out.yield_item(Token(a=v)) for v in values]
    return [*written, out.yield_footer(Usage(n=len(values)))]


async def test_w02_a_frame_is_kind_length_and_json() -> None:
    out = streaming.stream_writer(ITEMS)
    assert out.yield_item(Token(a=1)) == bytes.fromhex("03 00 00 00 07 7b 22 61 22 3a 31 7d")
    assert [frame[0] for frame in frames(1)] == [2, 3, 4]


def test_w01_header_and_footer_methods_exist_only_with_their_types() -> None:
    for types, header, footer in ((ITEMS, 0, 0), (HEADER, 1, 0), (FOOTER, 0, 1), (FULL, 1, 1)):
        writer, reader = streaming.stream_writer(types), streaming.stream_reader(types, feed([]))
        assert [hasattr(writer, "yield_header"), hasattr(writer, "yield_footer")] == [header, footer]
        assert [hasattr(reader, "read_header"), hasattr(reader, "read_footer")] == [header, footer]
        assert [hasattr(types, "header_type"), hasattr(types, "footer_type")] == [header, footer]
    with pytest.raises(TypeError, match="model"):
        streaming.stream_types(int)  # type: ignore[type-var]


def test_w03_order_of_writing() -> None:
    out = streaming.stream_writer(FULL)
    out.yield_item(Token(a=1))
    with pytest.raises(ValueError, match="header"):
        out.yield_header(Meta(model="m"))
    out.yield_footer(Usage(n=1))
    with pytest.raises(ValueError, match="footer"):
        out.yield_item(Token(a=1))
    with pytest.raises(ValueError, match="footer"):
        out.yield_footer(Usage(n=1))
    with pytest.raises(ValueError, match="header"):
        out.yield_header(Meta(model="m"))


def test_w04_frames_are_bytes() -> None:
    assert [type(frame) for frame in frames(1, 2)] == [bytes] * 4


@pytest.mark.parametrize(("sent", "whole"), [(3, True), (2, False)])
async def test_w11_only_a_footer_tells_a_whole_stream_from_one_that_broke_off(sent: int, whole: bool) -> None:
    """There is no error frame: a producer that failed between two items just ends."""
    out = streaming.stream_writer(FOOTER)
    written = [out.yield_item(Token(a=v)) for v in range(2)] + [out.yield_footer(Usage(n=2))]
    reader = streaming.stream_reader(FOOTER, feed(written[:sent]))
    assert [token.a async for token in reader.read_items()] == [0, 1]
    if whole:
        assert (await reader.read_footer()).n == 2
    else:
        with pytest.raises(ValueError, match="footer"):
            await reader.read_footer()


@given(st.lists(st.integers()), st.lists(st.integers(0, 400), max_size=30))
def test_w05_any_chunking_reads_the_same(values: list[int], cuts: list[int]) -> None:
    data = b"".join(frames(*values))
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    chunks = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    async def read() -> tuple[str, list[int], int]:
        reader = streaming.stream_reader(FULL, feed(chunks))
        header = await reader.read_header()
        items = [token.a async for token in reader.read_items()]
        return header.model, items, (await reader.read_footer()).n

    assert asyncio.run(read()) == ("m", values, len(values))


async def test_w06_the_first_frame_must_be_the_header() -> None:
    reader = streaming.stream_reader(HEADER, feed([streaming.stream_writer(ITEMS).yield_item(Token(a=1))]))
    with pytest.raises(ValueError, match="HEADER"):
        await reader.read_header()
    with pytest.raises(ValueError, match="no header"):
        await streaming.stream_reader(HEADER, feed([])).read_header()


async def test_w07_an_unread_header_must_be_read_first() -> None:
    with pytest.raises(ValueError, match="read_header"):
        await anext(streaming.stream_reader(FULL, feed(frames(1))).read_items())


async def test_w07_zero_items_is_fine() -> None:
    assert [t async for t in streaming.stream_reader(ITEMS, feed([])).read_items()] == []
    reader = streaming.stream_reader(FULL, feed(frames()))
    await reader.read_header()
    assert await reader.read_footer() == Usage(n=0)


async def test_w08_the_footer_comes_after_the_items_and_must_be_there() -> None:
    reader = streaming.stream_reader(FULL, feed(frames(1, 2)))
    await reader.read_header()
    with pytest.raises(ValueError, match="items first"):
        await reader.read_footer()
    assert [t.a async for t in reader.read_items()] == [1, 2]
    assert await reader.read_footer() == Usage(n=2)
    for chunks in ([], [streaming.stream_writer(ITEMS).yield_item(Token(a=1))]):
        short = streaming.stream_reader(FOOTER, feed(chunks))
        _ = [t async for t in short.read_items()]
        with pytest.raises(ValueError, match="no footer"):
            await short.read_footer()


async def test_w09_a_payload_that_does_not_fit_is_a_validation_error() -> None:
    reader = streaming.stream_reader(streaming.stream_types(Meta), feed(frames(1)[1:2]))
    with pytest.raises(ValidationError):
        await anext(reader.read_items())


@pytest.mark.parametrize("length", [1, 4, 5, 6, 11])
async def test_w10_an_end_within_a_frame_is_an_incomplete_read(length: int) -> None:
    data = streaming.stream_writer(ITEMS).yield_item(Token(a=1))
    reader = streaming.stream_reader(ITEMS, feed([data[:length]]))
    with pytest.raises(asyncio.IncompleteReadError):
        await anext(reader.read_items())


@pytest.mark.parametrize("kind", [0, 1, 5, 123])
async def test_w10_an_unknown_kind_is_a_value_error(kind: int) -> None:
    with pytest.raises(ValueError, match=str(kind)):
        await anext(streaming.stream_reader(ITEMS, feed([bytes([kind]) + b"\0\0\0\0"])).read_items())
