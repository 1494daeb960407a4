"""Streaming answers (R-26 to R-30) and websockets (R-40 to R-43)."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgpack
import pytest
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chains_protocol.spec import EndpointSpec, OptionsSpec
from tests.unit.chains_runtime.conftest import TOKEN, Running, Start, until
from tests.unit.chains_runtime.packages import write_package

STREAMS = """
    import asyncio
    from collections.abc import AsyncIterator
    import truss_chains as chains
    from pydantic import BaseModel

    class Token(BaseModel):
        text: str

    class Talk(chains.ChainletBase):
        def __init__(self):
            self.closed = asyncio.Event()
        async def run_remote(self, n: int, fail_at: int = -1, stall_at: int = -1) -> AsyncIterator[TYPE]:
            try:
                for i in range(n):
                    if i == fail_at:
                        raise ValueError("broken")
                    if i == stall_at:
                        await asyncio.sleep(60)
                    yield VALUE
            finally:
                self.closed.set()
"""
AUTH = {"authorization": f"Api-Key {TOKEN}"}


def talk(tmp_path: Path, kind: str, value: str, **options: object) -> Path:
    text = STREAMS.replace("TYPE", kind).replace("VALUE", value)
    return write_package(tmp_path, {"chain.py": text}, "Talk", **options)


async def test_items_are_written_in_order(start: Start, tmp_path: Path) -> None:
    """R-26."""
    app = await start(talk(tmp_path, "str", "f'{i}é'"))
    answer = await app.call({"n": 3})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream")
    assert answer.content.decode() == "0é1é2é"


async def test_accept_json_collects_the_stream_into_one_string(start: Start, tmp_path: Path) -> None:
    """R-26."""
    app = await start(talk(tmp_path, "bytes", "str(i).encode()"))
    accept = {"accept": "application/json"}
    assert (await app.call({"n": 3}, headers=accept)).json() == "012"
    assert (await app.call({"n": 3, "fail_at": 2}, headers=accept)).status_code == 500
    assert (await app.call({"n": 3}, headers={**accept, "user-agent": "OpenAI/1"})).content == b"012"


async def test_typed_items_are_lines_of_json_or_framed_msgpack(start: Start, tmp_path: Path) -> None:
    app = await start(talk(tmp_path, "Token", "Token(text=str(i))"))
    answer = await app.call({"n": 2})
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.content == b'{"text":"0"}\n{"text":"1"}\n'
    headers = {**AUTH, "content-type": "application/octet-stream"}
    answer = await app.http.post("/v1/models/model:predict", content=msgpack.packb({"n": 1}), headers=headers)
    (length,) = struct.unpack(">I", answer.content[:4])
    assert msgpack.unpackb(answer.content[4 : 4 + length]) == {"text": "0"}
    assert len(answer.content) == 4 + length


async def test_an_error_before_the_first_item_is_an_ordinary_one(start: Start, tmp_path: Path) -> None:
    app = await start(talk(tmp_path, "str", "'x'"))
    answer = await app.call({"n": 3, "fail_at": 0})
    assert (answer.status_code, answer.json()["error"]["exception_cls_name"]) == (500, "ValueError")


async def test_a_stream_that_breaks_ends_abnormally(start: Start, tmp_path: Path) -> None:
    """R-27, WP-10."""
    app = await start(talk(tmp_path, "str", "'x'"))
    received = []
    with pytest.raises(httpx.RemoteProtocolError):
        async with app.http.stream(
            "POST", "/v1/models/model:predict", json={"n": 3, "fail_at": 2}, headers=AUTH
        ) as answer:
            async for chunk in answer.aiter_raw():
                received.append(chunk)  # noqa: PERF401 (what came before the error counts)
    assert b"".join(received) == b"xx"
    assert app.replica.errors_total == 1


async def test_a_stalled_stream_is_ended(start: Start, tmp_path: Path) -> None:
    """R-28."""
    package = talk(tmp_path, "str", "'x'", options=OptionsSpec(streaming_read_timeout_s=0))
    app = await start(package)
    with pytest.raises(httpx.RemoteProtocolError):
        await app.call({"n": 3, "stall_at": 1})
    await asyncio.wait_for(app.replica.newest.instance.closed.wait(), 5)


async def test_a_reader_that_leaves_ends_the_generator(start: Start, tmp_path: Path) -> None:
    app = await start(talk(tmp_path, "str", "'x'"))
    async with app.http.stream(
        "POST", "/v1/models/model:predict", json={"n": 3, "stall_at": 1}, headers=AUTH
    ) as answer:
        assert await anext(answer.aiter_raw()) == b"x"
    await asyncio.wait_for(app.replica.newest.instance.closed.wait(), 5)
    await until(lambda: not app.replica.in_flight)
    assert app.replica.slots.busy == 0


async def test_a_slow_reader_does_not_hold_the_slot(start: Start, tmp_path: Path) -> None:
    """R-30: the slot is free when the generator is exhausted."""
    app = await start(talk(tmp_path, "bytes", "bytes(1024 * 1024)", concurrency=1))
    async with app.http.stream("POST", "/v1/models/model:predict", json={"n": 8}, headers=AUTH) as answer:
        await until(lambda: not app.replica.slots.busy)
        assert app.replica.in_flight == 1  # the stream itself still runs on its generation
        assert len(await answer.aread()) == 8 * 1024 * 1024


SOCKET = """
    import truss_chains as chains

    class Chat(chains.ChainletBase):
        async def run_remote(self, ws: chains.WebSocketProtocol) -> None:
            assert ws.headers["x-who"] == "me"
            async for text in WAIT ws.iter_text():
                if text == "stop":
                    break
                if text == "fail":
                    raise ValueError("secret reason")
                state = "open" if ws.is_connected() and await ws.is_connected() else "closed"
                await ws.send_json({"echo": text, "state": state})
"""


@asynccontextmanager
async def connected(app: Running, token: str = TOKEN) -> AsyncIterator[ClientConnection]:
    headers = {"authorization": f"Api-Key {token}", "x-who": "me"}
    async with unix_connect(
        str(app.socket), "ws://replica/v1/websocket", additional_headers=headers
    ) as socket:
        yield socket


@pytest.mark.parametrize("wait", ["", "await"])
async def test_a_websocket_talks_until_its_method_returns(start: Start, tmp_path: Path, wait: str) -> None:
    """R-40 to R-43; both spellings of the iterators work."""
    package = write_package(tmp_path, {"chain.py": SOCKET.replace("WAIT", wait)}, "Chat")
    app = await start(package)
    async with connected(app) as socket:
        for text in ("hi", ""):
            await socket.send(text)
            assert await socket.recv() == f'{{"echo":"{text}","state":"open"}}'
        assert app.replica.newest.in_flight == 1
        await socket.send("stop")
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000


async def test_a_websocket_that_fails_closes_with_1011(start: Start, tmp_path: Path) -> None:
    app = await start(write_package(tmp_path, {"chain.py": SOCKET.replace("WAIT", "")}, "Chat"))
    async with connected(app) as socket:
        await socket.send("fail")
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, "secret" in closed.value.rcvd.reason) == (1011, False)


async def test_a_client_that_closes_ends_the_loop(start: Start, tmp_path: Path) -> None:
    app = await start(write_package(tmp_path, {"chain.py": SOCKET.replace("WAIT", "")}, "Chat"))
    async with connected(app) as socket:
        await socket.send("hi")
        await socket.recv()
    await until(lambda: not app.replica.in_flight)
    assert app.replica.errors_total == 0


async def test_handshakes_are_refused_without_a_token_or_before_loading(start: Start, tmp_path: Path) -> None:
    app = await start(write_package(tmp_path, {"chain.py": SOCKET.replace("WAIT", "")}, "Chat"))
    with pytest.raises(InvalidStatus) as refused:
        async with connected(app, "wrong"):
            pass
    assert refused.value.response.status_code == 401


async def test_a_chainlet_without_a_websocket_closes_with_1003(start: Start, tmp_path: Path) -> None:
    app = await start(talk(tmp_path, "str", "'x'"))
    async with connected(app) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003


async def test_a_websocket_chainlet_has_no_schema(start: Start, tmp_path: Path) -> None:
    package = write_package(
        tmp_path, {"chain.py": SOCKET.replace("WAIT", "")}, "Chat", endpoint=EndpointSpec(is_websocket=True)
    )
    app = await start(package)
    assert (await app.http.get("/v1/models/model/schema", headers=AUTH)).status_code == 404
    assert (await app.call({})).status_code == 400
