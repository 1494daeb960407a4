"""`import truss_chains` against `import asyncio, pydantic.main`, each in a fresh interpreter.

Run: `python -m benchmarks.import_cost`. Prints medians and the ratio; the aim is at most 1.3.
"""

import statistics
import subprocess
import sys

AIM = 1.3
ROUNDS = 21

_PROGRAM = """
import time
begin = time.perf_counter()
import {modules}
print(time.perf_counter() - begin)
"""


def import_s(modules: str) -> float:
    """Seconds that the import takes in a new interpreter, its start not counted."""
    program = _PROGRAM.format(modules=modules)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return float(done.stdout)


def measure(rounds: int) -> tuple[float, float]:
    """Medians of the SDK and of its floor; in turns, so that a busy machine slows both alike."""
    sides = ("truss_chains", "asyncio, pydantic.main")
    times: dict[str, list[float]] = {modules: [] for modules in sides}
    for modules in sides:
        import_s(modules)  # write bytecode
    for number in range(rounds):
        for modules in sides if number % 2 else reversed(sides):
            times[modules].append(import_s(modules))
    sdk, floor = (statistics.median(times[modules]) for modules in sides)
    return sdk, floor


def main(short: bool = False) -> None:
    """Print the ratio of the medians; exit with 1 above the aim."""
    sdk, floor = measure(1 if short else ROUNDS)
    print(
        f"import: truss_chains {sdk * 1000:.0f} ms, asyncio and pydantic.main {floor * 1000:.0f} ms; "
        f"truss_chains/floor = {sdk / floor:.2f} (aim {AIM})"
    )
    if sdk / floor > AIM and not short:
        sys.exit(1)


if __name__ == "__main__":
    main()
