"""`chains package` next to the original's `truss chains push --dryrun`, on generated Chains.

Run: `python -m benchmarks packaging`. Shapes: a line of 1, 10, 100 and 1,000 Chainlets in one file; 45
in diamonds, each layer depending on two of the next; 10 in a workspace of 2,000 files. The original is run
where it can finish, from the Python that `CHAINS_TRUSS_PYTHON` names, else `.venv-truss`; without it only
our own times are printed. Aims: at most 1/3 of the original for 10 Chainlets, 1/10 for 100, 1/20 in the
large workspace; linear otherwise (seconds a Chainlet beyond the first ten do not grow).
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 5
OTHER_ROUNDS = 3
DIAMONDS = (2, 45)
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
    """One generated Chain: `aim` is the largest ratio to the original; None: no comparison is made."""

    name: str
    write: Callable[[Path], None]
    aim: float | None


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


def diamonds(root: Path) -> None:
    """Layers of two, each of which depends on both of the layer below."""
    width, count = DIAMONDS
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
    Shape("1 chainlet", line(1), None),
    Shape("10 chainlets", line(10), 1 / 3),
    Shape("100 chainlets", line(100), 1 / 10),
    Shape("1,000 chainlets", line(1_000), None),
    Shape("45 in diamonds", diamonds, None),
    Shape("10 in 2,000 files", large_workspace, 1 / 20),
)
LINEAR_AIM = 1.5
"""Seconds a Chainlet from 100 to 1,000, to seconds a Chainlet from 10 to 100."""


def original() -> list[str] | None:
    """The original's command, or None if it is not installed."""
    python = Path(os.environ.get("CHAINS_TRUSS_PYTHON") or ".venv-truss/bin/python").absolute()
    program = python.parent / "truss"
    return [str(program)] if program.exists() else None


def seconds(command: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> float:
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=dict(environ), capture_output=True, check=False)
    elapsed = time.perf_counter() - begun
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode()[-2000:]}")
    return elapsed


def ours(shape: Shape, root: Path, out: Path) -> float:
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "chains_cli", "package", "chain.py", "--out", str(out), "--quiet"]
    return seconds(command, root, os.environ)


def theirs(program: Sequence[str], root: Path, home: Path) -> float:
    """In a home of its own; it needs `ruff` on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    temporary = home / "tmp"
    temporary.mkdir(exist_ok=True)
    environ = {"PATH": path, "HOME": str(home), "TMPDIR": str(temporary), "TRUSS_TELEMETRY": "0"}
    return seconds([*program, "chains", "push", "chain.py", "--dryrun"], root, environ)


def measure(shape: Shape, place: Path, *, short: bool) -> tuple[float, float | None]:
    """Medians in turns, ours and the original's."""
    root, home, out = place / "workspace", place / "home", place / "out"
    shape.write(root)
    home.mkdir()
    program = original() if shape.aim is not None or shape.name == "45 in diamonds" else None
    mine: list[float] = []
    other: list[float] = []
    ours(shape, root, out)  # write bytecode
    for round_ in range(1 if short else ROUNDS):
        mine.append(ours(shape, root, out))
        if program is not None and not short and round_ < OTHER_ROUNDS:
            other.append(theirs(program, root, home))
    return statistics.median(mine), statistics.median(other) if other else None


def main(short: bool = False) -> None:
    """Print a line a shape; exit 1 if an aim is missed."""
    missed = False
    known: dict[str, float] = {}
    for shape in SHAPES[:2] if short else SHAPES:
        with tempfile.TemporaryDirectory() as directory:
            mine, other = measure(shape, Path(directory), short=short)
        known[shape.name] = mine
        compared = f", original {other:.2f} s, ratio 1/{other / mine:.1f}" if other else ""
        aim = f" (aim 1/{1 / shape.aim:.0f})" if shape.aim and other else ""
        print(f"package, {shape.name}: {mine:.2f} s{compared}{aim}")
        missed |= bool(other and shape.aim and mine / other > shape.aim)
    if not short:
        few = (known["100 chainlets"] - known["10 chainlets"]) / 90
        many = (known["1,000 chainlets"] - known["100 chainlets"]) / 900
        print(
            f"package, seconds a chainlet: {few * 1000:.2f} ms from 10 to 100, {many * 1000:.2f} ms from "
            f"100 to 1,000, ratio {many / few:.2f} (aim {LINEAR_AIM})"
        )
        missed |= many / few > LINEAR_AIM
    if missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
