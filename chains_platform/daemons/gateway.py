"""The gateway as a process: adopted if it runs, started if not, restarted when it dies."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from chains_platform import processes
from chains_platform.engines.process import parse_failure
from chains_platform.layout import HOME_VARIABLE, Layout
from chains_platform.processes import ProcessId
from chains_platform.replicas.client import GatewayClient
from chains_protocol.base import Reply
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError

_LOGGER: Final = logging.getLogger("chains.platform")
_START_TIMEOUT_S: Final = 20.0
_ADOPT_TIMEOUT_S: Final = 2.0
_LOOK_S: Final = 0.01
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_STOP_S: Final = 15.0
_HANGING_STOP_S: Final = 0.5
_PASSED_ON: Final = ("PYTHONPATH", "VIRTUAL_ENV", "XDG_RUNTIME_DIR", "XDG_DATA_HOME")


class GatewayRun(Reply):
    """`platform/gateway-process.json`, written by the gateway when it listens."""

    pid: int
    started: float
    host: str
    port: int

    @property
    def process(self) -> ProcessId:
        return ProcessId(self.pid, self.started)

    @property
    def url(self) -> str:
        """Where clients of this machine reach it."""
        return local_url(self.host, self.port)


def local_url(host: str, port: int) -> str:
    """The URL of a listener, seen from its own machine."""
    seen = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{seen}:{port}"


@dataclass
class GatewayProcess:
    """Keeps one gateway running.

    Args:
        layout: where its files are.
        client: asks it.
        environ: the environment from which it gets paths.
        host: the address it listens on.
        allowed_hosts: names besides loopback that a `Host` header may have.
    """

    layout: Layout
    client: GatewayClient
    environ: Mapping[str, str]
    host: str
    allowed_hosts: frozenset[str] = frozenset()
    on_restart: Callable[[GatewayRun], Awaitable[None]] | None = None
    has_started: bool = field(default=False, init=False)
    """Whether the gateway that runs was started here, not found running."""
    _pause_s: float = field(default=_FIRST_PAUSE_S, init=False)

    async def ensure(self, port: int) -> GatewayRun:
        """The gateway that runs, or a new one; `port` 0 takes what it has, else chooses.

        A running one on another port than the one asked for is replaced.

        Raises:
            DiagnosticsError: it can't be started.
        """
        run = self._read()
        if run is not None and processes.is_alive(run.process):
            is_answering = await self._answers(_ADOPT_TIMEOUT_S)
            if is_answering and port in (0, run.port) and run.host == self.host:
                return run
            await processes.stop(run.process, _STOP_S if is_answering else _HANGING_STOP_S)
            processes.reap(run.process)
        return await self._start(port)

    async def keep(self, run: GatewayRun) -> None:
        """Restart the gateway on its port whenever it dies; ends only by cancellation."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await processes.wait_exit(run.process)
            code = processes.reap(run.process)
            _LOGGER.warning("the gateway (pid %s) ended with %s; starting it again", run.pid, code)
            if loop.time() - began > _LONGEST_PAUSE_S:
                self._pause_s = _FIRST_PAUSE_S
            run = await self._restart(run)

    async def _restart(self, run: GatewayRun) -> GatewayRun:
        while True:
            try:
                started = await self._start(run.port)
            except (DiagnosticsError, OSError) as error:  # a full disk, too, is over some time
                _LOGGER.error("the gateway does not start: %s", error)
                await asyncio.sleep(self._pause_s)
                self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
                continue
            if self.on_restart is not None:
                try:
                    await self.on_restart(started)
                except OSError as error:
                    _LOGGER.error("the gateway runs again, but that could not be told: %s", error)
            return started

    async def stop(self) -> None:
        """Let it finish what is open, for a bounded time; returns when it is gone."""
        run = self._read()
        if run is not None:
            await processes.stop(run.process, _STOP_S)
            processes.reap(run.process)
        self.layout.gateway_file.unlink(missing_ok=True)
        self.layout.gateway_socket.unlink(missing_ok=True)

    async def _start(self, port: int) -> GatewayRun:
        self.has_started = True
        log = self.layout.logs / "gateway.log"
        offset = log.stat().st_size if log.exists() else 0
        self.layout.gateway_file.unlink(missing_ok=True)
        arguments = [sys.executable, "-P", "-m", "chains_platform", "gateway"]
        arguments += ["--host", self.host, "--port", str(port)]
        for name in sorted(self.allowed_hosts):
            arguments += ["--allow-host", name]
        added = {name: self.environ[name] for name in _PASSED_ON if name in self.environ}
        added[HOME_VARIABLE] = str(self.layout.home)
        # in this thread, for a moment: a cancellation then finds a process that is known
        process = processes.spawn(
            arguments,
            environ=processes.minimal_environment(self.environ, added),
            stdout=log,
            stderr=log,
            cwd=self.layout.platform,
        )
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                return await self._listening(process)
        except asyncio.CancelledError:  # nobody waits for it any more
            await _end(process)
            raise
        except TimeoutError:
            await _end(process)
            raise DiagnosticsError([self._late()]) from None
        except ChildProcessError:
            said = log.read_bytes()[offset:].decode(errors="replace")
            raise DiagnosticsError(parse_failure(said) or [self._died(said)]) from None

    async def _listening(self, process: ProcessId) -> GatewayRun:
        """Wait for its file and its first answer. `ChildProcessError` if it ends before."""
        while True:
            run = self._read()
            if run is not None and run.pid == process.pid and await self._answers(_START_TIMEOUT_S):
                return run
            if not processes.is_alive(process):
                processes.reap(process)
                raise ChildProcessError
            await asyncio.sleep(_LOOK_S)

    async def _answers(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self.client.status()
        except (ConnectionError, DiagnosticsError, TimeoutError):
            return False
        return True

    def _read(self) -> GatewayRun | None:
        try:
            return GatewayRun.model_validate_json(self.layout.gateway_file.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def _late(self) -> Diagnostic:
        return Diagnostic(
            code=Code.PLATFORM_START_FAILED,
            message=f"the gateway did not listen after {_START_TIMEOUT_S:g} s",
            help=f"look at `{self.layout.logs / 'gateway.log'}`",
        )

    def _died(self, said: str) -> Diagnostic:
        return Diagnostic(
            code=Code.PLATFORM_START_FAILED,
            message="the gateway ended before it listened",
            help=f"look at `{self.layout.logs / 'gateway.log'}`",
            detail="\n".join(said.splitlines()[-40:]) or None,
        )


async def _end(process: ProcessId) -> None:
    await processes.stop(process, 1.0)
    processes.reap(process)


__all__ = ["GatewayProcess", "GatewayRun", "local_url"]
