"""The HTTP/1.1 server of a replica, spoken to byte by byte."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from chains_runtime import http_server
from chains_runtime.asgi import Receive, Scope, Send, read_body, send_bytes
from chains_runtime.http_server import HttpServer
from chains_runtime.serving import bind_unix

App = Callable[[Scope, Receive, Send], object]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with method, path and body; some paths misbehave on purpose."""
    if scope["path"] == "/fail":
        raise ValueError("a bug")
    if scope["path"] == "/refuse":
        await send_bytes(send, 401, b"no")
        return
    body = await read_body(receive)
    assert body is not None
    if scope["path"] == "/cut":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(0.02)
    text = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} ".encode()
    await send_bytes(send, 200, text + body, b"text/plain")


class Talk:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)

    async def answer(self) -> tuple[int, bytes]:
        head = await self.head()
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")
        )
        return int(head.split()[1]), await asyncio.wait_for(self.reader.readexactly(length), 5)

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), 5)


@asynccontextmanager
async def talking(sockets: Path) -> AsyncIterator[Talk]:
    server = HttpServer(echo, lambda transport, request: transport.close())
    await server.listen(bind_unix(sockets / "h.s"), 10)
    reader, writer = await asyncio.open_unix_connection(str(sockets / "h.s"))
    try:
        yield Talk(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()
        await server.close(2)
        assert not server.connections
        assert not server.tasks


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_a_connection_is_kept_and_requests_may_be_sent_ahead(sockets: Path) -> None:
    async with talking(sockets) as talk:
        talk.say(post("/slow?a=1", b"one") + post("/b", b"two") + post("/slow", b"three"))
        assert await talk.answer() == (200, b"POST /slow a=1 one")
        assert await talk.answer() == (200, b"POST /b  two")
        assert await talk.answer() == (200, b"POST /slow  three")


async def test_many_requests_ahead_do_not_get_lost(sockets: Path) -> None:
    async with talking(sockets) as talk:
        count = 4 * http_server.PIPELINE
        for i in range(count):
            talk.say(post("/slow" if i % 5 == 0 else "/", str(i).encode()))
        found = [(await talk.answer())[1].split()[-1] for _ in range(count)]
        assert found == [str(i).encode() for i in range(count)]


async def test_a_body_may_come_in_pieces_and_chunks(sockets: Path) -> None:
    async with talking(sockets) as talk:
        request = post("/", b"abcdef")
        for part in (request[:10], request[10:-3], request[-3:]):
            talk.say(part)
            await asyncio.sleep(0)
        assert await talk.answer() == (200, b"POST /  abcdef")
        talk.say(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        talk.say(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert await talk.answer() == (200, b"POST /  abcde")


async def test_expect_continue_is_answered_before_the_body(sockets: Path) -> None:
    async with talking(sockets) as talk:
        talk.say(post("/", b"abc", "expect: 100-continue")[:-3])
        assert await talk.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        talk.say(b"abc")
        assert await talk.answer() == (200, b"POST /  abc")


async def test_an_answer_before_the_end_of_the_request_ends_the_connection(sockets: Path) -> None:
    async with talking(sockets) as talk:
        talk.say(post("/refuse", b"abc")[:-1])
        assert b"connection: close" in await talk.head()
        assert await talk.rest() == b"no"


async def test_what_is_not_http_is_refused(sockets: Path) -> None:
    async with talking(sockets) as talk:
        talk.say(b"HELLO\r\n\r\n")
        assert (await talk.rest()).startswith(b"HTTP/1.1 400 ")


async def test_a_head_without_end_is_refused(sockets: Path) -> None:
    async with talking(sockets) as talk:
        talk.say(b"GET / HTTP/1.1\r\nx: " + b"y" * http_server.MAX_HEAD_BYTES)
        assert (await talk.head()).startswith(b"HTTP/1.1 431 ")


async def test_a_body_may_be_larger_than_a_head(sockets: Path) -> None:
    body = b"y" * (http_server.MAX_HEAD_BYTES + 300_000)
    async with talking(sockets) as talk:
        for _ in range(2):
            talk.say(post("/", body))
            assert (await talk.answer())[0] == 200


async def test_an_unfinished_answer_breaks_the_connection(sockets: Path) -> None:
    """R-27: no last chunk."""
    async with talking(sockets) as talk:
        talk.say(post("/cut", b""))
        assert b"transfer-encoding: chunked" in await talk.head()
        assert await talk.rest() == b"4\r\npart\r\n"


async def test_a_bug_of_the_application_is_500(sockets: Path) -> None:
    async with talking(sockets) as talk:
        talk.say(post("/fail", b""))
        assert (await talk.rest()).startswith(b"HTTP/1.1 500 ")


async def test_close_and_old_versions_end_the_connection(sockets: Path) -> None:
    async with talking(sockets) as talk:
        talk.say(post("/", b"", "connection: close"))
        assert (await talk.rest()).endswith(b"POST /  ")
    async with talking(sockets) as talk:
        talk.say(b"GET / HTTP/1.0\r\n\r\n")
        assert (await talk.rest()).endswith(b"GET /  ")


async def test_head_has_no_body_and_absolute_targets_are_paths(sockets: Path) -> None:
    async with talking(sockets) as talk:
        talk.say(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n" + b"GET http://h/p?q=1 HTTP/1.1\r\nhost: h\r\n\r\n")
        assert b"content-length: 8" in await talk.head()
        assert await talk.answer() == (200, b"GET /p  ")


async def test_other_upgrades_are_answered_as_plain_requests(sockets: Path) -> None:
    async with talking(sockets) as talk:
        talk.say(b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")
        assert (await talk.rest()).endswith(b"connection: close\r\n\r\nGET /slow  ")
