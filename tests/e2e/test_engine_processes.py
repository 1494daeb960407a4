"""Real processes: detached, recognised, awaited, stopped with all they left."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chains_platform import processes
from chains_platform.processes import ProcessId

pytestmark = pytest.mark.e2e

SLEEP = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('up', flush=True); time.sleep(60)"
)
ABANDON = (
    "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', sys.argv[1]], "
    "start_new_session=True, stdout=subprocess.DEVNULL).pid)"
)


class Spawner:
    """Starts Python programs and ends those that a test left."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.started: list[ProcessId] = []

    def __call__(self, program: str, payload: bytes = b"", **environ: str) -> ProcessId:
        process = processes.spawn(
            [sys.executable, "-c", program],
            environ=processes.minimal_environment(os.environ, environ),
            stdout=self.directory / "out",
            stderr=self.directory / "err",
            cwd=self.directory,
            payload=payload,
        )
        self.started.append(process)
        return process

    @property
    def out(self) -> str:
        return (self.directory / "out").read_text()

    async def says(self, text: str) -> None:
        async with asyncio.timeout(20):
            while text not in self.out:  # noqa: ASYNC110 (a file has no event)
                await asyncio.sleep(0.005)


@pytest.fixture
async def spawn(tmp_path: Path) -> AsyncIterator[Spawner]:
    spawner = Spawner(tmp_path)
    yield spawner
    for process in spawner.started:
        await processes.stop(process, 0)
        processes.reap(process)


async def test_a_process_is_a_session_of_its_own_with_a_minimal_environment(spawn: Spawner) -> None:
    program = (
        "import os, sys, json; "
        "fds = [n for n in range(3, 64) if os.path.exists(f'/proc/self/fd/{n}')]; "
        "print(json.dumps([os.getsid(0) == os.getpid(), sorted(os.environ), sys.stdin.read(), fds]))"
    )
    with (spawn.directory / "inherited").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        await processes.wait_exit(spawn(program, b"payload", MINE="1"))
    is_leader, names, given, descriptors = json.loads(spawn.out)
    assert (is_leader, given) == (True, "payload")
    assert "MINE" in names
    assert not {n for n in names if "TOKEN" in n or "SECRET" in n or n.startswith(("PYTEST", "CHAINS"))}
    assert descriptors == []
    assert (spawn.directory / "out").stat().st_mode & 0o077 == 0


async def test_the_exit_of_a_child_is_seen_at_once_and_its_code_read_once(spawn: Spawner) -> None:
    process = spawn("import sys; sys.exit(7)")
    async with asyncio.timeout(20):
        await processes.wait_exit(process)
    assert not processes.is_alive(process)
    assert (processes.reap(process), processes.reap(process)) == (7, None)


async def test_the_exit_of_a_process_that_is_not_our_child_is_seen(spawn: Spawner) -> None:
    """An adopted process: its parent is gone, so nobody but a pidfd tells."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-c", ABANDON, SLEEP, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await parent.communicate()
    adopted = processes.identify(int(said))
    assert adopted is not None
    waiting = asyncio.create_task(processes.wait_exit(adopted))
    await asyncio.sleep(0)
    assert processes.is_alive(adopted)
    os.kill(adopted.pid, signal.SIGKILL)
    await asyncio.wait_for(waiting, 20)
    assert not processes.is_alive(adopted)


async def test_a_zombie_is_not_alive(spawn: Spawner) -> None:
    process = spawn("")
    await processes.wait_exit(process)
    assert processes.identify(process.pid) is not None  # still in the table, nobody reaped it
    assert not processes.is_alive(process)


async def test_a_later_process_with_the_same_pid_is_left_alone(spawn: Spawner) -> None:
    process = spawn(SLEEP)
    earlier = ProcessId(process.pid, process.started - 3600)
    processes.send_signal(earlier, signal.SIGKILL)
    await processes.stop(earlier, 0)
    assert processes.is_alive(process)


async def test_stop_asks_first(spawn: Spawner) -> None:
    process = spawn(
        "import os, signal, sys, time\n"
        # not `print`: the signal may come while the other one is being written
        "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'asked\\n'), sys.exit(0)))\n"
        "os.write(1, b'up\\n'); time.sleep(60)"
    )
    await spawn.says("up")
    await processes.stop(process, 20)
    assert (spawn.out, processes.reap(process)) == ("up\nasked\n", 0)


async def test_stop_kills_what_does_not_go(spawn: Spawner) -> None:
    process = spawn(STUBBORN)
    await spawn.says("up")
    await processes.stop(process, 0.05)
    assert (processes.is_alive(process), processes.reap(process)) == (False, -signal.SIGKILL)


async def test_stop_takes_the_children_along(spawn: Spawner) -> None:
    process = spawn(
        "import subprocess, sys, time\n"
        f"print(subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]).pid, flush=True); time.sleep(60)"
    )
    await spawn.says("up")
    child = processes.identify(int(spawn.out.split()[0]))
    assert child is not None
    await processes.stop(process, 20)
    await asyncio.wait_for(processes.wait_exit(child), 20)


async def test_a_large_payload_to_a_process_that_reads_none_is_no_error(spawn: Spawner) -> None:
    process = await asyncio.to_thread(spawn, "", b"x" * 1_000_000)
    await processes.wait_exit(process)


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        processes.spawn(["/no/such/program"], environ={}, stdout=tmp_path / "o", stderr=tmp_path / "e")
