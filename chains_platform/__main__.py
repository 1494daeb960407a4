"""`python -m chains_platform serve|gateway`: started by the tool, and by the control plane.

Exit status: 0 ended in order, 2 wrong command line, 4 could not start; then the last line on
standard error is `CHAINS-FAILED` and the diagnostics as JSON.
"""

import argparse
import asyncio
import errno
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError

_COULD_NOT_START = 4


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one of the two processes; returns its exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its starts and stops are told by us
    try:
        if options.command == "gateway":
            _gateway(options, environ)
        else:
            _serve(options, environ)
    except DiagnosticsError as error:
        return _failed(error.diagnostics)
    except OSError as error:
        return _failed([_unusable(error)])
    except asyncio.CancelledError:  # told to end before it had started
        pass
    return 0


def _failed(diagnostics: Sequence[Diagnostic]) -> int:
    text = TypeAdapter(tuple[Diagnostic, ...]).dump_json(tuple(diagnostics)).decode()
    sys.stderr.write(f"CHAINS-FAILED {text}\n")
    return _COULD_NOT_START


def _unusable(error: OSError) -> Diagnostic:
    """The home can't be written, uv is missing, and the like: the system's own words."""
    return Diagnostic(
        code=Code.DISK_FULL if error.errno == errno.ENOSPC else Code.PLATFORM_START_FAILED,
        message=f"the platform can't start: {error}",
        help="make the path usable, or choose another directory with CHAINS_HOME",
    )


def _gateway(options: argparse.Namespace, environ: Mapping[str, str]) -> None:
    # each process imports only its own half: the gateway starts in half the time and memory
    from chains_platform.gateway.main import run_gateway
    from chains_platform.layout import find_layout

    layout = find_layout(environ, options.home)
    asyncio.run(run_gateway(layout, options.host, options.port, frozenset(options.allow_host)))


def _serve(options: argparse.Namespace, environ: Mapping[str, str]) -> None:
    from chains_platform.daemons.supervise import ServeOptions, serve

    chosen = ServeOptions(
        home=options.home,
        host=options.host,
        port=options.port,
        gateway_port=options.gateway_port,
        allowed_hosts=frozenset(options.allow_host),
    )
    asyncio.run(serve(chosen, environ))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chains_platform", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in (("serve", "the control plane"), ("gateway", "the gateway alone")):
        command = commands.add_parser(name, help=summary)
        command.add_argument("--home", type=Path, help="state directory; by default CHAINS_HOME")
        command.add_argument("--host", default="127.0.0.1", help="address to listen on")
        command.add_argument("--port", type=int, default=0, help="0: the one of the last start")
        command.add_argument(
            "--allow-host", action="append", default=[], help="a name besides loopback in `Host` headers"
        )
        if name == "serve":
            command.add_argument("--gateway-port", type=int, default=0, help="0: the one of the last start")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
