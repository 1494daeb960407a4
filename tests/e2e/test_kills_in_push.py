"""`kill -9` of the tool or of the control plane at any point of a push: old or new, never a mixture.

The Chain answers with the version that each of its three Chainlets has. The long form:
`pytest -m soak tests/e2e/test_kills_in_push.py`; `CHAINS_KILLS` sets the number of points.
"""

import json
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from chains_protocol.digest import bytes_digest, tree_digest
from tests.e2e.conftest import Chains

pytestmark = pytest.mark.e2e

PROGRAM = """\
import truss_chains as chains
from version import VERSION


class Low(chains.ChainletBase):
    async def run_remote(self) -> list[int]:
        return [VERSION]


class Middle(chains.ChainletBase):
    def __init__(self, low: Low = chains.depends(Low)) -> None:
        self._low = low

    async def run_remote(self) -> list[int]:
        return [VERSION, *await self._low.run_remote()]


@chains.mark_entrypoint("kills")
class Top(chains.ChainletBase):
    def __init__(self, middle: Middle = chains.depends(Middle)) -> None:
        self._middle = middle

    async def run_remote(self) -> list[int]:
        return [VERSION, *await self._middle.run_remote()]
"""
PUSH = ("push", "chain.py", "--promote")


@dataclass
class Figures:
    """What happened at the points."""

    points: int = 0
    old: int = 0
    new: int = 0
    tool: int = 0
    control_plane: int = 0
    too_late: int = 0
    offsets: list[float] = field(default_factory=list)


class Killing:
    """Pushes version after version and kills something in each."""

    def __init__(self, chains: Chains, seed: int) -> None:
        self.chains = chains
        self.random = random.Random(seed)  # noqa: S311 (repeats by its seed)
        self.figures = Figures()
        (chains.cwd / "chain.py").write_text(PROGRAM)
        self.version = 1
        self.write(1)
        chains.ok(*PUSH)
        begun = time.monotonic()
        self.write(2)
        chains.ok(*PUSH)
        self.version = 2
        self.push_s = time.monotonic() - begun
        self.url = self.platform()["gateway_url"]
        self.token = (chains.home / "platform" / "token").read_text().strip()

    def write(self, version: int) -> None:
        (self.chains.cwd / "version.py").write_text(f"VERSION = {version}\n")

    def platform(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.chains.home / "platform" / "platform.json").read_text())
        return found

    def point(self) -> None:
        """One push that is killed, what is true then, and one that is not."""
        figures = self.figures
        before, after = self.version, self.version + 1
        self.write(after)
        offset = self.random.uniform(0, self.push_s * 1.05)
        is_tool = self.random.random() < 0.5
        self.kill(offset, is_tool=is_tool)
        answers = {self.call() for _ in range(3)}
        for answer in answers:
            assert len(set(answer)) == 1, f"a mixture at {offset:.3f} s: {answer}"
            assert answer[0] in (before, after), f"neither old nor new at {offset:.3f} s: {answer}"
        done = self.chains.run(*PUSH)
        assert done.code == 0, f"the next push after a kill at {offset:.3f} s: {done.out}\n{done.err}"
        assert set(self.call()) == {after}
        self.version = after
        figures.points += 1
        figures.offsets.append(offset)
        if answers == {(before,) * 3}:
            figures.old += 1
        else:
            figures.new += 1

    def kill(self, offset: float, *, is_tool: bool) -> None:
        pid = self.platform()["pid"]
        assert isinstance(pid, int)
        control_plane = psutil.Process(pid)
        push = self.chains.start(*PUSH)
        try:
            push.wait(timeout=offset)
            self.figures.too_late += 1
        except subprocess.TimeoutExpired:
            pass
        if is_tool:
            self.figures.tool += 1
            push.kill()
        else:
            self.figures.control_plane += 1
            os.kill(pid, signal.SIGKILL)
            control_plane.wait(10)
        try:
            push.communicate(timeout=100)
        except subprocess.TimeoutExpired:
            push.kill()
            push.communicate()
            raise

    def call(self) -> tuple[int, ...]:
        """What the chain says; the gateway goes on without its control plane."""
        answer = httpx.post(
            f"{self.url}/chains/kills/production/run_remote",
            json={},
            headers={"authorization": f"Bearer {self.token}"},
            timeout=60,
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text
        return tuple(answer.json())

    def check_files(self) -> None:
        """Every package that can be seen is what its name says; no environment is half made."""
        home = self.chains.home
        for tree in (home / "packages").iterdir():
            if not tree.name.startswith("."):
                assert tree_digest(digests(tree)) == tree.name
        for blob in (home / "blobs").glob("??/*"):
            if not blob.name.startswith("."):
                assert bytes_digest(blob.read_bytes()) == blob.name
        half = [p for p in (home / "envs").iterdir() if p.is_dir() and not (p / ".complete").exists()]
        assert half == []


def digests(tree: Path) -> dict[str, str]:
    files = (path for path in tree.rglob("*") if path.is_file())
    return {path.relative_to(tree).as_posix(): bytes_digest(path.read_bytes()) for path in files}


def run(chains: Chains, points: int, seed: int) -> Figures:
    killing = Killing(chains, seed)
    for _ in range(points):
        killing.point()
    killing.check_files()
    return killing.figures


@pytest.mark.timeout(300)
def test_a_push_that_is_killed_leaves_the_old_or_the_new(chains: Chains) -> None:
    """The short form: points spread over a push."""
    assert run(chains, 6, seed=20_261_124).points == 6


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_push_killed_at_many_points_leaves_the_old_or_the_new(
    chains: Chains, capsys: pytest.CaptureFixture[str]
) -> None:
    """The long form."""
    points = int(os.environ.get("CHAINS_KILLS", "200"))
    figures = run(chains, points, seed=random.SystemRandom().randrange(10**6))
    with capsys.disabled():
        print(  # noqa: T201 (what the long form is for)
            f"\nkills: {figures.points} points, tool {figures.tool}, control plane "
            f"{figures.control_plane}, after the end {figures.too_late}; old {figures.old}, new {figures.new}"
        )
    assert figures.points == points
