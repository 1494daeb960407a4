"""Patches while requests run: nothing fails, nothing is mixed."""

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_replica_process import TOKEN, Process, Start, start  # noqa: F401 (a fixture)
from tests.unit.chains_runtime.packages import dependency, write_package

pytestmark = pytest.mark.e2e

SOURCE = """
    import asyncio
    import truss_chains as chains
    from pydantic import BaseModel

    class Out(BaseModel):
        field_1: int

    class Leaf(chains.ChainletBase):
        def __init__(self):
            self.calls = 0
        async def run_remote(self, n: int) -> Out:
            self.calls += 1
            await asyncio.sleep(0)
            return Out(field_1=n)

    class Front(chains.ChainletBase):
        def __init__(self, leaf: Leaf = chains.depends(Leaf)):
            self.leaf = leaf
        async def run_remote(self, n: int) -> list[int]:
            found = await asyncio.gather(*(self.leaf.run_remote(i) for i in range(n)))
            return [1, *(f.field_1 for f in found)]
"""
PATCHES = 8


def source(version: int) -> str:
    """The I/O type of the edge and the code on both sides change with every version."""
    return SOURCE.replace("field_1", f"field_{version}").replace("[1, *", f"[{version}, *")


def package(root: Path, version: int, name: str) -> Path:
    edges = [dependency("Leaf", "leaf")] if name == "Front" else []
    return write_package(root / f"{name}{version}", {"chain.py": source(version)}, name, dependencies=edges)


class Load:
    """Threads that call the entrypoint, each request stamped as the gateway would do it."""

    def __init__(self, front: Process) -> None:
        self.front = front
        self.version = 1
        self.seen: Counter[int] = Counter()
        self.problems: list[Any] = []
        self._stop = threading.Event()
        self.current = [1] * 4
        self._threads = [threading.Thread(target=self._call, args=(i,)) for i in range(4)]
        for thread in self._threads:
            thread.start()

    def _call(self, thread: int) -> None:
        while not self._stop.is_set():
            version = self.current[thread] = self.version
            answer = self.front.call({"n": 3}, version)
            if answer.status_code != 200 or answer.json() != [version, 0, 1, 2]:
                self.problems.append((version, answer.status_code, answer.text))
            else:
                self.seen[version] += 1

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.timeout(120)
def test_an_io_type_changes_on_both_sides_under_load(start: Start, tmp_path: Path) -> None:  # noqa: F811 (the fixture)
    leaf = start(package(tmp_path, 1, "Leaf"))
    callee = {
        "class_name": "Leaf",
        "display_name": "Leaf",
        "sets": [{"addresses": [leaf.address], "token": TOKEN}],
    }
    routes = {"accepts": [TOKEN], "deployments": [{"deployment": "d", "callees": [callee]}]}
    front = start(package(tmp_path, 1, "Front"), routes=routes)
    load = Load(front)
    try:
        for version in range(2, 2 + PATCHES):
            for process, name in ((leaf, "Leaf"), (front, "Front")):
                reply = process.prepare(package(tmp_path, version, name), version)
                assert reply["ok"], reply
                assert reply["action"] in ("patched", "reloaded"), reply
            for process in (leaf, front):
                process.commit(version)
            load.version = version
            front.until(lambda v=version: load.seen[v] >= 20 or load.problems)
            # As the platform does: older code goes when no older request is under way any more.
            front.until(lambda v=version: min(load.current) >= v)
            for process in (leaf, front):
                process.admin("POST", "retire", {"below": version})
    finally:
        load.stop()
    assert load.problems == []
    assert set(load.seen) == set(range(1, 2 + PATCHES))
    assert [len(one.status()["generations"]) for one in (leaf, front)] == [1, 1]
