"""The control plane's process: takes what runs, listens, says where, and ends in order.

SIGTERM ends this process only: gateway and replicas go on, and the next control plane
adopts them. `POST /v1/shutdown` ends all of it (`Supervisor.shutdown_all`).
"""

import asyncio
import contextlib
import importlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn

from chains_platform import processes
from chains_platform.daemons import ports
from chains_platform.daemons.gateway import GatewayProcess, GatewayRun, local_url
from chains_platform.daemons.locks import hold_lock
from chains_platform.layout import Layout, PlatformFile, find_layout
from chains_platform.replicas.client import GatewayClient
from chains_platform.secrets.tokens import Tokens

if TYPE_CHECKING:
    from chains_platform.services import Services

_LOGGER: Final = logging.getLogger("chains.platform")
_LAST_ANSWERS_S: Final = 1
"""So long open event streams of the API get to end when the control plane ends."""


@dataclass(frozen=True)
class ServeOptions:
    """`python -m chains_platform serve`. A port of 0 is the one kept from before, else a new choice."""

    home: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    gateway_port: int = 0
    allowed_hosts: frozenset[str] = frozenset()


class Supervisor:
    """Holds the parts of a running control plane together."""

    def __init__(self, layout: Layout, gateway: GatewayProcess, run: GatewayRun, control_url: str) -> None:
        self._layout = layout
        self._gateway = gateway
        self._run = run
        self._control_url = control_url
        self._keeper: asyncio.Task[None] | None = None
        self._services: Services | None = None
        self._is_announced = False
        gateway.on_restart = self._restarted

    def gateway_url(self) -> str:
        """Where users reach the gateway now."""
        return self._run.url

    async def begin(self, services: "Services") -> None:
        """Adopt what runs, and keep the gateway running from now on."""
        self._services = services
        await services.adopt()
        self._keeper = asyncio.create_task(self._gateway.keep(self._run))

    def announce(self) -> None:
        """Write `platform.json`: both processes listen."""
        me = processes.identify(os.getpid())
        if me is None or self._services is None:
            return
        self._is_announced = True
        _LOGGER.info("serving at %s, chains at %s", self._control_url, self._run.url)
        self._layout.write_platform_file(
            PlatformFile(
                pid=me.pid,
                started=me.started,
                control_url=self._control_url,
                gateway_url=self._run.url,
                gateway_pid=self._run.pid,
                gateway_started=self._run.started,
                instance=self._services.instance,
            )
        )

    async def shutdown_all(self) -> None:
        """End everything: first the gateway with the requests that are open, then the replicas."""
        await self.end()
        await self._gateway.stop()
        if self._services is not None:
            await self._services.stop_everything()
        self._layout.platform_file.unlink(missing_ok=True)

    async def give_up(self) -> None:
        """End the gateway unless others know of it: nobody would find it otherwise."""
        await self.end()
        if self._gateway.has_started and not self._is_announced:
            await self._gateway.stop()

    async def end(self) -> None:
        """Stop watching the gateway; it goes on."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def _restarted(self, run: GatewayRun) -> None:
        self._run = run
        self.announce()
        if self._services is not None:
            await self._services.distribution.check_gateway()


async def serve(options: ServeOptions, environ: Mapping[str, str]) -> None:
    """Run the control plane until SIGTERM, SIGINT or a requested shutdown.

    Raises:
        DiagnosticsError: CH308 if a port is taken, CH309 if it can't start or one runs already.
        CancelledError: it was told to end while it started; nothing of it remains.
    """
    starting = asyncio.current_task()
    if starting is not None:
        _on_end(starting.cancel)
    layout = find_layout(environ, options.home).create()
    with hold_lock(layout.control_lock, "a platform"), _sockets_tidied(layout):
        kept = ports.read_ports(layout.ports_file)
        with contextlib.closing(_bind(options, kept)) as bound:
            port: int = bound.getsockname()[1]
            tokens = Tokens.load(layout)
            client = GatewayClient(f"unix:{layout.gateway_socket}", tokens.gateway_admin)
            gateway = GatewayProcess(layout, client, environ, options.host, options.allowed_hosts)
            # the gateway starts while the larger half of this program is imported
            run, _ = await asyncio.gather(
                gateway.ensure(options.gateway_port or kept.gateway),
                asyncio.to_thread(importlib.import_module, "chains_platform.api.app"),
            )
            supervisor = Supervisor(layout, gateway, run, local_url(options.host, port))
            try:
                ports.write_ports(layout.ports_file, ports.Ports(control=port, gateway=run.port))
                services = await _open(supervisor, layout, tokens, client, environ)
                await _run(supervisor, services, bound, options)
            finally:
                await supervisor.give_up()


@contextlib.contextmanager
def _sockets_tidied(layout: Layout) -> Iterator[None]:
    """The sockets' directory goes when nobody listens there any more."""
    try:
        yield
    finally:
        layout.remove_sockets()


async def _open(
    supervisor: Supervisor, layout: Layout, tokens: Tokens, client: GatewayClient, environ: Mapping[str, str]
) -> "Services":
    from chains_platform.engines.process import open_engine
    from chains_platform.services import open_services

    engine = open_engine(layout, environ)
    return await open_services(layout, engine, tokens, client, time.time, gateway_url=supervisor.gateway_url)


async def _run(
    supervisor: Supervisor, services: "Services", bound: socket.socket, options: ServeOptions
) -> None:
    from chains_platform.api.app import create_app

    config = uvicorn.Config(
        create_app(services, options.allowed_hosts | {options.host}),
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
    )
    server = _Server(config, supervisor.announce)
    _on_end(server.finish)
    shutdown = asyncio.create_task(_shutdown(supervisor, services, server))
    try:
        await supervisor.begin(services)
        await server.serve(sockets=[bound])
    finally:
        shutdown.cancel()
        await asyncio.gather(shutdown, return_exceptions=True)
        await supervisor.end()
        await services.close()


def _on_end(act: Callable[[], object]) -> None:
    """What SIGTERM and Ctrl-C do from now on."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, act)


async def _shutdown(supervisor: Supervisor, services: "Services", server: "_Server") -> None:
    await services.shutdown_requested.wait()
    _LOGGER.info("shutting down everything")
    try:
        await supervisor.shutdown_all()
    finally:
        server.finish()


def _bind(options: ServeOptions, kept: ports.Ports) -> socket.socket:
    wanted = options.port or kept.control
    return ports.bind(options.host, wanted) if wanted else ports.bind_any(options.host)


class _Server(uvicorn.Server):
    """uvicorn that says when it listens and leaves signals to us."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    def finish(self) -> None:
        """Stop listening, let answers under way end, return from `serve`."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._on_listening()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


__all__ = ["ServeOptions", "Supervisor", "serve"]
