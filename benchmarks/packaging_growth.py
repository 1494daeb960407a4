"""How the time of `chains package` grows: with Chainlets, edges, and files of the workspace.

Run: `python -m benchmarks packaging_growth`. Each series doubles one number and leaves the rest. What is
judged is the processor's time of the whole command, the least of some rounds: what one more unit costs
between the two largest sizes, to what it costs between the smaller ones. The aim is at most 1.5; a cost
that goes with the square would give 2 and more. A full run leaves `results/packaging_growth.md` and `.svg`.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks._measured import RESULTS, Measured, least, run, write_table
from benchmarks._plot import Panel, svg
from benchmarks.packaging import diamonds, line, write_chain

ROUNDS = 3
AIM = 1.5
CALLERS = 100


@dataclass(frozen=True)
class Series:
    """Workspaces that differ in one number, doubled each time; `write` makes one in a directory."""

    name: str
    unit: str
    sizes: tuple[int, ...]
    write: Callable[[Path, int], None]


def with_edges(root: Path, edges: int) -> None:
    """A hundred Chainlets, each of which calls some of those before it; `edges` in all."""
    callees: dict[int, list[int]] = {n: [n - 1] if n else [] for n in range(CALLERS)}
    left = edges - (CALLERS - 1)
    for distance in range(2, CALLERS):
        for n in range(distance, CALLERS):
            if left > 0:
                callees[n].append(n - distance)
                left -= 1
    write_chain(root, callees)


def _modules(root: Path, files: int) -> list[str]:
    """Modules of some functions, fifty in a directory; their names."""
    names = []
    for n in range(files):
        package, module = divmod(n, 50)
        path = root / "shared" / f"p{package}" / f"m{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "".join(f"\n\ndef work_{n}_{k}(x: int) -> int:\n    return x * {k}\n" for k in range(10))
        )
        names.append(f"shared.p{package}.m{module}")
    return names


def with_files_used(root: Path, files: int) -> None:
    """One Chainlet whose module imports all files, in a function that discovery does not call."""
    imports = "".join(f"    import {name}\n" for name in _modules(root, files))
    write_chain(root, {0: []}, before=f"def load() -> None:\n{imports}\n\n")


def with_files_beside(root: Path, files: int) -> None:
    """One Chainlet in a workspace full of files that it does not import."""
    _modules(root, files)
    write_chain(root, {0: []})


SERIES = (
    Series("Chainlets in a line", "chainlet", (125, 250, 500, 1_000), lambda root, n: line(n)(root)),
    Series("Chainlets in diamonds", "chainlet", (45, 90, 180, 360), diamonds),
    Series("edges of 100 Chainlets", "edge", (250, 500, 1_000, 2_000), with_edges),
    Series("files that are imported", "file", (250, 500, 1_000, 2_000), with_files_used),
    Series("files that lie beside", "file", (2_000, 4_000, 8_000, 16_000), with_files_beside),
)


def package(root: Path, home: Path) -> Measured:
    """One run of the tool, into an empty directory."""
    out = home / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "chains_cli", "package", "chain.py", "--out", str(out), "--quiet"]
    return run(command, root, {**os.environ, "CHAINS_HOME": str(home)})


def measure(series: Series, sizes: Sequence[int], rounds: int) -> Mapping[int, Measured]:
    """The least time of each size; rounds go through all sizes, so that a busy moment meets one of each."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        runs: dict[int, list[Measured]] = {size: [] for size in sizes}
        for size in sizes:
            series.write(home / str(size), size)
            package(home / str(size), home)  # what is read first is read from the disk
        for _ in range(rounds):
            for size in sizes:
                runs[size].append(package(home / str(size), home))
        return {size: least(found) for size, found in runs.items()}


def unit_costs(seen: Mapping[int, Measured]) -> list[float]:
    """Seconds of processor that one more unit costs, between each size and the next."""
    sizes = sorted(seen)
    pairs = pairwise(sizes)
    return [(seen[large].cpu_s - seen[small].cpu_s) / (large - small) for small, large in pairs]


def growth(seen: Mapping[int, Measured]) -> float:
    """The cost of one more unit at the end to that before: 1 is linear, 2 a square's when sizes double."""
    *before, smaller, largest = sorted(seen)
    late = (seen[largest].cpu_s - seen[smaller].cpu_s) / (largest - smaller)
    early = (seen[smaller].cpu_s - seen[before[0]].cpu_s) / (smaller - before[0])
    return late / max(early, 1e-9)


def report(series: Series, seen: Mapping[int, Measured]) -> list[list[str]]:
    """Print a line; the rows of the table."""
    ratio = growth(seen)
    costs = unit_costs(seen)
    shown = ", ".join(f"{size} {seen[size].cpu_s:.2f} s" for size in sorted(seen))
    steps = ", ".join(f"{cost * 1e6:.0f}" for cost in costs)
    print(
        f"package, {series.name}: {shown}; microseconds a {series.unit}: {steps}; "
        f"growth {ratio:.2f} (aim {AIM})"
    )
    return [
        [
            series.name,
            f"{size:,}",
            f"{seen[size].cpu_s:.3f}",
            f"{seen[size].wall_s:.3f}",
            f"{cost * 1e6:.0f}" if cost is not None else "",
            f"{ratio:.2f}" if size == max(seen) else "",
        ]
        for size, cost in zip(sorted(seen), [None, *costs], strict=True)
    ]


def main(short: bool = False) -> None:
    """Print a line a series; exit 1 if one grows faster than its size."""
    if short:
        report(SERIES[1], measure(SERIES[1], (2, 4, 8), 1))
        return
    rows: list[list[str]] = []
    panels: list[Panel] = []
    missed = False
    for series in SERIES:
        seen = measure(series, series.sizes, ROUNDS)
        rows += report(series, seen)
        points = [(float(size), seen[size].cpu_s) for size in series.sizes]
        panels.append(Panel(series.name, f"{series.unit}s", "seconds of processor", points))
        missed |= growth(seen) > AIM
    head = ("series", "size", "processor, s", "wall, s", "one more, µs", f"growth (aim {AIM})")
    write_table("packaging_growth", "How the time of `chains package` grows", head, rows)
    (RESULTS / "packaging_growth.svg").write_text(svg(panels))
    if missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
