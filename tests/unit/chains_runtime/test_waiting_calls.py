"""A call waits for a replica of its dependency that is starting, as a request waits at the gateway."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chains_protocol.replica import ReplicaState
from chains_protocol.routes import ReplicaSet
from tests.unit.chains_runtime.conftest import TOKEN, Running, Start, until
from tests.unit.chains_runtime.packages import write_package
from tests.unit.chains_runtime.test_edges import LEAVES, SOURCE, front_package, one_set, routes_to

pytestmark = pytest.mark.filterwarnings("ignore:.*run_remote.*:DeprecationWarning")  # V-53

NOBODY = ReplicaSet(addresses=(), token=TOKEN)
LOADS = SOURCE.replace(
    "self.cancelled = asyncio.Event()",
    """import pathlib, time
            while not pathlib.Path(__file__).with_name("go").exists():
                time.sleep(0.002)""",
)


async def front(
    start: Start, tmp_path: Path, leaf: ReplicaSet, *, callee_wait_s: float = 10.0, **options: Any
) -> Running:
    package = front_package(tmp_path / "front", **options)
    return await start(
        package, routes=routes_to(**dict.fromkeys(LEAVES, (leaf,))), callee_wait_s=callee_wait_s
    )


async def attempted(caller: Running) -> None:
    """The call has found nobody, and waits."""
    await until(lambda: caller.replica.outbound.waiting)


@pytest.mark.parametrize("what", ["default", "foreign-loop", "words", "tokens", "thread"])
async def test_a_call_waits_until_the_table_has_a_replica(start: Start, tmp_path: Path, what: str) -> None:
    leaves = {
        name: await start(write_package(tmp_path / name, {"chain.py": SOURCE}, name)) for name in LEAVES
    }
    caller = await front(start, tmp_path, NOBODY)
    call = asyncio.create_task(caller.value({"what": what}))
    await attempted(caller)
    assert not call.done()

    caller.replica.set_routes(routes_to(**{name: (one_set(leaf),) for name, leaf in leaves.items()}))

    async with asyncio.timeout(5):
        assert await call


async def test_a_call_waits_for_a_process_that_comes_back_at_its_address(
    start: Start, sockets: Path, tmp_path: Path
) -> None:
    caller = await front(start, tmp_path, ReplicaSet(addresses=(f"unix:{sockets}/2.s",), token=TOKEN))
    call = asyncio.create_task(caller.value({"what": "default"}))
    await attempted(caller)

    leaf = await start(write_package(tmp_path / "leaf", {"chain.py": SOURCE}, "Leaf"))

    assert leaf.address == f"unix:{sockets}/2.s"
    async with asyncio.timeout(5):
        assert await call == ["aaa"]


async def test_a_call_waits_for_a_replica_that_still_loads(start: Start, tmp_path: Path) -> None:
    package = write_package(tmp_path / "leaf", {"chain.py": LOADS}, "Leaf")
    leaf = await start(package, wait=False)
    await until(lambda: leaf.replica.state is ReplicaState.LOADING)
    caller = await front(start, tmp_path, one_set(leaf))
    call = asyncio.create_task(caller.value({"what": "default"}))
    await attempted(caller)
    assert not call.done()

    (package / "packages" / "go").touch()

    async with asyncio.timeout(5):
        assert await call == ["aaa"]


async def test_the_wait_ends_with_the_limit_of_the_call(start: Start, tmp_path: Path) -> None:
    """S-06."""
    caller = await front(start, tmp_path, NOBODY, timeout_sec=0.1)

    detail = (await caller.call({"what": "default"})).json()["error"]

    assert detail["exception_cls_name"] == "TimeoutError"
    assert "`Leaf`" in detail["exception_message"]


async def test_after_the_wait_the_last_answer_counts(start: Start, tmp_path: Path) -> None:
    leaf = await start(write_package(tmp_path / "leaf", {"chain.py": LOADS}, "Leaf"), wait=False)
    caller = await front(start, tmp_path, one_set(leaf), callee_wait_s=0.05)

    detail = (await caller.call({"what": "default"})).json()["error"]

    assert "not ready" in str(detail)
    (tmp_path / "leaf" / "packages" / "go").touch()
