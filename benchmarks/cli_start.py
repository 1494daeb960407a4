"""`chains --help` against the help of a Typer app with two commands, and against bare Python.

Run: `python -m benchmarks.cli_start`. Prints medians and the ratio; the aim is at most 1.2.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

AIM = 1.2
ROUNDS = 15

TWO_COMMANDS = '''
import typer

app = typer.Typer()


@app.command()
def one(source: str, wait: bool = True) -> None:
    """Do one thing."""


@app.command()
def two(name: str = "x") -> None:
    """Do another."""


app()
'''


def run_s(command: Sequence[str]) -> float:
    """Seconds from start to exit."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main(short: bool = False) -> None:
    """Measure in turns, so that a busy machine slows all alike."""
    with tempfile.TemporaryDirectory() as directory:
        peer = Path(directory) / "two_commands.py"
        peer.write_text(TWO_COMMANDS)
        commands = {
            "chains": [sys.executable, "-m", "chains_cli", "--help"],
            "typer": [sys.executable, str(peer), "--help"],
            "python": [sys.executable, "-c", "pass"],
        }
        for command in commands.values():
            run_s(command)  # write bytecode
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(1 if short else ROUNDS):
            for name, command in commands.items():
                times[name].append(run_s(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians["chains"] / medians["typer"]
    shown = ", ".join(f"{name} {value * 1000:.0f} ms" for name, value in medians.items())
    print(f"help: {shown}; chains/typer = {ratio:.2f} (aim {AIM})")
    if ratio > AIM and not short:
        sys.exit(1)


if __name__ == "__main__":
    main()
