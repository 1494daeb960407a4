"""A replica as a process: its socket, its server, its signals, its end."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.server import Server

from chains_protocol.replica import ReplicaLaunch
from chains_runtime.hotswap.transactions import Patcher
from chains_runtime.package import OpenPackage
from chains_runtime.replica import Replica
from chains_runtime.server import ReplicaApp

_LOG: Final = logging.getLogger(__name__)
KEEP_ALIVE_S: Final = 120
"""Longer than any client of ours keeps an idle connection."""
BACKLOG: Final = 2048
MAX_WEBSOCKET_MESSAGE: Final = 100 * 1024 * 1024


def bind_unix(path: Path) -> socket.socket:
    """A listening Unix socket that only this user can open; what stood at the path is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Between `bind` and `chmod` the mask keeps everyone else out.
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    path.chmod(0o600)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def bind_tcp(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 means any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


class _Server(Server):
    """uvicorn's server, leaving signals to us: it would end the process by the signal instead of code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(launch: ReplicaLaunch, package: OpenPackage, listener: socket.socket) -> Replica:
    """Serve until drained or failed; the replica says with which exit code to end."""
    replica = Replica(launch, package)
    app = ReplicaApp(replica, Patcher(replica))
    server = _Server(_config(app, package))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, replica.drain)
    serving = loop.create_task(server.serve(sockets=[listener]))
    loading = loop.create_task(replica.load())
    waited: list[asyncio.Future[Any]] = [replica.finished, serving]
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    loading.cancel()
    await asyncio.wait([serving, loading], timeout=5)
    replica.end(1)  # without effect unless the server ended by itself
    replica.close()
    return replica


def _config(app: ReplicaApp, package: OpenPackage) -> Config:
    transport = package.spec.options.transport or {}
    return Config(
        app,
        http="httptools",
        ws=_WEBSOCKETS,
        ws_max_size=MAX_WEBSOCKET_MESSAGE,
        ws_ping_interval=_seconds(transport, "ping_interval_seconds"),
        ws_ping_timeout=_seconds(transport, "ping_timeout_seconds"),
        lifespan="off",
        loop="asyncio",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
        backlog=BACKLOG,
        proxy_headers=False,
    )


def _seconds(transport: dict[str, Any], key: str) -> float | None:
    """An interval of the transport's settings; 20 s if it is not set."""
    found = transport.get(key)
    return float(found) if isinstance(found, int | float) else 20.0


def _websocket_protocol(**arguments: Any) -> asyncio.Protocol:
    """Load the websocket implementation with the first websocket."""
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    protocol: asyncio.Protocol = WebSocketsSansIOProtocol(**arguments)
    return protocol


# uvicorn calls it as it would call the class.
_WEBSOCKETS: Final[Any] = _websocket_protocol


def run(launch: ReplicaLaunch, package: OpenPackage, listener: socket.socket) -> Replica:
    """Serve on an event loop of its own and return the ended replica."""
    return asyncio.run(serve(launch, package, listener))


def report_failure(replica: Replica) -> None:
    """The one line on stdout that the platform looks for."""
    from pydantic_core import to_json

    line = to_json([d.model_dump(mode="json") for d in replica.diagnostics]).decode()
    sys.stdout.write(f"CHAINS-FAILED {line}\n")
    sys.stdout.flush()


__all__ = ["bind_tcp", "bind_unix", "report_failure", "run", "serve"]
