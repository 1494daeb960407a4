"""S-rules: `StubBase` against a real HTTP server on the loopback."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from pydantic import BaseModel, Field, ValidationError

import truss_chains as chains
from chains_protocol import rpc
from truss_chains.calling import RequestContext, serving
from truss_chains.codec import decode_binary, encode_binary
from truss_chains.config import RPCOptions
from truss_chains.context import InternalURL
from truss_chains.errors import MissingDependencyError
from truss_chains.http_transport import CLIENT_MAX_AGE_S, HttpTransport, Target
from truss_chains.remote_chainlet.stub import decode_text, factory


class Numbers(BaseModel):
    n: int
    other: int = Field(default=5, alias="otherName")


class Handler(BaseHTTPRequestHandler):
    """Answers as `server.reply` says, and keeps what came."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.requests.append((self.path, dict(self.headers.items()), body))
        self.server.reply(self, body)

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def start_stream(self) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...

    def address_string(self) -> str:
        return "test"


class UnixServer(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


@contextmanager
def serve(server: Any) -> Iterator[Any]:
    server.socket.listen(64)
    server.requests = []
    server.stop = threading.Event()
    server.daemon_threads = True
    server.reply = lambda handler, body: handler.answer(200, body)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[Any]:
    with serve(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as running:
        running.url = f"http://127.0.0.1:{running.server_address[1]}/run_remote"
        yield running


class Caller(chains.StubBase):
    async def run_remote(self, text: str) -> Any:
        return (await self.predict_async({"text": text}))["text"]


Call = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """Call a stub in either way, and close it."""

    def blocking(stub: chains.StubBase, *args: Any) -> Any:
        try:
            return stub.predict_sync(*args)
        finally:
            stub.close()

    async def awaited(stub: chains.StubBase, *args: Any) -> Any:
        try:
            return await stub.predict_async(*args)
        finally:
            await stub.aclose()

    return blocking if request.param == "sync" else lambda *args: asyncio.run(awaited(*args))


def stub_of(server: Any, **options: Any) -> Caller:
    return Caller.from_url(server.url, "key", RPCOptions(**options))


def headers_of(server: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in server.requests[-1][1].items()}


# --- request and answer --------------------------------------------------------------------------------


def test_s01_target_key_and_name(server: Any, call: Call) -> None:
    stub = stub_of(server)
    assert stub.name == "Caller"
    assert call(stub, {"a": 1}) == {"a": 1}
    path, _, body = server.requests[-1]
    assert (path, body) == ("/run_remote", b'{"a":1}')
    headers = headers_of(server)
    assert headers["authorization"] == "Api-Key key"
    assert headers["content-type"] == "application/json"


def test_s01_an_internal_url_wins_and_sends_its_host(server: Any, call: Call) -> None:
    descriptor = chains.DeployedServiceDescriptor(
        name="Dep",
        display_name="Dep",
        predict_url="http://127.0.0.1:1/never",
        internal_url=InternalURL(gateway_run_remote_url=server.url, hostname="chain.example.com"),
    )
    assert call(Caller(descriptor, "key"), {}) == {}
    assert headers_of(server)["host"] == "chain.example.com"


def test_a_service_on_a_unix_socket(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "s"
    with serve(UnixServer(str(path), Handler)) as running:
        stub = Caller.from_url(f"http+unix://{quote(str(path), safe='')}/v1/models/model:predict", "key")
        assert call(stub, [1]) == [1]
        assert running.requests[-1][0] == "/v1/models/model:predict"


def test_s02_models_are_sent_under_their_public_names(server: Any, call: Call) -> None:
    assert call(stub_of(server), Numbers(n=1)) == {"n": 1, "otherName": 5}


def test_s02_binary_calls(server: Any, call: Call) -> None:
    value = {"at": datetime(2026, 1, 2, tzinfo=UTC), "a": np.arange(3)}
    found = call(stub_of(server, use_binary=True), value)
    assert found["at"] == value["at"]
    assert np.array_equal(found["a"], value["a"])
    assert headers_of(server)["content-type"] == "application/octet-stream"
    assert call(stub_of(server, use_binary=True), Numbers(n=2), Numbers) == Numbers(n=2)
    assert decode_binary(server.requests[-1][2]) == {"n": 2, "otherName": 5}


def test_s03_results_are_validated_if_a_model_is_given(server: Any, call: Call) -> None:
    assert call(stub_of(server), {"n": 1}, Numbers) == Numbers(n=1)
    with pytest.raises(ValidationError):
        call(stub_of(server), {"n": "x"}, Numbers)


def test_r22_headers_are_passed_on_with_deadline_and_revision(server: Any, call: Call) -> None:
    request = RequestContext({rpc.TRACEPARENT: "00-abc-def-01", rpc.REQUEST_ID: "r1"}, "dep.3")
    with serving(request):
        call(stub_of(server, timeout_sec=20), {})
    headers = headers_of(server)
    assert headers[rpc.TRACEPARENT] == "00-abc-def-01"
    assert headers[rpc.REQUEST_ID] == "r1"
    assert headers[rpc.REVISION] == "dep.3"
    assert headers[rpc.DEADLINE] == "20.000"
    assert rpc.CHAIN_REQUEST_ID not in headers


async def test_a_subclass_has_methods_of_its_own(server: Any) -> None:
    stub = stub_of(server)
    assert await stub.run_remote("hey") == "hey"
    await stub.aclose()


def test_s13_factory_looks_up_the_class_name(server: Any, call: Call) -> None:
    descriptor = chains.DeployedServiceDescriptor(name="X", display_name="X", predict_url=server.url)
    context = chains.DeploymentContext(
        chainlet_to_service={"Caller": descriptor}, secrets={"baseten_chain_api_key": "secret"}
    )
    assert call(factory(Caller, context), 1) == 1
    assert headers_of(server)["authorization"] == "Api-Key secret"
    assert call(Caller.from_url(server.url, context), 2) == 2
    empty = chains.DeploymentContext(chainlet_to_service={}, secrets={})
    with pytest.raises(MissingDependencyError, match="Caller"):
        factory(Caller, empty)
    with pytest.raises(MissingDependencyError, match="baseten_chain_api_key"):
        Caller.from_url(server.url, empty)


# --- errors and attempts -------------------------------------------------------------------------------


def error(name: str, message: str = "m") -> bytes:
    detail = rpc.RemoteErrorDetail(exception_cls_name=name, exception_message=message)
    return rpc.ErrorBody(error=detail).model_dump_json().encode()


def test_x03_errors_are_rebuilt(server: Any, call: Call) -> None:
    server.reply = lambda handler, body: handler.answer(500, error("KeyError"))
    with pytest.raises(KeyError, match="`Caller` answered with HTTP 500"):
        call(stub_of(server), {})


def test_s07_a_remote_timeout_error_keeps_its_trace(server: Any, call: Call) -> None:
    server.reply = lambda handler, body: handler.answer(500, error("TimeoutError", "of theirs"))
    with pytest.raises(TimeoutError, match="of theirs"):
        call(stub_of(server), {})


@pytest.mark.parametrize("status", [429, 500, 503])
def test_s05_attempts_are_made_in_total(server: Any, call: Call, status: int) -> None:
    server.reply = lambda handler, body: (
        handler.answer(status, b"{}") if len(server.requests) < 3 else handler.answer(200, b"1")
    )
    assert call(stub_of(server, retries=3), {}) == 1
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 408, 422])
def test_s05_other_refusals_are_not_tried_again(server: Any, call: Call, status: int) -> None:
    server.reply = lambda handler, body: handler.answer(status, error("ValueError"))
    with pytest.raises(ValueError, match=str(status)):
        call(stub_of(server, retries=3), {})
    assert len(server.requests) == 1


def test_s05_a_connection_that_breaks_is_tried_again(server: Any, call: Call) -> None:
    def reply(handler: Handler, body: bytes) -> None:
        if len(server.requests) == 1:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
        else:
            handler.answer(200, b"1")

    server.reply = reply
    assert call(stub_of(server, retries=2), {}) == 1


def test_no_server_is_a_connection_error_that_names_the_service(call: Call) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/"
    with pytest.raises(ConnectionError, match="`Caller` can't be reached"):
        call(Caller.from_url(url, "key"), {})


def test_s06_an_attempt_that_takes_too_long(
    server: Any, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    server.reply = lambda handler, body: server.stop.wait(10)
    with pytest.raises(TimeoutError, match=r"`Caller`.*0\.05 s") as caught:
        call(stub_of(server, timeout_sec=0.05), {})
    assert caught.value.__cause__ is None
    assert "0.05 s" in caplog.text


def test_s06_the_limit_is_on_the_whole_exchange(server: Any, call: Call) -> None:
    def drip(handler: Handler, body: bytes) -> None:
        handler.start_stream()
        while not server.stop.wait(0.02):
            try:
                handler.chunk(b"1")
            except OSError:
                return

    server.reply = drip
    with pytest.raises(TimeoutError, match=r"0\.2 s"):
        call(stub_of(server, timeout_sec=0.2), {})


# --- streams -------------------------------------------------------------------------------------------


async def test_s11_s12_chunks_as_they_arrive(server: Any) -> None:
    arrived = threading.Event()

    def reply(handler: Handler, body: bytes) -> None:
        handler.start_stream()
        handler.chunk(b"first")
        arrived.wait(10)
        handler.chunk(body)
        handler.chunk(b"")

    server.reply = reply
    stub = stub_of(server, use_binary=True)
    chunks = await stub.predict_async_stream({"x": 1})
    assert await anext(chunks) == b"first"
    arrived.set()
    assert [chunk async for chunk in chunks] == [encode_binary({"x": 1})]
    await stub.aclose()


async def test_s11_attempts_and_errors_cover_the_time_up_to_the_headers(server: Any) -> None:
    def reply(handler: Handler, body: bytes) -> None:
        if len(server.requests) == 1:
            handler.answer(500, error("ValueError"))
        else:
            handler.start_stream()
            handler.chunk(b"x")
            handler.chunk(b"")

    server.reply = reply
    stub = stub_of(server, retries=2)
    assert [chunk async for chunk in await stub.predict_async_stream({})] == [b"x"]
    server.reply = lambda handler, body: handler.answer(500, error("ValueError"))
    with pytest.raises(ValueError, match="500"):
        await stub.predict_async_stream({})
    await stub.aclose()


async def test_s11_the_limit_goes_on_while_the_stream_is_read(server: Any) -> None:
    def reply(handler: Handler, body: bytes) -> None:
        handler.start_stream()
        handler.chunk(b"x")
        server.stop.wait(10)

    server.reply = reply
    stub = stub_of(server, timeout_sec=0.8)
    chunks = await stub.predict_async_stream({})
    with pytest.raises(TimeoutError, match=r"`Caller`.*0\.8 s"):
        _ = [chunk async for chunk in chunks]
    await stub.aclose()


async def test_r27_a_stream_that_breaks_off_is_noticed(server: Any) -> None:
    def reply(handler: Handler, body: bytes) -> None:
        handler.start_stream()
        handler.chunk(b"x")
        handler.close_connection = True

    server.reply = reply
    stub = stub_of(server)
    chunks = await stub.predict_async_stream({})
    with pytest.raises(ConnectionError, match="`Caller` broke off"):
        _ = [chunk async for chunk in chunks]
    await stub.aclose()


async def test_s11_open_streams_do_not_count(server: Any) -> None:
    def reply(handler: Handler, body: bytes) -> None:
        handler.start_stream()
        server.stop.wait(10)
        handler.close_connection = True

    server.reply = reply
    stub = stub_of(server, concurrency_limit=1)
    streams = [await stub.predict_async_stream({}) for _ in range(3)]
    assert len(server.requests) == 3
    server.stop.set()
    for stream in streams:
        with pytest.raises(ConnectionError):
            await anext(stream)
    await stub.aclose()


async def test_s11_text_is_decoded_across_chunks() -> None:
    async def chunks(data: bytes) -> Any:
        for n in range(len(data)):
            yield data[n : n + 1]

    assert "".join([text async for text in decode_text(chunks("aé日🎉".encode()))]) == "aé日🎉"
    with pytest.raises(UnicodeDecodeError):
        _ = [text async for text in decode_text(chunks("é".encode()[:1]))]


# --- connections ---------------------------------------------------------------------------------------


def test_s14_blocking_stubs_serve_many_threads(server: Any) -> None:
    stub = stub_of(server, concurrency_limit=3)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(stub.predict_sync, range(40))) == list(range(40))
    stub.close()


async def test_s08_s14_async_stubs_serve_many_tasks_within_the_limit(server: Any) -> None:
    lock, running, peak = threading.Lock(), 0, 0

    def reply(handler: Handler, body: bytes) -> None:
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        handler.answer(200, body)
        with lock:
            running -= 1

    server.reply = reply
    stub = stub_of(server, concurrency_limit=2)
    assert await asyncio.gather(*(stub.predict_async(n) for n in range(20))) == list(range(20))
    assert peak <= 2 + 1  # the server counts down after the answer left
    await stub.aclose()


def test_a_stub_lives_longer_than_an_event_loop(server: Any) -> None:
    stub = stub_of(server)

    async def once(n: int) -> Any:
        found = await stub.predict_async(n)
        await stub.aclose()
        return found

    assert [asyncio.run(once(n)) for n in range(3)] == [0, 1, 2]


def test_s14_a_stub_serves_several_loops_at_once(server: Any) -> None:
    stub = stub_of(server)

    async def several() -> list[Any]:
        found = [await stub.predict_async(n) for n in range(10)]
        await stub.aclose()
        return found

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: asyncio.run(several()), range(4))) == [list(range(10))] * 4


class Network(httpx.MockTransport):
    """Echoes; knows whether its client was closed."""

    def __init__(self) -> None:
        super().__init__(lambda request: httpx.Response(200, content=request.content))
        self.closed = asyncio.Event()

    def close(self) -> None:
        self.closed.set()

    async def aclose(self) -> None:
        self.closed.set()


async def test_s04_an_old_client_is_replaced_and_closed() -> None:
    now = 0.0
    made: list[Network] = []

    def make() -> Network:
        made.append(Network())
        return made[-1]

    target = Target("http://dep.example.com")
    transport = HttpTransport(
        "Dep", target, limit_s=0.01, connections=1, clock=lambda: now, make_transport=make
    )
    for clients in (1, 1, 2):
        assert (await transport.send(b"1", {})).body == b"1"
        assert len(made) == clients
        now += CLIENT_MAX_AGE_S / 2
    async with asyncio.timeout(10):
        await made[0].closed.wait()
    assert not made[1].closed.is_set()
    await transport.aclose()
    assert made[1].closed.is_set()


def test_s04_an_old_blocking_client_is_replaced_and_closed() -> None:
    now = 0.0
    made: list[Network] = []
    closed = threading.Event()

    class Watched(Network):
        def close(self) -> None:
            closed.set()

    def make() -> Network:
        made.append(Network() if made else Watched())
        return made[-1]

    target = Target("http://dep.example.com")
    transport = HttpTransport(
        "Dep", target, limit_s=0.01, connections=1, clock=lambda: now, make_transport=make
    )
    for clients in (1, 1, 2):
        assert transport.send_sync(b"1", {}, 5).body == b"1"
        assert len(made) == clients
        now += CLIENT_MAX_AGE_S / 2
    assert closed.wait(10)
    transport.close()
    assert made[1].closed.is_set()


def test_closing_twice_or_before_a_call_is_fine() -> None:
    stub = Caller.from_url("http://127.0.0.1:1", "key")
    stub.close()
    asyncio.run(stub.aclose())
