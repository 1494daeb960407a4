"""`python -m chains_runtime --package DIR (--socket PATH | --port N [--host HOST])`.

Reads one `ReplicaLaunch` as JSON from standard input; with none (a terminal, or an empty input)
it makes one up, for running a package by hand, and says its token on standard error.

Exit codes: 0 drained, 1 the Chainlet could not be loaded, 2 wrong launch.
"""

import argparse
import asyncio
import os
import secrets
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from chains_protocol.errors import DiagnosticsError
from chains_protocol.replica import ReplicaLaunch
from chains_protocol.routes import ReplicaRoutes
from chains_runtime.package import open_package

WRONG_LAUNCH: Final = 2
END_WITHIN_S: Final = 5.0


def main(argv: list[str]) -> int:
    """Run one replica; returns the exit code."""
    arguments = _parser().parse_args(argv)
    # Until the event loop takes over, there is nothing to finish.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        launch = read_launch()
        package = open_package(Path(arguments.package).resolve())
        listener = _listener(arguments)
    except (ValidationError, ValueError, OSError, DiagnosticsError) as error:
        sys.stderr.write(f"chains_runtime: {error}\n")
        return WRONG_LAUNCH
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream: what the user prints is read line by line
    from chains_runtime.serving import serve

    return asyncio.run(serve(launch, package, listener, lambda code: _end(code, arguments.socket)))


def _end(code: int, socket_path: str | None) -> None:
    """See to it that nothing keeps the process alive: user code may block in a thread."""
    if socket_path:
        Path(socket_path).unlink(missing_ok=True)
    timer = threading.Timer(END_WITHIN_S, os._exit, (code,))
    timer.daemon = True
    timer.start()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chains_runtime", description="Run one Chainlet's package."
    )
    parser.add_argument("--package", required=True, help="directory of the package")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", help="path of the Unix socket to listen on")
    where.add_argument("--port", type=int, help="TCP port to listen on")
    parser.add_argument("--host", default="127.0.0.1", help="address for --port (default: %(default)s)")
    return parser


def read_launch() -> ReplicaLaunch:
    """The launch on standard input, or one for running by hand."""
    text = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    if text.strip():
        return ReplicaLaunch.model_validate_json(text)
    token = secrets.token_urlsafe(24)
    sys.stderr.write(f"chains_runtime: the token for calls and administration is {token}\n")
    return ReplicaLaunch(
        replica_id="by-hand",
        deployment="by-hand",
        admin_token=token,
        package_digest="0" * 64,
        routes=ReplicaRoutes(accepts=(token,)),
    )


def _listener(arguments: argparse.Namespace) -> socket.socket:
    from chains_runtime.serving import bind_tcp, bind_unix

    if arguments.socket:
        return bind_unix(Path(arguments.socket))
    return bind_tcp(arguments.host, arguments.port)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
