"""A replica as a process: its socket, its server, its signals, its end."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from chains_protocol.errors import Diagnostic, DiagnosticsError
from chains_protocol.replica import ReplicaLaunch
from chains_runtime.hotswap.transactions import Patcher
from chains_runtime.http_server import HttpServer
from chains_runtime.logs import set_up_logging
from chains_runtime.package import OpenPackage
from chains_runtime.replica import Replica
from chains_runtime.server import ReplicaApp
from chains_runtime.websocket_server import WebSocketServer

_LOG: Final = logging.getLogger(__name__)
BACKLOG: Final = 2048
CLOSE_WITHIN_S: Final = 1.0
WARM_UP_AFTER_S: Final = 2.0


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
    # named, or asyncio does not recognise TCP and leaves Nagle's delay (40 ms an answer) on
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


async def serve(
    launch: ReplicaLaunch,
    package: OpenPackage,
    listener: socket.socket,
    at_end: Callable[[int], None],
) -> int:
    """Serve until drained or failed; returns the exit code.

    Args:
        launch: what the platform told.
        package: the Chainlet to run.
        listener: a bound socket.
        at_end: called with the exit code as soon as the end has come, before anything is waited for.
    """
    replica = Replica(launch, package, work_dir=Path.cwd(), report=report_failure)
    set_up_logging(
        debug=package.spec.options.enable_debug_logs,
        shown=lambda text: replica.paths.text(text, replica.source_roots()),
    )
    patcher = Patcher(replica)
    app = ReplicaApp(replica, patcher)
    websockets = WebSocketServer(app, package.spec.options.transport or {})
    server = HttpServer(app, websockets.take_over)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, replica.drain)
    await server.listen(listener, BACKLOG)
    loading = loop.create_task(_load(replica, patcher, websockets))
    code = await replica.finished
    at_end(code)
    loading.cancel()
    await server.close(CLOSE_WITHIN_S)
    await websockets.close(CLOSE_WITHIN_S)
    replica.close()
    return code


async def _load(replica: Replica, patcher: Patcher, websockets: WebSocketServer) -> None:
    if replica.package.spec.endpoint.is_websocket:
        websockets.load()
    # A full collection stops every call for as long as it looks at objects, and ours stay. The next
    # ones come when their number has grown by a share of what this one finds: soon, and short.
    gc.freeze()
    gc.collect()
    await replica.load()
    # Later, when the replicas that were started together are no longer in each other's way.
    await asyncio.sleep(WARM_UP_AFTER_S)
    try:
        await patcher.warm_up()
    except DiagnosticsError as error:
        _LOG.debug("The package's source can't be analysed yet: %s", error)


def report_failure(diagnostics: tuple[Diagnostic, ...]) -> None:
    """The one line on stdout that the platform looks for."""
    from pydantic_core import to_json

    line = to_json([d.model_dump(mode="json") for d in diagnostics]).decode()
    sys.stdout.write(f"CHAINS-FAILED {line}\n")
    sys.stdout.flush()


__all__ = ["bind_tcp", "bind_unix", "serve"]
