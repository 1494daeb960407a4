"""`python -m chains_runtime --package DIR (--socket PATH | --port N [--host HOST])`.

Reads one `ReplicaLaunch` as JSON from standard input; with none (a terminal, or an empty input)
it makes one up, for running a package by hand, and says its token on standard error.

Exit codes: 0 drained, 1 the Chainlet could not be loaded, 2 wrong launch.
"""

import argparse
import logging
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
from chains_runtime.package import OpenPackage, open_package

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
    _set_up_logging(package)
    from chains_runtime.serving import report_failure, run

    replica = run(launch, package, listener)
    code = replica.finished.result()
    if code:
        report_failure(replica)
    _end_within(END_WITHIN_S, code)
    if arguments.socket:
        Path(arguments.socket).unlink(missing_ok=True)
    return code


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


def _set_up_logging(package: OpenPackage) -> None:
    from chains_runtime.logs import set_up_logging

    set_up_logging(debug=package.spec.options.enable_debug_logs)
    logging.captureWarnings(capture=True)


def _end_within(seconds: float, code: int) -> None:
    """Threads that user code left running must not keep the process alive."""
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
