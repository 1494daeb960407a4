"""The gateway on real sockets, with replicas that are a few lines of asyncio."""

import asyncio
import contextlib
import json
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import websockets.asyncio.client as ws_client
import websockets.asyncio.server as ws_server
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chains_platform.daemons import ports
from chains_platform.gateway.access import Access
from chains_platform.gateway.app import Gateway, GatewaySettings, Listener, serve
from chains_platform.gateway.connection import Request
from chains_platform.gateway.server import Server
from chains_platform.replicas.client import GatewayClient
from chains_protocol.errors import DiagnosticsError
from chains_protocol.routes import GatewayRoute, GatewayRoutes, GatewayTarget, ReplicaSet

pytestmark = pytest.mark.e2e

TOKEN, ADMIN, EDGE = "user-token", "admin-token", "edge-token"
RUN = "/chains/poems/production/run_remote"


@dataclass
class Seen:
    """A request as a replica got it."""

    line: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


async def answer_name(seen: Seen, writer: asyncio.StreamWriter) -> None:
    reply(writer, json.dumps({"revision": seen.headers["x-chains-revision"]}).encode())


def reply(writer: asyncio.StreamWriter, body: bytes, status: str = "200 OK", extra: bytes = b"") -> None:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    writer.write(head.encode() + extra + b"\r\n" + body)


@dataclass
class Replica:
    """Listens on a Unix socket; `answer` decides what it says."""

    path: Path
    answer: Answer = answer_name
    seen: list[Seen] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"unix:{self.path}"

    async def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                seen = await self._read(reader)
                self.seen.append(seen)
                watch = asyncio.create_task(self._watch_end(reader))
                await self.answer(seen, writer)
                await writer.drain()
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
        writer.close()

    async def _watch_end(self, reader: asyncio.StreamReader) -> None:
        if not await reader.read(1):
            self.closed.set()

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> Seen:
        line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (text.partition(": ") for text in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        else:
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Seen(line, headers, body)


@dataclass
class Running:
    """A gateway that listens, a client of it, and the control plane's client."""

    listener: Listener
    http: httpx.AsyncClient
    admin: GatewayClient
    port: int
    directory: Path
    serial: int = 0
    replicas: list[Replica] = field(default_factory=list)

    async def replica(self, answer: Answer = answer_name, *, started: bool = True) -> Replica:
        replica = Replica(self.directory / f"r{len(self.replicas)}.sock", answer)
        self.replicas.append(replica)
        if started:
            await replica.start()
        return replica

    async def table(self, *replicas: Replica, version: int = 1, is_websocket: bool = False) -> None:
        sets = (ReplicaSet(since=1, addresses=tuple(r.address for r in replicas), token=EDGE),)
        await self.put(sets, version=version, is_websocket=is_websocket)

    async def put(self, sets: tuple[ReplicaSet, ...], version: int = 1, is_websocket: bool = False) -> None:
        self.serial += 1
        target = GatewayTarget(
            deployment="abc", version=version, entrypoint="Poems", is_websocket=is_websocket, sets=sets
        )
        routes = tuple(
            GatewayRoute(chain="poems", selector=s, deployment="abc")
            for s in ("production", "development", "deployment/abc", "environments/stag ing")
        )
        await self.admin.put_routes(GatewayRoutes(serial=self.serial, targets=(target,), routes=routes))

    async def call(self, path: str = RUN, **options: object) -> httpx.Response:
        return await self.http.post(path, json={"words": ["a"]}, **options)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def run_gateway(directory: Path, wait_s: float = 5.0, grace_s: float = 0.0) -> AsyncIterator[Running]:
    settings = GatewaySettings(
        api_token=TOKEN,
        admin_token=ADMIN,
        table_file=directory / "table.json",
        access=Access(hosts=frozenset(["chains.example"]), origins=frozenset(["https://ui.example"])),
        wait_s=wait_s,
    )
    bound = ports.bind("127.0.0.1", 0)
    port = bound.getsockname()[1]
    listener = await serve(Gateway(settings), bound, directory / "gateway.sock", grace_s=grace_s)
    http = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Api-Key {TOKEN}"}, timeout=20
    )
    admin = GatewayClient(f"unix:{directory / 'gateway.sock'}", ADMIN)
    running = Running(listener, http, admin, port, directory)
    try:
        yield running
    finally:
        await http.aclose()
        await admin.close()
        for replica in running.replicas:
            await replica.stop()
        await listener.close()


@pytest.fixture
async def gateway(short_dir: Path) -> AsyncIterator[Running]:
    async with run_gateway(short_dir) as running:
        yield running


@pytest.fixture
def short_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # a socket's path is short; pytest's own directories can be long
    return tmp_path_factory.mktemp("g")


# what a replica sees


async def test_a_request_reaches_the_replica_stamped_and_with_the_edges_token(gateway: Running) -> None:
    replica = await gateway.replica()
    await gateway.table(replica, version=3)
    answer = await gateway.call(
        headers={
            "x-chains-revision": "evil.9",
            "x-mine": "kept",
            "x-hop": "dropped",
            "connection": "keep-alive, x-hop",
            "traceparent": "00-1-2-01",
        }
    )
    assert (answer.status_code, answer.json()) == (200, {"revision": "abc.3"})
    seen = replica.seen[0]
    assert seen.line == "POST /v1/models/model:predict HTTP/1.1"
    assert json.loads(seen.body) == {"words": ["a"]}
    assert seen.headers["authorization"] == f"Api-Key {EDGE}"
    assert (seen.headers["x-mine"], seen.headers["traceparent"]) == ("kept", "00-1-2-01")
    assert "x-hop" not in seen.headers
    assert TOKEN not in str(seen.headers)


async def test_a_request_without_id_gets_one_and_the_answer_names_it(gateway: Running) -> None:
    replica = await gateway.replica()
    await gateway.table(replica)
    made = await gateway.call()
    given = await gateway.call(headers={"x-baseten-request-id": "mine"})
    assert replica.seen[0].headers["x-baseten-request-id"] == made.headers["x-baseten-request-id"] != ""
    assert replica.seen[1].headers["x-baseten-request-id"] == given.headers["x-baseten-request-id"] == "mine"


async def test_a_deadline_is_passed_on_less_what_was_used(gateway: Running) -> None:
    replica = await gateway.replica()
    await gateway.table(replica)
    await gateway.call(headers={"x-chains-deadline": "7.5"})
    assert 6.5 < float(replica.seen[0].headers["x-chains-deadline"]) <= 7.5


async def test_status_headers_and_body_of_the_replica_come_back(gateway: Running) -> None:
    async def fail(seen: Seen, writer: asyncio.StreamWriter) -> None:
        reply(writer, b'{"error": "no"}', "500 Internal Server Error", b"X-BASETEN-ERROR-CODE: 600\r\n")

    await gateway.table(await gateway.replica(fail))
    answer = await gateway.call()
    assert (answer.status_code, answer.json()) == (500, {"error": "no"})
    assert answer.headers["x-baseten-error-code"] == "600"


async def test_every_selector_finds_its_deployment(gateway: Running) -> None:
    await gateway.table(await gateway.replica())
    paths = ["development", "deployment/abc", "environments/production", "environments/stag%20ing"]
    answers = [await gateway.call(f"/chains/poems/{path}/run_remote") for path in paths]
    assert [a.status_code for a in answers] == [200] * 4


# who may ask


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Api-Key wrong"}, 401),
        ({"authorization": f"Api-Key {ADMIN}"}, 401),
        ({"authorization": f"Bearer {TOKEN}"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "chains.example"}, 200),
        ({"host": "localhost:1234"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://ui.example"}, 200),
    ],
)
async def test_token_host_and_origin_are_checked(
    gateway: Running, headers: dict[str, str], status: int
) -> None:
    replica = await gateway.replica()
    await gateway.table(replica)
    answer = await gateway.call(headers=headers)
    assert answer.status_code == status
    assert len(replica.seen) == (1 if status == 200 else 0)
    assert status == 200 or set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/chains/unknown/production/run_remote", 404),
        ("POST", "/chains/poems/environments/none/run_remote", 404),
        ("POST", "/chains/poems/production", 404),
        ("POST", "/chains/poems/production/websocket", 405),
        ("GET", "/chains/poems/production/websocket", 400),
        ("GET", RUN, 405),
        ("GET", "/", 404),
        ("GET", "/_chains/status", 401),
        ("PUT", "/_chains/routes", 401),
        ("GET", "/_chains/drained?deployment=abc&below=1", 401),
    ],
)
async def test_what_is_not_served_is_refused_in_json(
    gateway: Running, method: str, path: str, status: int
) -> None:
    await gateway.table(await gateway.replica())
    answer = await gateway.http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]


async def test_a_refused_upload_gets_its_answer_and_the_connection_goes_on(gateway: Running) -> None:
    await gateway.table(await gateway.replica())
    refused = await gateway.http.post(RUN, content=b"x" * 3_000_000, headers={"authorization": "Bearer no"})
    assert refused.status_code == 401
    assert (await gateway.call()).status_code == 200


async def test_health_is_open(gateway: Running) -> None:
    async with httpx.AsyncClient() as anyone:
        answer = await anyone.get(f"http://127.0.0.1:{gateway.port}/health")
    assert (answer.status_code, answer.json()) == (200, {"ok": True})


# bodies and streams


async def test_a_stream_arrives_while_it_is_made(gateway: Running) -> None:
    go_on = asyncio.Event()

    async def stream(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await go_on.wait()
        writer.write(b"6\r\nsecond\r\n0\r\n\r\n")

    await gateway.table(await gateway.replica(stream))
    async with gateway.http.stream("POST", RUN, json={}) as answer:
        parts = answer.aiter_raw()
        first = await anext(parts)
        go_on.set()
        assert [first, *[part async for part in parts]] == [b"first", b"second"]


async def test_a_stream_that_breaks_at_the_replica_breaks_at_the_client(gateway: Running) -> None:
    async def stream(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await writer.drain()
        await asyncio.sleep(0)
        writer.close()

    await gateway.table(await gateway.replica(stream))
    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.call()
    assert (await gateway.admin.status()).in_flight == {}


async def test_a_short_answer_breaks_at_the_client(gateway: Running) -> None:
    async def short(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this")
        writer.close()

    await gateway.table(await gateway.replica(short))
    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.call()


async def test_an_answer_that_ends_with_the_connection_is_whole(gateway: Running) -> None:
    async def plain(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        writer.close()

    await gateway.table(await gateway.replica(plain))
    assert (await gateway.call()).content == b"all of it"


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 1024 * 1024 + 1, 9_000_000])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_bodies_of_any_size_pass_both_ways(gateway: Running, size: int, is_chunked: bool) -> None:
    async def echo(seen: Seen, writer: asyncio.StreamWriter) -> None:
        reply(writer, seen.body)

    async def parts() -> AsyncIterator[bytes]:
        for at in range(0, size, 100_000):
            yield body[at : at + 100_000]

    await gateway.table(await gateway.replica(echo))
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    answer = await gateway.http.post(RUN, content=parts() if is_chunked else body)
    assert (answer.status_code, answer.content == body) == (200, True)


async def test_a_client_that_goes_away_ends_the_call_at_the_replica(gateway: Running) -> None:
    begun = asyncio.Event()

    async def hang(seen: Seen, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await asyncio.Event().wait()

    replica = await gateway.replica(hang)
    await gateway.table(replica)
    call = asyncio.create_task(gateway.call())
    await begun.wait()
    assert (await gateway.admin.status()).in_flight == {"abc.1": 1}
    call.cancel()
    await asyncio.wait_for(replica.closed.wait(), 5)
    assert await gateway.admin.wait_drained("abc", 2, 5)


# replicas that fail


async def test_a_replica_that_is_not_there_costs_no_request(gateway: Running) -> None:
    there, gone = await gateway.replica(), await gateway.replica(started=False)
    await gateway.table(there, gone)
    answers = [await gateway.call() for _ in range(6)]
    assert [a.status_code for a in answers] == [200] * 6


async def test_a_replica_that_dies_during_a_request_costs_no_request(gateway: Running) -> None:
    async def die(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    dying, healthy = await gateway.replica(die), await gateway.replica()
    await gateway.table(dying, healthy)
    answers = [await gateway.call() for _ in range(6)]
    assert [a.status_code for a in answers] == [200] * 6
    assert dying.seen


async def test_a_request_that_kills_replicas_kills_two(gateway: Running) -> None:
    async def die(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    replicas = [await gateway.replica(die) for _ in range(4)]
    await gateway.table(*replicas)
    answer = await gateway.call()
    assert answer.status_code == 502
    assert sum(len(r.seen) for r in replicas) == 2


async def test_a_request_waits_for_a_replica_that_is_being_restarted(gateway: Running) -> None:
    replica = await gateway.replica(started=False)
    await gateway.table(replica)
    call = asyncio.create_task(gateway.call())
    await in_flight(gateway, {"abc.1": 1})
    await replica.start()
    assert (await call).status_code == 200


async def test_a_request_waits_for_a_table_with_a_replica(gateway: Running) -> None:
    await gateway.table()
    call = asyncio.create_task(gateway.call())
    await in_flight(gateway, {"abc.1": 1})
    await gateway.table(await gateway.replica())
    assert (await call).json() == {"revision": "abc.1"}


async def test_without_any_replica_the_answer_is_503_with_retry_after(short_dir: Path) -> None:
    async with run_gateway(short_dir, wait_s=0.05) as gateway:
        await gateway.table(await gateway.replica(started=False))
        answer = await gateway.call()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["error"]


async def test_the_wait_ends_with_the_callers_deadline(gateway: Running) -> None:
    await gateway.table()
    answer = await asyncio.wait_for(gateway.call(headers={"x-chains-deadline": "0.05"}), 4)
    assert answer.status_code == 503


async def test_requests_go_to_the_replica_with_the_fewest(gateway: Running) -> None:
    release = asyncio.Event()

    async def slow(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        reply(writer, b"{}")

    first, second = await gateway.replica(slow), await gateway.replica(slow)
    await gateway.table(first, second)
    calls = [asyncio.create_task(gateway.call()) for _ in range(6)]
    await in_flight(gateway, {"abc.1": 6})
    while len(first.seen) + len(second.seen) < 6:  # noqa: ASYNC110 (a state, bounded by the test's timeout)
        await asyncio.sleep(0)
    assert (len(first.seen), len(second.seen)) == (3, 3)
    release.set()
    await asyncio.gather(*calls)


# tables


async def test_new_requests_get_the_new_version_while_older_ones_finish(gateway: Running) -> None:
    release = asyncio.Event()

    async def slow(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if seen.headers["x-chains-revision"] == "abc.1":
            await release.wait()
        await answer_name(seen, writer)

    old, new = await gateway.replica(slow), await gateway.replica(slow)
    sets = (
        ReplicaSet(since=1, addresses=(old.address,), token=EDGE),
        ReplicaSet(since=2, addresses=(new.address,), token=EDGE),
    )
    await gateway.put(sets)
    call = asyncio.create_task(gateway.call())
    await in_flight(gateway, {"abc.1": 1})
    await gateway.put(sets, version=2)
    assert (await gateway.call()).json() == {"revision": "abc.2"}
    assert len(new.seen) == 1
    assert not await gateway.admin.wait_drained("abc", 2, 0.01)
    drained = asyncio.create_task(gateway.admin.wait_drained("abc", 2, 20))
    release.set()
    assert await asyncio.wait_for(drained, 5)
    assert (await call).json() == {"revision": "abc.1"}


async def test_a_slow_upload_holds_no_version(gateway: Running) -> None:
    await gateway.table(await gateway.replica())
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    request = post(b"{}", "connection: close")
    writer.write(request[:-1])
    await writer.drain()
    await gateway.table(gateway.replicas[0], version=2)
    assert (await gateway.admin.status()).in_flight == {}
    writer.write(request[-1:])
    assert b'"abc.2"' in await asyncio.wait_for(reader.read(), 5)
    writer.close()


async def test_no_request_fails_or_goes_back_while_tables_change_and_replicas_die(gateway: Running) -> None:
    async def slowly(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.002)
        await answer_name(seen, writer)

    steady, fragile = await gateway.replica(slowly), await gateway.replica(slowly)
    await gateway.table(steady, fragile)

    async def work() -> None:
        last = 0
        for _ in range(40):
            answer = await gateway.call()
            assert answer.status_code == 200, answer.text
            version = int(answer.json()["revision"].removeprefix("abc."))
            assert version >= last
            last = version

    async def disturb() -> None:
        for version in range(2, 1000):
            await gateway.table(steady, fragile, version=version)
            await (fragile.stop() if version % 10 == 5 else asyncio.sleep(0.002))
            if version % 10 == 0:
                await fragile.start()

    disturbing = asyncio.create_task(disturb())
    await asyncio.gather(*(work() for _ in range(8)))
    assert not disturbing.done() or disturbing.exception() is None
    disturbing.cancel()
    assert (await gateway.admin.status()).in_flight == {}


async def test_a_deployment_that_left_the_table_frees_the_requests_that_wait_for_it(
    gateway: Running,
) -> None:
    await gateway.table()
    call = asyncio.create_task(gateway.call())
    await in_flight(gateway, {"abc.1": 1})
    await gateway.admin.put_routes(GatewayRoutes(serial=99))
    assert (await call).status_code == 404


async def test_the_table_survives_a_restart_in_a_private_file(short_dir: Path) -> None:
    replica = Replica(short_dir / "r.sock")
    await replica.start()
    async with run_gateway(short_dir) as gateway:
        await gateway.table(replica, version=4)
    assert stat.S_IMODE((short_dir / "table.json").stat().st_mode) == 0o600
    async with run_gateway(short_dir) as gateway:
        assert (await gateway.admin.status()).serial == 1
        assert (await gateway.call()).json() == {"revision": "abc.4"}
    await replica.stop()


async def test_a_damaged_table_file_does_not_keep_it_from_starting(short_dir: Path) -> None:
    (short_dir / "table.json").write_text("{")
    async with run_gateway(short_dir) as gateway:
        assert (await gateway.admin.status()).serial == 0


async def test_an_older_table_is_ignored_and_the_reply_says_which_is_served(gateway: Running) -> None:
    await gateway.admin.put_routes(GatewayRoutes(serial=7))
    status = await gateway.admin.put_routes(GatewayRoutes(serial=6))
    assert status.serial == 7


async def test_a_wrong_admin_token_is_refused(gateway: Running) -> None:
    other = GatewayClient(gateway.admin.address, TOKEN)
    with pytest.raises(DiagnosticsError):
        await other.status()
    await other.close()


# HTTP in the raw


async def raw(gateway: Running, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(data)
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


def post(body: bytes, *more: str, version: str = "1.1") -> bytes:
    lines = [f"POST {RUN} HTTP/{version}", "host: localhost", f"authorization: Bearer {TOKEN}"]
    lines += [f"content-length: {len(body)}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_pipelined_requests_are_answered_in_order(gateway: Running) -> None:
    async def echo(seen: Seen, writer: asyncio.StreamWriter) -> None:
        reply(writer, seen.body)

    await gateway.table(await gateway.replica(echo))
    requests = [post(b"<%d>" % n) for n in range(40)] + [post(b"<last>", "connection: close")]
    answers = await raw(gateway, b"".join(requests))
    found = [part.split(b">")[0] for part in answers.split(b"<")[1:]]
    assert found == [b"%d" % n for n in range(40)] + [b"last"]


async def test_a_client_that_left_has_no_further_request_answered(gateway: Running) -> None:
    begun = asyncio.Event()

    async def hang(seen: Seen, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await asyncio.Event().wait()

    replica = await gateway.replica(hang)
    await gateway.table(replica)
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(post(b"{}") * 3)
    await asyncio.wait_for(begun.wait(), 5)
    writer.transport.abort()
    await asyncio.wait_for(replica.closed.wait(), 5)
    assert await gateway.admin.wait_drained("abc", 2, 5)
    assert len(replica.seen) == 1


async def test_trailers_do_not_become_headers(gateway: Running) -> None:
    replica = await gateway.replica()
    await gateway.table(replica)
    head = post(b"", "transfer-encoding: chunked", "connection: close").replace(b"content-length: 0\r\n", b"")
    answer = await raw(gateway, head + b"2\r\n{}\r\n0\r\nx-late: 1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert "x-late" not in replica.seen[0].headers


async def test_a_client_of_http_1_0_gets_a_stream_that_ends_with_the_connection(gateway: Running) -> None:
    async def stream(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(b"6\r\nsecond\r\n0\r\n\r\n")

    await gateway.table(await gateway.replica(stream))
    answer = await raw(gateway, post(b"{}", version="1.0"))
    assert answer.endswith(b"\r\n\r\nfirstsecond")


async def test_expect_100_continue_is_answered_before_the_body_comes(gateway: Running) -> None:
    await gateway.table(await gateway.replica())
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(post(b"{}", "expect: 100-continue")[:-2])
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"{}")
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 200")
    writer.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 100_000, b"431"),
        (
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            b"400",
        ),
        (b"CONNECT elsewhere:80 HTTP/1.1\r\nhost: localhost\r\n\r\n", b"405"),
    ],
)
async def test_what_is_not_sound_http_is_refused(gateway: Running, data: bytes, status: bytes) -> None:
    assert (await raw(gateway, data)).startswith(b"HTTP/1.1 " + status)


async def test_an_offer_to_upgrade_to_something_else_is_ignored(gateway: Running) -> None:
    await gateway.table(await gateway.replica())
    offered = post(b"{}", "connection: Upgrade, HTTP2-Settings", "upgrade: h2c")
    answer = await raw(gateway, offered + post(b"{}", "connection: close"))
    assert answer.count(b"HTTP/1.1 200 OK") == 2


async def test_many_offers_to_upgrade_in_one_piece_are_ignored(gateway: Running) -> None:
    asked = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    last = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    assert (await raw(gateway, asked * 1500 + last)).count(b"HTTP/1.1 200 OK") == 1501


async def test_what_came_before_nonsense_gets_its_own_answer(gateway: Running) -> None:
    await gateway.table(await gateway.replica())
    answer = await raw(gateway, post(b"{}") + b"nonsense\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b" 400 " not in answer


async def test_a_head_that_trickles_in_is_given_up() -> None:
    async def never(request: Request) -> None:
        raise AssertionError("no request is complete")

    server = Server(never, head_s=0.3, sweep_s=0.05)
    listener = ports.bind_any("127.0.0.1")
    await server.listen(listener)
    reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
    writer.write(b"GET / HTTP/1.1\r\n")
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            while not reader.at_eof():
                writer.write(b"x")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.05)
    writer.close()
    await server.close(0)


async def test_closing_waits_for_the_requests_that_are_open(short_dir: Path) -> None:
    release = asyncio.Event()

    async def slow(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await answer_name(seen, writer)

    async with run_gateway(short_dir, grace_s=10) as gateway:
        await gateway.table(await gateway.replica(slow))
        call = asyncio.create_task(gateway.call())
        await in_flight(gateway, {"abc.1": 1})
        closing = asyncio.create_task(gateway.listener.close())
        await asyncio.sleep(0)
        release.set()
        assert (await call).status_code == 200
        await asyncio.wait_for(closing, 5)


# websockets


@contextlib.asynccontextmanager
async def ws_replica(
    gateway: Running, handler: Callable[[ws_server.ServerConnection], Awaitable[None]], **options: object
) -> AsyncIterator[None]:
    path = gateway.directory / "ws.sock"
    async with ws_server.unix_serve(handler, str(path), **options):
        await gateway.table(Replica(path), is_websocket=True)
        yield


def connect(gateway: Running, **options: object) -> ws_client.connect:
    headers = {"authorization": f"Api-Key {TOKEN}"}
    url = f"ws://127.0.0.1:{gateway.port}/chains/poems/production/websocket"
    return ws_client.connect(url, additional_headers=headers, **options)  # type: ignore[arg-type]


async def test_websocket_messages_and_the_clients_close_code_reach_the_replica(gateway: Running) -> None:
    closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
    seen: dict[str, str] = {}

    async def echo(connection: ws_server.ServerConnection) -> None:
        assert connection.request is not None
        seen.update({k.lower(): v for k, v in connection.request.headers.raw_items()})
        seen["path"] = connection.request.path
        with contextlib.suppress(ConnectionClosed):
            while True:
                await connection.send(await connection.recv())
        closed.set_result((connection.close_code or 0, connection.close_reason or ""))

    async with ws_replica(gateway, echo, subprotocols=["poem.v1"]):
        async with connect(gateway, subprotocols=["poem.v2", "poem.v1"]) as client:
            assert client.subprotocol == "poem.v1"
            await client.send("text")
            await client.send(b"\x00" * 300_000)
            assert (await client.recv(), await client.recv()) == ("text", b"\x00" * 300_000)
            assert (await gateway.admin.status()).in_flight == {"abc.1": 1}
            await client.close(4001, "enough")
        assert await asyncio.wait_for(closed, 5) == (4001, "enough")
        assert await gateway.admin.wait_drained("abc", 2, 5)
    assert seen["authorization"] == f"Api-Key {EDGE}"
    assert (seen["x-chains-revision"], seen["path"]) == ("abc.1", "/v1/websocket")


async def test_the_replicas_close_code_reaches_the_client(gateway: Running) -> None:
    async def leave(connection: ws_server.ServerConnection) -> None:
        await connection.send("bye")
        await connection.close(4321, "done")

    async with ws_replica(gateway, leave), connect(gateway) as client:
        assert await client.recv() == "bye"
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (4321, "done")


async def test_a_replica_that_dies_ends_the_websocket(gateway: Running) -> None:
    async def die(connection: ws_server.ServerConnection) -> None:
        await connection.recv()
        connection.transport.abort()

    async with ws_replica(gateway, die), connect(gateway) as client:
        await client.send("x")
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(client.recv(), 5)
        assert client.close_code == 1006
    assert await gateway.admin.wait_drained("abc", 2, 5)


async def test_a_client_that_dies_ends_the_websocket_at_the_replica(gateway: Running) -> None:
    ended = asyncio.Event()

    async def wait(connection: ws_server.ServerConnection) -> None:
        await connection.wait_closed()
        ended.set()

    async with ws_replica(gateway, wait), connect(gateway) as client:
        client.transport.abort()
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_refused_handshake_is_told(gateway: Running) -> None:
    async def unused(connection: ws_server.ServerConnection) -> None: ...

    def refuse(connection: ws_server.ServerConnection, request: object) -> object:
        return connection.respond(503, "not now\n")

    async with ws_replica(gateway, unused, process_request=refuse):
        with pytest.raises(InvalidStatus) as caught:
            async with connect(gateway):
                pass
        assert caught.value.response.status_code == 503


async def test_what_a_client_sends_behind_its_handshake_waits_for_the_answer(gateway: Running) -> None:
    async def echo(connection: ws_server.ServerConnection) -> None:
        await connection.send(await connection.recv())

    async with ws_replica(gateway, echo, compression=None):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        handshake = (
            "GET /chains/poems/production/websocket HTTP/1.1\r\nhost: localhost\r\n"
            f"authorization: Bearer {TOKEN}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
            "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        masked_hi = b"\x81\x82\x00\x00\x00\x00hi"
        writer.write(handshake.encode() + masked_hi)
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 101")
        assert await asyncio.wait_for(reader.readuntil(b"\x81\x02hi"), 5)
        writer.close()


async def test_a_websocket_needs_the_token(gateway: Running) -> None:
    async def unused(connection: ws_server.ServerConnection) -> None: ...

    async with ws_replica(gateway, unused):
        with pytest.raises(InvalidStatus) as caught:
            async with ws_client.connect(f"ws://127.0.0.1:{gateway.port}/chains/poems/production/websocket"):
                pass
        assert caught.value.response.status_code == 401
        plain = await gateway.http.get("/chains/poems/production/websocket")
        assert plain.status_code == 426


async def in_flight(gateway: Running, wanted: dict[str, int]) -> None:
    """Wait until exactly these requests are open."""
    async with asyncio.timeout(5):
        while (await gateway.admin.status()).in_flight != wanted:  # noqa: ASYNC110 (a state, and bounded)
            await asyncio.sleep(0)
