"""The programs of the published local-development page, word for word."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def _run(python: str, file: Path) -> str:
    done = subprocess.run(
        [python, "-W", "default", file.name], cwd=file.parent, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("minor", ["3.11", "3.12", "3.13"])
def test_hello_prints_what_the_page_says(minor: str, python_of: Callable[[str], str]) -> None:
    printed = _run(python_of(minor), EXAMPLES / "hello_chain" / "hello.py")

    assert printed == "Hello, Marius\nHello, Sid\nHello, Bola\n"


@pytest.mark.parametrize("minor", ["3.12", "3.13"])  # the page's f-string needs 3.12
def test_poems_prints_what_the_page_says(minor: str, python_of: Callable[[str], str]) -> None:
    printed = _run(python_of(minor), EXAMPLES / "poems" / "poems.py")

    poems = ["Here's a poem about bird", "Here's a poem about plane", "Here's a poem about superman"]
    assert printed == f"{poems}\n"


@pytest.mark.parametrize("minor", ["3.11", "3.13"])
def test_poems_with_a_protocol_prints_the_same(minor: str, python_of: Callable[[str], str]) -> None:
    printed = _run(python_of(minor), EXAMPLES / "poems" / "poems_typed.py")

    assert printed.startswith('["Here\'s a poem about bird", ')


def test_mypy_strict_accepts_the_protocol_variant() -> None:
    file = EXAMPLES / "poems" / "poems_typed.py"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(file)], capture_output=True, text=True, check=False
    )

    assert done.stdout.splitlines()[-1] == "Success: no issues found in 1 source file", done.stdout
