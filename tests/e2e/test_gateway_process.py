"""The gateway's and the control plane's processes: started, adopted, killed, restarted, ended."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest
from pydantic import TypeAdapter

from chains_platform import processes
from chains_platform.daemons import ports
from chains_platform.daemons.gateway import GatewayProcess, GatewayRun
from chains_platform.layout import Layout, PlatformFile, find_layout
from chains_platform.processes import ProcessId
from chains_platform.replicas.client import GatewayClient
from chains_platform.secrets.tokens import Tokens
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.routes import GatewayRoute, GatewayRoutes, GatewayTarget

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

TABLE = GatewayRoutes(
    serial=5,
    targets=(GatewayTarget(deployment="abc", version=1, entrypoint="Poems"),),
    routes=(GatewayRoute(chain="poems", selector="production", deployment="abc"),),
)


async def until(probe: Callable[[], bool]) -> None:
    """Wait for a state, bounded."""
    async with asyncio.timeout(30):
        while not probe():  # noqa: ASYNC110 (a state of other processes)
            await asyncio.sleep(0.005)


@dataclass
class Home:
    """A home of its own; `processes` are ended with the test."""

    layout: Layout
    client: GatewayClient
    started: list[asyncio.subprocess.Process] = field(default_factory=list)

    def gateway(self, host: str = "127.0.0.1") -> GatewayProcess:
        return GatewayProcess(self.layout, self.client, self.environ, host)

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "CHAINS_HOME": str(self.layout.home)}

    def run(self) -> GatewayRun:
        return GatewayRun.model_validate_json(self.layout.gateway_file.read_bytes())

    async def command(self, *arguments: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "chains_platform",
            *arguments,
            env=self.environ,
            stderr=asyncio.subprocess.PIPE,
        )
        self.started.append(process)
        return process

    async def serve(self, *arguments: str) -> PlatformFile:
        """Start a control plane and wait until it has announced itself."""
        process = await self.command("serve", *arguments)
        await until(lambda: process.returncode is not None or self.announced(process.pid))
        assert process.returncode is None, await process.communicate()
        found = self.layout.read_platform_file()
        assert found is not None
        return found

    def announced(self, pid: int) -> bool:
        found = self.layout.read_platform_file()
        return found is not None and found.pid == pid

    async def refused(self, *arguments: str) -> Diagnostic:
        """Start something that can't start; its diagnostic."""
        process = await self.command(*arguments)
        _, said = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 4
        line = said.decode().splitlines()[-1]
        adapter = TypeAdapter(tuple[Diagnostic, ...])
        (found,) = adapter.validate_json(line.removeprefix("CHAINS-FAILED "))
        return found


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    layout = find_layout({}, tmp_path / "home").create()
    client = GatewayClient(f"unix:{layout.gateway_socket}", Tokens.load(layout).gateway_admin)
    home = Home(layout, client)
    yield home
    for process in home.started:
        if process.returncode is None:
            process.kill()
        await process.communicate()
    with contextlib.suppress(FileNotFoundError):
        await processes.stop(home.run().process, 0)
        processes.reap(home.run().process)
    await client.close()
    if layout.sockets.exists():
        for path in layout.sockets.iterdir():
            path.unlink()
        layout.sockets.rmdir()


# the gateway


async def test_a_gateway_is_started_once_and_then_adopted(home: Home) -> None:
    first = await home.gateway().ensure(0)
    assert await home.gateway().ensure(0) == first
    assert await home.gateway().ensure(first.port) == first
    assert (await home.client.status()).pid == first.pid
    assert home.layout.gateway_file.stat().st_mode & 0o077 == 0
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{first.url}/health")).json() == {"ok": True}


async def test_a_control_plane_that_is_told_to_end_while_it_starts_leaves_no_gateway(home: Home) -> None:
    serving = await home.command("serve")
    me = psutil.Process(serving.pid)
    await until(lambda: bool(me.children()))
    (gateway,) = [processes.identify(child.pid) for child in me.children()]

    serving.terminate()
    _, said = await asyncio.wait_for(serving.communicate(), 30)

    assert serving.returncode == 0, said
    assert gateway is not None
    assert not processes.is_alive(gateway)
    assert not home.layout.sockets.exists()


async def test_another_port_is_taken_by_a_new_gateway(home: Home) -> None:
    first = await home.gateway().ensure(0)
    with contextlib.closing(ports.bind_any("127.0.0.1")) as free:
        wanted = free.getsockname()[1]
    second = await home.gateway().ensure(wanted)
    assert (second.port, second.pid != first.pid) == (wanted, True)
    assert not processes.is_alive(first.process)


async def test_a_killed_gateway_comes_back_on_its_port_with_its_table(home: Home) -> None:
    gateway = home.gateway()
    run = await gateway.ensure(0)
    await home.client.put_routes(TABLE)
    await until(home.layout.gateway_table.exists)
    again: asyncio.Future[GatewayRun] = asyncio.get_running_loop().create_future()

    async def restarted(run: GatewayRun) -> None:
        again.set_result(run)

    gateway.on_restart = restarted
    keeper = asyncio.create_task(gateway.keep(run))
    os.kill(run.pid, signal.SIGKILL)
    second = await asyncio.wait_for(again, 30)
    keeper.cancel()
    assert (second.port, second.pid != run.pid) == (run.port, True)
    assert (await home.client.status()).serial == 5
    token = Tokens.load(home.layout).api_token
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {token}"}) as http:
        url = f"{second.url}/chains/poems/production/run_remote"
        answer = await http.post(url, json={}, headers={"x-chains-deadline": "0.01"})
    assert answer.status_code == 503  # known, without a replica


async def test_a_gateway_that_hangs_is_replaced(home: Home) -> None:
    run = await home.gateway().ensure(0)
    os.kill(run.pid, signal.SIGSTOP)
    second = await asyncio.wait_for(home.gateway().ensure(0), 20)
    assert second.pid != run.pid
    assert not processes.is_alive(run.process)


async def test_a_taken_port_is_a_diagnostic(home: Home) -> None:
    other = contextlib.closing(socket.create_server(("127.0.0.1", 0)))
    with other as taken, pytest.raises(DiagnosticsError) as caught:
        await home.gateway().ensure(taken.getsockname()[1])
    assert [d.code for d in caught.value.diagnostics] == [Code.PORT_IN_USE]


async def test_a_second_gateway_of_one_home_is_refused(home: Home) -> None:
    await home.gateway().ensure(0)
    assert (await home.refused("gateway")).code is Code.PLATFORM_START_FAILED


async def test_a_stopped_gateway_is_gone(home: Home) -> None:
    run = await home.gateway().ensure(0)
    await home.gateway().stop()
    assert not processes.is_alive(run.process)
    assert not home.layout.gateway_file.exists()


# the control plane


async def test_the_control_plane_announces_both_and_its_death_stops_no_gateway(home: Home) -> None:
    first = await home.serve()
    assert home.layout.platform_file.stat().st_mode & 0o077 == 0
    async with httpx.AsyncClient() as http:
        health = (await http.get(f"{first.control_url}/v1/health")).json()
        assert (health["ok"], health["gateway_url"]) == (True, first.gateway_url)
        assert (await http.get(f"{first.gateway_url}/health")).status_code == 200

        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: home.started[0].returncode is not None)
        assert (await http.get(f"{first.gateway_url}/health")).status_code == 200

        second = await home.serve()
        assert second.pid != first.pid
        assert (second.control_url, second.gateway_url, second.gateway_pid, second.instance) == (
            first.control_url,
            first.gateway_url,
            first.gateway_pid,
            first.instance,
        )


async def test_sigterm_ends_the_control_plane_alone_and_in_order(home: Home) -> None:
    first = await home.serve()
    home.started[0].terminate()
    await asyncio.wait_for(home.started[0].communicate(), 30)
    assert home.started[0].returncode == 0
    assert processes.is_alive(ProcessId(first.gateway_pid, first.gateway_started))


async def test_a_gateway_that_dies_is_restarted_and_announced(home: Home) -> None:
    first = await home.serve()
    os.kill(first.gateway_pid, signal.SIGKILL)

    def is_replaced() -> bool:
        found = home.layout.read_platform_file()
        return found is not None and found.gateway_pid != first.gateway_pid

    await until(is_replaced)
    second = home.layout.read_platform_file()
    assert second is not None
    assert (second.gateway_url, second.pid) == (first.gateway_url, first.pid)
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{second.gateway_url}/health")).status_code == 200


async def test_a_second_control_plane_of_one_home_is_refused(home: Home) -> None:
    await home.serve()
    assert (await home.refused("serve")).code is Code.PLATFORM_START_FAILED


async def test_a_taken_port_is_told_with_exit_status_4(home: Home) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as other:
        taken = str(other.getsockname()[1])
        assert (await home.refused("serve", "--port", taken)).code is Code.PORT_IN_USE
        assert (await home.refused("serve", "--gateway-port", taken)).code is Code.PORT_IN_USE
    assert home.layout.read_platform_file() is None


async def test_a_home_that_can_not_be_used_is_told_with_exit_status_4(home: Home) -> None:
    home.layout.logs.rmdir()
    home.layout.logs.touch()
    assert (await home.refused("serve")).code is Code.PLATFORM_START_FAILED


async def test_a_requested_shutdown_ends_everything(home: Home) -> None:
    first = await home.serve()
    token = Tokens.load(home.layout).api_token
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {token}"}) as http:
        assert (await http.post(f"{first.control_url}/v1/shutdown")).status_code < 300
    await asyncio.wait_for(home.started[0].communicate(), 60)
    assert home.started[0].returncode == 0
    assert not processes.is_alive(ProcessId(first.gateway_pid, first.gateway_started))
    assert home.layout.read_platform_file() is None
    kept = json.loads(home.layout.ports_file.read_text())
    second = await home.serve()
    assert second.control_url.endswith(f":{kept['control']}")
    assert second.gateway_url.endswith(f":{kept['gateway']}")
