"""E-06: a file with broken definitions that is simply executed."""

import subprocess
import sys
from pathlib import Path

import pytest

BROKEN = """
import truss_chains as chains
print("ran")

class A(chains.ChainletBase):
    async def run_remote(self, x) -> int: ...
"""
FINE = BROKEN.replace("x)", "x: int)")


def run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *(arguments or (str(path),))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=path.parent,
    )


@pytest.mark.parametrize("header", ["", "from __future__ import annotations\n"])
def test_errors_are_written_to_stderr_and_the_exit_status_is_1(tmp_path, header):
    chain = tmp_path / "chain.py"
    chain.write_text(header + BROKEN)
    done = run(chain)
    assert (done.returncode, done.stdout) == (1, "ran\n")
    assert "CH104: parameter `x` of `A.run_remote`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_valid_file_ends_as_usual(tmp_path):
    chain = tmp_path / "chain.py"
    chain.write_text(FINE)
    done = run(chain)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


def test_errors_that_were_raised_are_not_written_again(tmp_path):
    chain = tmp_path / "chain.py"
    chain.write_text(BROKEN + "with chains.run_local(): pass\n")
    done = run(chain)
    assert done.returncode == 1
    assert done.stderr.count("CH104") == 1
    assert "ChainsUsageError" in done.stderr


def test_a_program_that_only_imports_a_broken_file_keeps_its_status(tmp_path):
    (tmp_path / "chain.py").write_text(BROKEN)
    tool = tmp_path / "tool.py"
    tool.write_text("import chain\n")
    done = run(tool)
    assert done.returncode == 0
    assert "CH104" in done.stderr


def test_what_the_program_registered_for_its_exit_still_happens(tmp_path):
    chain = tmp_path / "chain.py"
    chain.write_text(BROKEN + "import atexit, logging\natexit.register(print, 'bye')\n")
    done = run(chain)
    assert (done.returncode, done.stdout) == (1, "ran\nbye\n")
