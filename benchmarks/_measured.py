"""One command, measured: by the wall and by the processor, with all processes that it starts."""

import os
import platform
import resource
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

RESULTS = Path(__file__).with_name("results")
"""Where full runs leave their tables and plots."""


@dataclass(frozen=True)
class Measured:
    """Seconds by the wall, and of processors by the whole tree of processes."""

    wall_s: float
    cpu_s: float


def run(command: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> Measured:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed.
    """
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    done = subprocess.run(command, cwd=cwd, env=dict(environ), capture_output=True, check=False)
    wall_s, after = perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode()[-2000:]}")
    return Measured(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def median(runs: Iterable[Measured]) -> Measured:
    """The medians of both."""
    all_runs = list(runs)
    return Measured(
        statistics.median(m.wall_s for m in all_runs), statistics.median(m.cpu_s for m in all_runs)
    )


def least(runs: Iterable[Measured]) -> Measured:
    """The least of both: what other processes disturbed least."""
    all_runs = list(runs)
    return Measured(min(m.wall_s for m in all_runs), min(m.cpu_s for m in all_runs))


def write_table(name: str, title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Leave a table of a full run as `results/NAME.md`; it tells the machine, too."""
    lines = [
        f"# {title}",
        "",
        f"Written by `python -m benchmarks {name}` with Python {platform.python_version()} on "
        f"{os.cpu_count()} processors.",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text("\n".join(lines))


__all__ = ["RESULTS", "Measured", "least", "median", "run", "write_table"]
