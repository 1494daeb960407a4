"""Which ports the platform listens on: chosen once, then kept, so that URLs stay true."""

import errno
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from chains_platform.layout import write_private
from chains_protocol.base import Reply
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError

_CHOICE: Final = range(18000, 32000)
"""Below the range from which systems take ports of outgoing connections: those would come in our way."""

_TRIES: Final = 50


class Ports(Reply):
    """`platform/ports.json`."""

    control: int = 0
    gateway: int = 0


def read_ports(path: Path) -> Ports:
    """The kept ports; zeros before the first start."""
    try:
        return Ports.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return Ports()


def write_ports(path: Path, ports: Ports) -> None:
    write_private(path, ports.model_dump_json().encode())


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket bound to a port, ready to listen.

    Raises:
        DiagnosticsError: CH308 if the port is taken, CH309 if the address can't be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # named, or asyncio does not recognise TCP and leaves Nagle's delay (40 ms an answer) on
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise DiagnosticsError([bind_failure(host, port, error)]) from error
    bound.set_inheritable(False)
    return bound


def bind_any(host: str, choose: Callable[[range], int] = random.choice) -> socket.socket:
    """A socket bound to a free port of our choice."""
    for _ in range(_TRIES):
        try:
            return bind(host, choose(_CHOICE))
        except DiagnosticsError as error:
            if error.diagnostics[0].code is not Code.PORT_IN_USE:
                raise
    return bind(host, 0)


def bind_failure(host: str, port: int, error: OSError) -> Diagnostic:
    """What to tell about a failed bind."""
    if error.errno == errno.EADDRINUSE:
        return Diagnostic(
            code=Code.PORT_IN_USE,
            message=f"port {port} on {host} is used by another program",
            help="end that program, or remove `platform/ports.json` from the home of the platform, "
            "so that other ports are chosen (URLs then change)",
        )
    return Diagnostic(
        code=Code.PLATFORM_START_FAILED,
        message=f"can't listen on {host}, port {port}: {error.strerror or error}",
        help="choose another address with `--host` or another port with `--port`",
    )


__all__ = ["Ports", "bind", "bind_any", "bind_failure", "read_ports", "write_ports"]
