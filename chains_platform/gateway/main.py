"""The gateway's process: takes its lock, listens, says where, and ends in order on SIGTERM."""

import asyncio
import gc
import os
import signal
import socket
from typing import Final

from chains_platform import processes
from chains_platform.daemons import ports
from chains_platform.daemons.gateway import GatewayRun
from chains_platform.daemons.locks import hold_lock
from chains_platform.gateway.access import Access
from chains_platform.gateway.app import Gateway, GatewaySettings, serve
from chains_platform.layout import Layout, write_private
from chains_platform.secrets.tokens import Tokens

_GRACE_S: Final = 10.0
"""So long requests, streams and websockets get to end."""


async def run_gateway(layout: Layout, host: str, port: int, allowed_hosts: frozenset[str]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        layout: where token, table and socket are.
        host: address to listen on.
        port: 0 chooses one.
        allowed_hosts: names besides loopback that a `Host` header may have.

    Raises:
        DiagnosticsError: CH308 if the port is taken, CH309 if a gateway of this home runs.
    """
    layout.create()
    with hold_lock(layout.gateway_lock, "a gateway"):
        bound = ports.bind(host, port) if port else ports.bind_any(host)
        tokens = Tokens.load(layout)
        settings = GatewaySettings(
            api_token=tokens.api_token,
            admin_token=tokens.gateway_admin,
            table_file=layout.gateway_table,
            access=Access(hosts=frozenset(name.lower() for name in (*allowed_hosts, host))),
        )
        listener = await serve(Gateway(settings), bound, layout.gateway_socket, grace_s=_GRACE_S)
        try:
            _announce(layout, host, bound)
            gc.freeze()  # a full collection stops every request, and what was loaded stays
            await _until_signal()
        finally:
            await listener.close()


def _announce(layout: Layout, host: str, bound: socket.socket) -> None:
    me = processes.identify(os.getpid())
    run = GatewayRun(
        pid=os.getpid(),
        started=me.started if me is not None else 0.0,
        host=host,
        port=bound.getsockname()[1],
    )
    write_private(layout.gateway_file, run.model_dump_json().encode())


async def _until_signal() -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()


__all__ = ["run_gateway"]
