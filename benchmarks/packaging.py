"""`chains package` next to the original's `truss chains push --dryrun`, on generated Chains.

Run: `python -m benchmarks packaging`. Shapes: a line of 1, 10 and 100 Chainlets in one file; 45 in diamonds,
each layer depending on two of the next; 10 in a workspace of 2,000 files. The original is run from the
Python that `CHAINS_TRUSS_PYTHON` names, else `.venv-truss`; without it only our own times are printed.
Aims: at most 1/3 of the original for 10 Chainlets, 1/10 for 100, 1/20 in the large workspace. What is
judged is the ratio of medians by the wall; the processor's seconds stand beside, since on a busy machine
the wall favours neither fairly. A full run leaves `results/packaging.md`. How the time grows with more
Chainlets, edges and files is the business of `packaging_growth`.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks._measured import Measured, median, run, write_table

ROUNDS = 7
OTHER_ROUNDS = 3
DIAMOND_WIDTH = 2
WORKSPACE_FILES = 2_000

HEAD = "import truss_chains as chains\n\n"
CHAINLET = """
{mark}class C{n}(chains.ChainletBase):
    def __init__(self{parameters}) -> None:
        self._callees = [{callees}]

    async def run_remote(self, x: int) -> int:
        return x + sum([await callee.run_remote(x) for callee in self._callees])

"""


@dataclass(frozen=True)
class Shape:
    """One generated Chain: `aim` is the largest ratio to the original, if there is a bound."""

    name: str
    write: Callable[[Path], None]
    aim: float | None = None


def write_chain(root: Path, edges: Mapping[int, Sequence[int]], before: str = "") -> None:
    """`edges` maps each Chainlet, dependencies first, to those it calls; the last is the entrypoint."""
    root.mkdir(parents=True, exist_ok=True)
    parts = [HEAD, before]
    last = max(edges)
    for n, callees in edges.items():
        parameters = "".join(f", c{c}: C{c} = chains.depends(C{c})" for c in callees)
        mark = "@chains.mark_entrypoint\n" if n == last else ""
        named = ", ".join(f"c{c}" for c in callees)
        parts.append(CHAINLET.format(mark=mark, n=n, parameters=parameters, callees=named))
    (root / "chain.py").write_text("".join(parts))


def line(count: int) -> Callable[[Path], None]:
    return lambda root: write_chain(root, {n: [n - 1] if n else [] for n in range(count)})


def diamonds(root: Path, count: int = 45) -> None:
    """Layers of two, each of which depends on both of the layer below."""
    width = DIAMOND_WIDTH
    edges: dict[int, list[int]] = {}
    for n in range(count):
        layer = n // width
        edges[n] = [width * (layer - 1) + k for k in range(width)] if layer else []
    edges[count - 1] = [count - 2, count - 3] if count % width else edges[count - 1]
    write_chain(root, edges)


def large_workspace(root: Path) -> None:
    """Ten Chainlets that import one of 2,000 files, ten in a directory; it imports nine others."""
    write_chain(root, {n: [n - 1] if n else [] for n in range(10)}, before="import shared.p0.m0\n")
    for n in range(WORKSPACE_FILES):
        package, module = divmod(n, 10)
        path = root / "shared" / f"p{package}" / f"m{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        imports = "".join(f"import shared.p0.m{k}\n" for k in range(1, 10)) if n == 0 else ""
        functions = (f"\n\ndef work_{n}_{k}(x: int) -> int:\n    return x * {k} + {n}\n" for k in range(60))
        path.write_text(imports + "".join(functions))


SHAPES = (
    Shape("1 chainlet", line(1)),
    Shape("10 chainlets", line(10), 1 / 3),
    Shape("100 chainlets", line(100), 1 / 10),
    Shape("45 in diamonds", diamonds),
    Shape("10 in 2,000 files", large_workspace, 1 / 20),
)


def original() -> list[str] | None:
    """The original's command, or None if it is not installed."""
    python = Path(os.environ.get("CHAINS_TRUSS_PYTHON") or ".venv-truss/bin/python").absolute()
    program = python.parent / "truss"
    return [str(program)] if program.exists() else None


def ours(root: Path, out: Path) -> Measured:
    """The whole command, its process and the one that reads the file."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "chains_cli", "package", "chain.py", "--out", str(out), "--quiet"]
    return run(command, root, {**os.environ, "CHAINS_HOME": str(out.parent / "chains")})


def theirs(program: Sequence[str], root: Path, home: Path) -> Measured:
    """In a home of its own; it needs `ruff` on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    temporary = home / "tmp"
    temporary.mkdir(exist_ok=True)
    environ = {"PATH": path, "HOME": str(home), "TMPDIR": str(temporary), "TRUSS_TELEMETRY": "0"}
    return run([*program, "chains", "push", "chain.py", "--dryrun"], root, environ)


def measure(shape: Shape, place: Path, *, short: bool) -> tuple[Measured, Measured | None]:
    """Medians in turns, ours and the original's."""
    root, home, out = place / "workspace", place / "home", place / "out"
    shape.write(root)
    home.mkdir()
    program = None if short else original()
    mine: list[Measured] = []
    other: list[Measured] = []
    ours(root, out)  # write bytecode
    for round_ in range(1 if short else ROUNDS):
        mine.append(ours(root, out))
        if program is not None and round_ < OTHER_ROUNDS:
            other.append(theirs(program, root, home))
    return median(mine), median(other) if other else None


def report(shape: Shape, mine: Measured, other: Measured | None) -> list[str]:
    """Print a line; the row of the table."""
    aim = f"1/{1 / shape.aim:.0f}" if shape.aim else ""
    line = f"package, {shape.name}: {mine.wall_s:.2f} s ({mine.cpu_s:.2f} s of processor)"
    if other is not None:
        by_wall, by_processor = other.wall_s / mine.wall_s, other.cpu_s / mine.cpu_s
        line += f"; original {other.wall_s:.2f} s ({other.cpu_s:.2f} s)"
        line += f", ratio 1/{by_wall:.1f} (1/{by_processor:.1f} of processor)"
        line += f" (aim {aim})" if aim else ""
    print(line)
    theirs_shown = [f"{other.wall_s:.2f}", f"{other.cpu_s:.2f}"] if other else ["", ""]
    ratio = f"1/{other.wall_s / mine.wall_s:.1f}" if other else ""
    return [shape.name, f"{mine.wall_s:.2f}", f"{mine.cpu_s:.2f}", *theirs_shown, ratio, aim]


def main(short: bool = False) -> None:
    """Print a line a shape; exit 1 if an aim is missed."""
    missed = False
    rows: list[list[str]] = []
    for shape in SHAPES[:2] if short else SHAPES:
        with tempfile.TemporaryDirectory() as directory:
            mine, other = measure(shape, Path(directory), short=short)
        rows.append(report(shape, mine, other))
        missed |= bool(other and shape.aim and mine.wall_s / other.wall_s > shape.aim)
    if not short:
        head = ("chain", "ours, s", "processor, s", "original, s", "processor, s", "ratio", "aim")
        write_table("packaging", "`chains package` and the original", head, rows)
    if missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
