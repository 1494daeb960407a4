"""The platform as processes: push, call, crash, take over, shut down."""

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from chains_protocol.control import DeploymentKind, DeploymentState
from chains_protocol.errors import Code
from chains_protocol.patch import Action
from tests.e2e.homes import command_line
from tests.e2e.platform_api import CHAIN, Platform, source, until

pytestmark = pytest.mark.e2e
PUBLISHED = DeploymentKind.PUBLISHED


@pytest.fixture
def platform() -> Iterator[Platform]:
    home = Path(tempfile.mkdtemp(prefix="chains-e2e-"))
    made = Platform(home)
    try:
        made.start()
        yield made
    finally:
        made.down()
        shutil.rmtree(home, ignore_errors=True)


class Load:
    """Calls in a row until it is stopped; what was answered and what failed."""

    def __init__(self, platform: Platform, selector: str = "development") -> None:
        self.answers: list[str] = []
        self.failures: list[str] = []
        self._platform = platform
        self._selector = selector
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        until(lambda: len(self.answers) > 20, 30)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with self._platform.caller() as client:
            while not self._stopped.is_set():
                answer = client.post(f"/{self._selector}/run_remote", json={"text": "hi"})
                if answer.status_code == 200:
                    self.answers.append(answer.json())
                else:
                    self.failures.append(answer.text)


def test_push_call_patch_and_what_stays(platform: Platform) -> None:
    first = platform.push(platform.packages.chain(source()))
    assert first.state is DeploymentState.ACTIVE
    assert platform.call() == "e1:m1:hi"
    before = platform.pids()

    changed = platform.packages.chain(source(entry='return "e2:" + await self.model.run_remote(text)'))
    outcome = platform.patch(changed, {"Entry": Action.PATCHED}, smoke={"text": "x"})

    assert outcome.committed, outcome.diagnostics
    assert {c.display_name: c.action for c in outcome.chainlets} == {
        "Model": Action.UNCHANGED,
        "Entry": Action.PATCHED,
    }
    assert platform.call() == "e2:m1:hi"
    assert platform.pids() == before


def test_no_request_fails_or_mixes_while_patches_go_through(platform: Platform) -> None:
    """Both ends of the hop change together; no answer may have one of each."""
    platform.push(platform.packages.chain(source()))
    with Load(platform) as load:
        for n in range(2, 8):
            changed = platform.packages.chain(
                source(
                    model=f'return "m{n}:" + text',
                    entry=f'return "e{n}:" + await self.model.run_remote(text)',
                )
            )
            action = Action.RESTARTED if n == 5 else Action.PATCHED
            outcome = platform.patch(changed, {"Model": action, "Entry": Action.PATCHED})
            assert outcome.committed, outcome.diagnostics
            assert platform.call() == f"e{n}:m{n}:hi"

    assert load.failures == []
    assert set(load.answers) <= {f"e{n}:m{n}:hi" for n in range(1, 8)}


def test_a_broken_patch_leaves_everything_as_it_was(platform: Platform) -> None:
    platform.push(platform.packages.chain(source()))
    before = platform.pids()
    broken = platform.packages.chain(source(setup='raise ValueError("boom")'))

    for action in (Action.RESTARTED, Action.RELOADED):
        outcome = platform.patch(broken, {"Model": action})
        assert not outcome.committed
        assert [d.code for d in outcome.diagnostics] == [Code.INIT_FAILED]
        assert "boom" in (outcome.diagnostics[0].detail or "")

    failing = platform.packages.chain(source(model="return 1 / 0"))
    outcome = platform.patch(failing, {"Model": Action.PATCHED}, smoke={"text": "x"})
    assert [d.code for d in outcome.diagnostics] == [Code.PATCH_FAILED]

    assert platform.call() == "e1:m1:hi"
    assert platform.pids() == before
    assert len([p for p in platform.processes() if "chains_runtime" in command_line(p)]) == 2


def test_a_failed_push_keeps_the_traceback_and_no_process(platform: Platform) -> None:
    info = platform.push(platform.packages.chain(source(setup='raise ValueError("boom")')), kind=PUBLISHED)

    assert info.state is DeploymentState.FAILED
    assert [d.code for d in info.diagnostics] == [Code.INIT_FAILED]
    assert 'raise ValueError("boom")' in (info.diagnostics[0].detail or "")
    until(lambda: not [p for p in platform.processes() if "chains_runtime" in command_line(p)], 20)
    logs = platform.api("GET", f"/v1/chains/{CHAIN}/deployments/{info.id}/logs").text
    assert "boom" in logs


def test_a_killed_replica_is_replaced_and_calls_of_it_wait(platform: Platform) -> None:
    platform.push(platform.packages.chain(source()))
    (pid,) = platform.pids()["Model"]
    assert pid is not None

    os.kill(pid, signal.SIGKILL)

    assert platform.call() == "e1:m1:hi"
    until(
        lambda: (
            platform.pids()["Model"] not in ([pid], [None]) and platform.info().chainlets[0].state == "ready"
        ),
        20,
    )
    assert platform.call() == "e1:m1:hi"
    assert platform.info().chainlets[0].replicas[0].restarts == 1


def test_the_control_plane_dies_under_load_and_the_next_one_takes_over(platform: Platform) -> None:
    platform.push(platform.packages.chain(source()), kind=PUBLISHED, environment="production")
    platform.push(platform.packages.chain(source()))
    before = platform.pids("latest"), platform.pids()
    with Load(platform, "production") as load:
        platform.kill()
        seen = len(load.answers)
        until(lambda: len(load.answers) > seen + 20, 30)
        platform.start()
        assert (platform.pids("latest"), platform.pids()) == before
        changed = platform.packages.chain(source(model='return "m2:" + text'))
        assert platform.patch(changed, {"Model": Action.PATCHED}).committed
        assert platform.call() == "e1:m2:hi"

    assert load.failures == []
    assert set(load.answers) == {"e1:m1:hi"}


def test_a_terminated_control_plane_leaves_the_data_plane_serving(platform: Platform) -> None:
    platform.push(platform.packages.chain(source()))
    gateway = platform.file.gateway_pid
    with platform.caller() as client:
        platform.terminate()
        answer = client.post("/development/run_remote", json={"text": "hi"})
    assert answer.json() == "e1:m1:hi"
    platform.start()
    assert platform.file.gateway_pid == gateway


def test_environments_move_without_a_failed_request(platform: Platform) -> None:
    first = platform.push(platform.packages.chain(source()), kind=PUBLISHED, environment="production")
    with Load(platform, "production") as load:
        second = platform.push(
            platform.packages.chain(source(model='return "m2:" + text')),
            kind=PUBLISHED,
            environment="production",
        )
        assert platform.call("production") == "e1:m2:hi"
        back = platform.api("POST", f"/v1/chains/{CHAIN}/environments/production/rollback")
        assert back.json()["id"] == first.id
        assert platform.call("production") == "e1:m1:hi"

    assert load.failures == []
    assert set(load.answers) <= {"e1:m1:hi", "e1:m2:hi"}
    assert second.id != first.id


def test_shutdown_leaves_nothing(platform: Platform) -> None:
    platform.push(platform.packages.chain(source()))
    control = psutil.Process(platform.file.pid)

    platform.api("POST", "/v1/shutdown")

    until(lambda: not control.is_running() or control.status() == psutil.STATUS_ZOMBIE, 60)
    until(lambda: platform.processes() == [], 20)


def test_a_start_that_fails_leaves_no_gateway(platform: Platform) -> None:
    platform.down()
    for file in platform.home.glob("platform/state.db*"):
        file.unlink()
    platform.layout.database.write_bytes(b"garbage, but long enough to have been a database")

    platform.start_and_fail()

    assert platform.processes() == []


def test_a_deleted_chain_is_gone(platform: Platform) -> None:
    platform.push(platform.packages.chain(source()), kind=PUBLISHED, environment="production")

    assert platform.api("DELETE", f"/v1/chains/{CHAIN}").status_code == 200

    until(lambda: not [p for p in platform.processes() if "chains_runtime" in command_line(p)], 20)
    assert platform.api("GET", f"/v1/chains/{CHAIN}").status_code == 404
