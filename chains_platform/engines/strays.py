"""Replicas that a control plane started and was killed before it could write down.

They are found by what their command line says: our module, and a socket in this platform's directory.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import psutil

from chains_platform.engines.engine import ReplicaHandle
from chains_platform.processes import identify

REPLICA_MODULE: Final = "chains_runtime"


def strays(sockets: Path, known: Collection[int]) -> tuple[ReplicaHandle, ...]:
    """Replicas with a socket directly below `sockets` whose process id nobody knows."""
    found = []
    for process in psutil.process_iter():
        if process.pid in known:
            continue
        try:
            socket = replica_socket(process.cmdline())
        except psutil.Error:
            continue  # it ended, or is somebody else's
        if socket is None or socket.parent != sockets:
            continue
        named = identify(process.pid)
        if named is not None:
            found.append(ReplicaHandle("stray", named.pid, named.started, f"unix:{socket}"))
    return tuple(found)


def replica_socket(command_line: list[str]) -> Path | None:
    """The socket that a replica with this command line listens on; None if it is no replica's."""
    match command_line:
        case [_, *options, "-m", module, "--package", _, "--socket", socket] if module == REPLICA_MODULE:
            return Path(socket) if all(o.startswith("-") for o in options) else None
        case _:
            return None


__all__ = ["REPLICA_MODULE", "replica_socket", "strays"]
