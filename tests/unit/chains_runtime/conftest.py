"""A replica in this process, over a real Unix socket in a temporary directory."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from chains_protocol.replica import PrepareReply, PrepareRequest, ReplicaLaunch, ReplicaState
from chains_protocol.routes import ReplicaRoutes
from chains_protocol.rpc import PREDICT_PATH
from chains_runtime.hotswap.judging import Judge
from chains_runtime.hotswap.transactions import Patcher
from chains_runtime.http_server import HttpServer
from chains_runtime.package import open_package
from chains_runtime.replica import Replica
from chains_runtime.server import ReplicaApp
from chains_runtime.serving import bind_unix
from chains_runtime.websocket_server import WebSocketServer

TOKEN = "edge-token"
ADMIN = "admin-token"
DIGEST = "0" * 64


@dataclass
class Running:
    """A replica that serves, and a client for it."""

    replica: Replica
    patcher: Patcher
    socket: Path
    http: httpx.AsyncClient

    @property
    def address(self) -> str:
        return f"unix:{self.socket}"

    async def call(
        self, body: Mapping[str, Any], *, version: int | None = None, **options: Any
    ) -> httpx.Response:
        """Call `predict`, stamped with a version of deployment `d` if one is given."""
        headers = {"authorization": f"Api-Key {TOKEN}", **options.pop("headers", {})}
        if version is not None:
            headers["x-chains-revision"] = f"d.{version}"
        return await self.http.post(PREDICT_PATH, json=dict(body), headers=headers, **options)

    async def value(self, body: Mapping[str, Any], *, version: int | None = None) -> Any:
        """The result of a call that must succeed."""
        response = await self.call(body, version=version)
        assert response.status_code == 200, response.text
        return response.json()

    async def prepare(
        self, package: Path, since: int, action: str = "patched", **changes: Any
    ) -> PrepareReply:
        request = {
            "transaction": f"t{since}",
            "since": since,
            "base_digest": self.replica.newest.package_digest,
            "package_digest": f"{since:064x}",
            "package_dir": str(package),
            "action": action,
            **changes,
        }
        return await self.patcher.prepare(PrepareRequest.model_validate(request))

    async def patch(self, package: Path, since: int, action: str = "patched") -> PrepareReply:
        """Prepare and commit."""
        reply = await self.prepare(package, since, action)
        assert reply.ok, reply
        self.patcher.commit(f"t{since}")
        return reply


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A directory with a short path: a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ch-", dir="/tmp") as directory:
        yield Path(directory)


@asynccontextmanager
async def running(
    package: Path,
    socket: Path,
    *,
    routes: ReplicaRoutes | None = None,
    judge: Judge | None = None,
    **launch: Any,
) -> AsyncIterator[Running]:
    limits = {
        "queue_limit": launch.pop("queue_limit", 16),
        "callee_wait_s": launch.pop("callee_wait_s", 10.0),
    }
    told = ReplicaLaunch.model_validate(
        {
            "replica_id": "r1",
            "deployment": "d",
            "admin_token": ADMIN,
            "package_digest": DIGEST,
            "routes": routes or ReplicaRoutes(accepts=(TOKEN,)),
            **launch,
        }
    )
    replica = Replica(told, open_package(package), work_dir=socket.parent, **limits)
    patcher = Patcher(replica, judge)
    app = ReplicaApp(replica, patcher)
    websockets = WebSocketServer(app, {})
    server = HttpServer(app, websockets.take_over)
    await server.listen(bind_unix(socket), 100)
    loading = asyncio.create_task(replica.load())
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://replica", timeout=20) as http:
            yield Running(replica, patcher, socket, http)
    finally:
        loading.cancel()
        await server.close(2)
        await websockets.close(2)
        replica.close()


@pytest.fixture
async def start(sockets: Path) -> AsyncIterator[Start]:
    """Start replicas; each is ready when it is handed over, unless `wait=False`."""
    async with AsyncExitStack() as stack:
        count = 0

        async def begin(package: Path, *, wait: bool = True, **options: Any) -> Running:
            nonlocal count
            count += 1
            found = await stack.enter_async_context(running(package, sockets / f"{count}.s", **options))
            if wait:
                await loaded(found.replica)
                assert found.replica.state is ReplicaState.READY, found.replica.diagnostics
            return found

        yield begin


async def loaded(replica: Replica) -> None:
    """Wait until the replica has loaded, or failed to."""
    await until(lambda: replica.state not in (ReplicaState.STARTING, ReplicaState.LOADING), 20)


async def until(condition: Callable[[], object], within_s: float = 5) -> None:
    """Wait for a state, with a bound."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 (the states of a replica have no events of their own)
            await asyncio.sleep(0.005)
