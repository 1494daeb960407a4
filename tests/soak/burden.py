"""CPU work in bursts, in a process that has nothing to do with the one measured.

What a load suffers from it, it suffers from sharing the processors, and not from what is done to
the replicas. Run as a program it takes `{"work_s", "every_s"}` on standard input, and works
until that ends.
"""

import json
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Burden:
    """So much CPU time, again and again, while the context is entered."""

    work_s: float
    every_s: float
    _process: "subprocess.Popen[str] | None" = None

    def __enter__(self) -> "Burden":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.burden"], cwd=ROOT, stdin=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"work_s": self.work_s, "every_s": self.every_s}) + "\n")
        self._process.stdin.flush()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.communicate(timeout=30)


def _run(work_s: float, every_s: float) -> None:
    due = time.monotonic()
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        ends = time.process_time() + work_s
        while time.process_time() < ends:
            pass
        due += every_s


if __name__ == "__main__":
    _run(**json.loads(sys.stdin.readline()))
