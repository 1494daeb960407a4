"""The client between replicas, against servers that behave as asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from chains_runtime.connection import BodyStream, LostConnection
from chains_runtime.transport import IDLE_LIMIT_S, Client, NotReached, Request, Target
from tests.unit.chains_runtime.conftest import until
from truss_chains.calling import Answer

REQUEST = Request(b"POST /x HTTP/1.1\r\n", b"content-length: 2\r\n\r\nhi")
STREAM = Request(REQUEST.start, REQUEST.rest, wants_stream=True)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
NOT_READY = b"HTTP/1.1 503 S\r\nx-chains-refused: not-ready\r\ncontent-length: 0\r\n\r\n"
REFUSED = b"HTTP/1.1 503 S\r\nx-chains-refused: 1\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n"

Serve = Callable[..., Awaitable[str]]


class Peer:
    """A server that answers the n-th request of its life with the n-th reply; b"" hangs up."""

    def __init__(self, *replies: bytes, hold: asyncio.Event | None = None) -> None:
        self.replies = list(replies)
        self.requests = 0
        self.connections = 0
        self.ended = asyncio.Event()
        self._hold = hold

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                self.requests += 1
                reply = self.replies.pop(0) if self.replies else OK
                if self._hold is not None:
                    await self._hold.wait()
                if not reply:
                    break
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            self.ended.set()
        finally:
            writer.close()


@pytest.fixture
async def serve(sockets: Path) -> AsyncIterator[Serve]:
    servers: list[asyncio.Server] = []

    async def begin(peer: Peer) -> str:
        path = sockets / f"{len(servers)}.s"
        servers.append(await asyncio.start_unix_server(peer.handle, str(path)))
        return f"unix:{path}"

    yield begin
    for server in servers:
        server.close()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    found = Client()
    yield found
    found.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize("address", ["", "/tmp/x", "https://h:1", "http://"])
def test_only_known_forms_of_addresses_are_read(address: str) -> None:
    with pytest.raises(ValueError, match="not the address"):
        Target.parse(address)


def test_addresses() -> None:
    assert Target.parse("unix:/tmp/a b.s").path == "/tmp/a b.s"
    assert Target.parse("http://127.0.0.1:99").host_header == "127.0.0.1:99"


async def test_connections_are_used_again(serve: Serve, client: Client) -> None:
    peer = Peer()
    address = await serve(peer)
    for _ in range(3):
        answer = await client.send([address], REQUEST)
        assert (answer.status, isinstance(answer, Answer) and answer.body) == (200, b"ok")
    assert (peer.connections, peer.requests) == (1, 3)


async def test_an_idle_connection_is_not_used_for_ever(serve: Serve) -> None:
    """The peer may close it in the very moment in which a request is sent."""
    now = [0.0]
    client = Client(lambda: now[0])
    peer = Peer()
    address = await serve(peer)
    await client.send([address], REQUEST)
    now[0] += IDLE_LIMIT_S + 1
    await client.send([address], REQUEST)
    assert peer.connections == 2
    client.close()


async def test_a_request_is_sent_once_more_if_no_byte_came(serve: Serve, client: Client) -> None:
    peer = Peer(OK, b"")
    address = await serve(peer)
    await client.send([address], REQUEST)
    answer = await client.send([address], REQUEST)
    assert (answer.status, peer.requests) == (200, 3)
    peer.replies = [b"", b""]
    with pytest.raises(LostConnection):
        await client.send([address], REQUEST)


async def test_a_request_that_ended_two_connections_is_not_sent_again(serve: Serve, client: Client) -> None:
    """It may be what ends them."""
    peer = Peer(b"", b"", b"")
    address = await serve(peer)
    with pytest.raises(LostConnection):
        await client.send([address], REQUEST, was_sent=True)
    assert peer.requests == 1


@pytest.mark.parametrize("replicas", [1, 2])
async def test_replicas_that_are_not_ready_are_told_from_full_ones(
    serve: Serve, client: Client, replicas: int
) -> None:
    loading = [await serve(Peer(NOT_READY)) for _ in range(replicas)]
    with pytest.raises(NotReached) as caught:
        await client.send(loading, REQUEST)
    assert caught.value.answer is not None
    assert (caught.value.answer.status, caught.value.was_sent) == (503, False)

    full = await serve(Peer(REFUSED))
    answer = await client.send([full, await serve(Peer(NOT_READY))], REQUEST)
    assert isinstance(answer, Answer)
    assert answer.status == 503


async def test_what_was_sent_before_nobody_was_reached_is_remembered(
    serve: Serve, client: Client, tmp_path: Path
) -> None:
    lost = await serve(Peer(b""))
    with pytest.raises(NotReached) as caught:
        await client.send([lost, f"unix:{tmp_path}/gone.s"], REQUEST)
    assert caught.value.was_sent


async def test_a_broken_answer_is_not_asked_for_again(serve: Serve, client: Client) -> None:
    peer = Peer(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", b"")
    address = await serve(peer)
    sending = asyncio.create_task(client.send([address], REQUEST))
    with pytest.raises(LostConnection, match="ended before"):
        await until(lambda: peer.requests)
        client.pool(address).close()
        await sending
    assert peer.requests == 1


async def test_refusals_and_absent_replicas_are_passed_over(serve: Serve, client: Client) -> None:
    refusing, serving = Peer(*[REFUSED] * 9), Peer()
    addresses = [await serve(refusing), await serve(serving), "unix:/tmp/there-is-none.s"]
    for _ in range(6):
        assert (await client.send(addresses, REQUEST)).status == 200
    assert serving.requests == 6
    answer = await client.send([addresses[0], addresses[2]], REQUEST)
    assert (answer.status, answer.retry_after_s) == (503, 2.0)


async def test_without_a_replica_the_error_says_so(client: Client) -> None:
    with pytest.raises(ConnectionRefusedError, match="no replica is running"):
        await client.send([], REQUEST)
    with pytest.raises(NotReached, match="No such file"):
        await client.send(["unix:/tmp/there-is-none.s"], REQUEST)


async def test_the_least_busy_replica_gets_the_request(serve: Serve, client: Client) -> None:
    gate = asyncio.Event()
    busy, free = Peer(hold=gate), Peer()
    addresses = [await serve(busy), await serve(free)]
    waiting = [asyncio.create_task(client.send(addresses[:1], REQUEST)) for _ in range(3)]
    await asyncio.sleep(0)
    for _ in range(4):
        await client.send(addresses, REQUEST)
    assert free.requests == 4
    gate.set()
    await asyncio.gather(*waiting)


async def test_a_cancelled_caller_closes_its_connection(serve: Serve, client: Client) -> None:
    peer = Peer(hold=asyncio.Event())
    address = await serve(peer)
    sending = asyncio.create_task(client.send([address], REQUEST))
    await until(lambda: peer.requests)
    sending.cancel()
    assert peer._hold is not None
    peer._hold.set()
    await asyncio.wait_for(peer.ended.wait(), 5)
    assert client.pool(address).is_quiet


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_a_stream_gives_the_chunks_that_were_sent(serve: Serve, client: Client) -> None:
    address = await serve(Peer(CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))
    stream = await client.send([address], STREAM)
    assert isinstance(stream, BodyStream)
    assert [chunk async for chunk in stream.chunks()] == [b"abc", b"de"]
    assert client.pool(address).is_quiet


async def test_a_stream_that_breaks_off_raises(serve: Serve, client: Client) -> None:
    """R-27."""
    peer = Peer(CHUNKED + b"3\r\nabc\r\n")
    address = await serve(peer)
    stream = await client.send([address], STREAM)
    assert isinstance(stream, BodyStream)
    received = []
    with pytest.raises(LostConnection):
        async for chunk in stream.chunks():
            received.append(chunk)
            client.pool(address).close()
    assert received == [b"abc"]


async def test_an_error_answer_to_a_stream_request_is_a_whole_answer(serve: Serve, client: Client) -> None:
    address = await serve(Peer(b"HTTP/1.1 500 E\r\ncontent-length: 3\r\n\r\nbad"))
    answer = await client.send([address], STREAM)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (500, b"bad")
