"""`chains watch` in a workspace of many files: which saves it sees, how soon, and what it costs to wait."""

import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.e2e.conftest import Chains
from tests.e2e.test_the_road import Watch, wait_for, watching

CHAIN = """\
import truss_chains as chains

from lib.module0 import VALUE


@chains.mark_entrypoint("many-files")
class Entry(chains.ChainletBase):
    async def run_remote(self) -> int:
        return VALUE
"""
BUSY, CALM_S = 0.2, 0.5
"""What was put off until the watch runs is over when it took less of a processor for so many seconds."""
QUIET_S = 0.3
"""So long nothing may be reported after a save that changed nothing."""


@dataclass
class Seen:
    """What came of the edits; times in milliseconds from save to the report of it."""

    took_ms: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    spurious: list[str] = field(default_factory=list)
    idle_cpu: float = 0.0

    def quantile(self, share: float) -> float:
        ordered = sorted(self.took_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    def __str__(self) -> str:
        return (
            f"{len(self.took_ms)} saves seen, p50 {self.quantile(0.5):.1f} ms, "
            f"p99 {self.quantile(0.99):.1f} ms; {len(self.missed)} missed, "
            f"{len(self.spurious)} spurious; idle CPU {self.idle_cpu:.2%}"
        )


def make_workspace(root: Path, files: int) -> list[Path]:
    """A Chain and so many modules beside it, a hundred a directory."""
    (root / "chain.py").write_text(CHAIN)
    made = []
    for number in range(files):
        directory = root / ("lib" if number < 100 else f"more{number // 100}")
        directory.mkdir(exist_ok=True)
        path = directory / f"module{number}.py"
        path.write_text(f"VALUE = {number}\n")
        made.append(path)
    return made


def edit_many(chains: Chains, *, files: int, edits: int, idle_s: float, seed: int = 7) -> Seen:
    """Edit files at random, as editors do; some saves change nothing."""
    paths = make_workspace(chains.cwd, files)
    randomly = random.Random(seed)  # noqa: S311 (the same edits every time)
    with watching(chains) as watch:
        process = psutil.Process(watch.process.pid)
        wait_for("an end of starting", lambda: _cpu_share(process, CALM_S) < BUSY, 60)
        idle_cpu = _cpu_share(process, idle_s)
        editor = _Editor(chains.cwd, watch, Seen(idle_cpu=idle_cpu))
        for number in range(edits):
            path = randomly.choice(paths if number % 3 else paths[:1])
            if number % 10 == 9:
                editor.save_without_a_change(path)
            else:
                editor.save_a_change(path, number)
    return editor.seen


def _cpu_share(process: psutil.Process, seconds: float) -> float:
    """Of one processor, over so many seconds from now."""
    before = sum(process.cpu_times()[:2])
    time.sleep(seconds)  # the measurement itself: what it costs to do nothing for so long
    return (sum(process.cpu_times()[:2]) - before) / seconds


@dataclass
class _Editor:
    """Saves files and compares what is reported with what was done."""

    root: Path
    watch: Watch
    seen: Seen
    done: list[str] = field(default_factory=list)

    def save_a_change(self, path: Path, number: int) -> None:
        text, name = f"VALUE = {number + 1_000_000}\n", path.relative_to(self.root).as_posix()
        finished = self._finished
        saved = time.perf_counter()
        if number % 2:
            path.write_text(text)
        else:
            beside = path.with_suffix(".tmp~")
            beside.write_text(text)
            beside.replace(path)
        try:
            wait_for("the save", lambda: len(self._reported) > len(self.done), 5)
        except AssertionError:
            self.seen.missed.append(name)
            return
        self.seen.took_ms.append((time.perf_counter() - saved) * 1000)
        self.done.append(name)
        wait_for("the end of the round", lambda: self._finished > finished, 20)
        self._compare()

    def save_without_a_change(self, path: Path) -> None:
        path.write_text(path.read_text())
        time.sleep(QUIET_S)  # nothing is to happen, so there is nothing to wait for
        self._compare()

    def _compare(self) -> None:
        found = self._reported
        if found != self.done:
            self.seen.spurious.append(f"{found[-3:]} instead of {self.done[-3:]}")
            self.done[:] = found

    @property
    def _reported(self) -> list[str]:
        return [name for event in self.watch.of("round_started") for name in event["files"]]

    @property
    def _finished(self) -> int:
        return len(self.watch.of("round_finished"))
