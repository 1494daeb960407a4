"""A patch that fails, at each step in turn: what ran goes on answering, and the next good one recovers."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from chains_protocol.errors import Code
from chains_protocol.patch import Action, PatchOutcome
from tests.e2e.platform_api import until
from tests.soak.load import Load, failed
from tests.soak.world import World, call_source, platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

GOOD = call_source(1)
INIT = "        self.loads = 1\n"
LEAF = "    async def run_remote(self, item: Item) -> Item:\n        return Item("
BROKEN = {
    Code.SYNTAX_ERROR: call_source(2) + "\ndef broken(:\n",
    Code.IMPORT_FAILED: call_source(2, head="import no_such_module_anywhere"),
    Code.INIT_FAILED: call_source(2).replace(INIT, '        raise RuntimeError("no weights")\n'),
}


@pytest.fixture
def world() -> Iterator[World]:
    with platform() as found:
        found.push(found.chain(GOOD))
        yield found


def slow_source(version: int, mark: Path) -> str:
    """A version whose `__init__` says that it began, and takes long."""
    slow = (
        f'        import pathlib, time\n        pathlib.Path("{mark}").touch()\n        time.sleep(3)\n'
        + INIT
    )
    return call_source(version).replace(INIT, slow)


def answers(world: World, version: int) -> None:
    with world.caller() as client:
        assert client.post("/development/run_remote", json={"text": "x"}).json() == [version] * 3


def test_each_failing_step_leaves_the_old_version_serving(world: World) -> None:
    with Load(world.url, world.token, {"text": "go"}, rate=50) as load:
        for code, source in BROKEN.items():
            outcome = world.patch_all(source)
            assert (outcome.committed, outcome.version) == (False, 1)
            assert code in {d.code for d in outcome.diagnostics}, outcome.diagnostics
        _a_signature_that_can_not_be_read(world)
        _a_trial_call_that_fails(world)
    assert failed(load.answers) == []
    assert {tuple(a.value) for a in load.answers} == {(1, 1, 1)}

    outcome = world.patch_all(call_source(3, 3))

    assert outcome.committed, outcome.diagnostics
    answers(world, 3)
    assert {len(s.generations) for (s,) in world.statuses().values()} == {1}


def _a_signature_that_can_not_be_read(world: World) -> None:
    source = call_source(2).replace(LEAF, LEAF.replace("item: Item", "item: Unknown"))
    outcome = world.patch_all(source)
    assert not outcome.committed
    assert outcome.diagnostics


def _a_trial_call_that_fails(world: World) -> None:
    raises = call_source(2).replace(
        LEAF, LEAF.replace("return Item(", 'raise ValueError("bad")\n        return Item(')
    )
    outcome = world.patch(world.chain(raises), dict.fromkeys(world.hops, Action.PATCHED), smoke={"text": "x"})
    assert not outcome.committed
    assert {d.code for d in outcome.diagnostics} == {Code.PATCH_FAILED}


def test_a_replica_killed_while_it_prepares(world: World, tmp_path: Path) -> None:
    (leaf,) = world.statuses()["Leaf"]
    mark = tmp_path / "began"
    with ThreadPoolExecutor(1) as pool:
        patching = _begin(pool, world, slow_source(2, mark), mark)
        os.kill(leaf.pid, signal.SIGKILL)
        outcome = patching.result(60)

    assert not outcome.committed
    until(lambda: world.pids()["Leaf"] not in ([leaf.pid], [None], []), 30)
    until(lambda: _value(world) == [1, 1, 1] or None, 30)
    assert world.patch_all(call_source(3, 3)).committed
    answers(world, 3)


def test_the_control_plane_killed_in_the_middle_of_a_patch(world: World, tmp_path: Path) -> None:
    mark = tmp_path / "began"
    with Load(world.url, world.token, {"text": "go"}, rate=50) as load:
        with ThreadPoolExecutor(1) as pool:
            patching = _begin(pool, world, slow_source(2, mark), mark)
            world.kill()
            with pytest.raises(httpx.TransportError):
                patching.result(60)
        world.start()
        outcome = world.patch_all(call_source(3, 3))
        assert outcome.committed, outcome.diagnostics
        answers(world, 3)
    assert failed(load.answers) == []
    assert {tuple(a.value) for a in load.answers} <= {(1, 1, 1), (3, 3, 3)}


def _begin(pool: ThreadPoolExecutor, world: World, source: str, mark: Path) -> "Future[PatchOutcome]":
    patching = pool.submit(world.patch_all, source)
    deadline = time.monotonic() + 20
    while not mark.exists():
        assert time.monotonic() < deadline and not patching.done(), patching
        time.sleep(0.005)
    return patching


def _value(world: World) -> object:
    with world.caller() as client:
        return client.post("/development/run_remote", json={"text": "x"}).json()
