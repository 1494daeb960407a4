"""The small HTTP client: what it tells apart, and what it does not mix up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chains_platform.net.http1 import Broken, Client, ConnectFailed, Unanswered, request_head

pytestmark = pytest.mark.e2e

ASK = request_head("GET", "/", [(b"host", b"localhost")])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Peer:
    """A server that follows a script for each connection."""

    path: Path
    client: Client
    connections: int = 0
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _servers: list[asyncio.Server] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"unix:{self.path}"

    async def play(self, script: Script) -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            self._writers.append(writer)
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await script(reader, writer)
                await writer.drain()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

        self._servers.append(await asyncio.start_unix_server(connected, self.path))

    async def says(self, *parts: bytes) -> None:
        """Answer every connection's first request with these bytes, then close."""

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)

        await self.play(script)

    async def close(self) -> None:
        self.client.close()
        for server in self._servers:
            server.close()
        for writer in self._writers:
            writer.transport.abort()
        for writer in self._writers:
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await asyncio.sleep(0.01)  # both ends see the end


@pytest.fixture
async def peer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Peer]:
    peer = Peer(tmp_path_factory.mktemp("h") / "s", Client(connect_timeout_s=5))
    yield peer
    await peer.close()


async def test_no_listener_is_a_failed_connect(peer: Peer) -> None:
    with pytest.raises(ConnectFailed):
        await peer.client.send(peer.address, ASK)
    with pytest.raises(ConnectFailed):
        await peer.client.send("http://127.0.0.1:1", ASK)


async def test_an_end_before_the_answer_is_unanswered(peer: Peer) -> None:
    await peer.says()
    with pytest.raises(Unanswered):
        await peer.client.send(peer.address, ASK)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense",
    ],
)
async def test_an_end_within_the_answer_is_broken(peer: Peer, answer: bytes) -> None:
    await peer.says(answer)
    with pytest.raises(Broken):
        await (await peer.client.send(peer.address, ASK)).read()


async def test_what_is_not_http_is_broken(peer: Peer) -> None:
    await peer.says(b"SSH-2.0-OpenSSH\r\n\r\n")
    with pytest.raises(Broken):
        await peer.client.send(peer.address, ASK)


@pytest.mark.parametrize(
    ("parts", "status", "body"),
    [
        ([OK], 200, b"ok"),
        ([OK[:9], OK[9:30], OK[30:]], 200, b"ok"),
        ([b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", OK], 200, b"ok"),
        ([b"HTTP/1.1 200 OK\r\n\r\nuntil", b" the end"], 200, b"until the end"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b""),
        (
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", b"1\r\nb\r\n0\r\n\r\n"],
            200,
            b"ab",
        ),
    ],
)
async def test_answers_of_every_framing_are_read(
    peer: Peer, parts: list[bytes], status: int, body: bytes
) -> None:
    await peer.says(*parts)
    answer = await peer.client.send(peer.address, ASK)
    assert (answer.status, await answer.read()) == (status, body)


async def serve_forever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)


async def test_a_connection_is_used_again(peer: Peer) -> None:
    await peer.play(serve_forever)
    for _ in range(5):
        assert await (await peer.client.send(peer.address, ASK)).read() == b"ok"
    assert peer.connections == 1
    await asyncio.gather(*(peer.client.send(peer.address, ASK) for _ in range(3)))
    assert peer.connections == 3


async def test_a_peer_that_closes_gets_a_new_connection(peer: Peer) -> None:
    await peer.says(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    for _ in range(3):
        assert await (await peer.client.send(peer.address, ASK)).read() == b"ok"
    assert peer.connections == 3


async def test_an_answer_that_is_given_up_does_not_reach_the_next_reader(peer: Peer) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK[:-1] if peer.connections == 1 else OK)
        await writer.drain()
        await reader.read()

    await peer.play(script)
    first = await peer.client.send(peer.address, ASK)
    first.close()
    assert await (await peer.client.send(peer.address, ASK)).read() == b"ok"
    assert peer.connections == 2


async def test_a_cancelled_request_closes_its_connection(peer: Peer) -> None:
    ended = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        begun.set()
        await reader.read()
        ended.set()

    begun = asyncio.Event()
    await peer.play(script)
    asking = asyncio.create_task(peer.client.send(peer.address, ASK))
    await asyncio.wait_for(begun.wait(), 5)
    asking.cancel()
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_slow_reader_slows_the_sender_and_loses_nothing(peer: Peer) -> None:
    sent = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 40000000\r\n\r\n")
        for _ in range(400):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    await peer.play(script)
    answer = await peer.client.send(peer.address, ASK)
    for _ in range(200):
        await asyncio.sleep(0)
    assert sent < 5_000_000
    assert len(await answer.read()) == 40_000_000


async def test_an_answer_before_the_body_is_sent_ends_the_exchange(peer: Peer) -> None:
    never = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"begun"
        await never.wait()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 2\r\n\r\nno")
        await writer.drain()
        await reader.read()

    await peer.play(script)
    head = request_head("POST", "/", [(b"host", b"localhost"), (b"transfer-encoding", b"chunked")])
    for _ in range(2):
        answer = await peer.client.stream(peer.address, head, body())
        assert (answer.status, await answer.read()) == (413, b"no")
    assert peer.connections == 2


async def test_a_body_that_fails_ends_the_request(peer: Peer) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"begun"
        raise ConnectionResetError("the client went away")

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    await peer.play(script)
    with pytest.raises(Unanswered):
        await peer.client.stream(peer.address, ASK, body())
