"""What mypy says about a chain's file, as diagnostics."""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from chains_protocol.errors import Code, Diagnostic, Location, Severity

Run = Callable[[Sequence[str]], tuple[int, str]]
"""Runs a command; gives its exit status and what it wrote."""

_LINE: Final = re.compile(
    r"^(?P<path>.+?):(?P<line>\d+):(?P<column>\d+): (?P<kind>error|warning): "
    r"(?P<text>.*?)(?:\s+\[(?P<rule>[a-z0-9-]+)\])?$"
)
_OPTIONS: Final = (
    "--show-column-numbers",
    "--no-pretty",
    "--no-error-summary",
    "--hide-error-context",
    "--no-color-output",
)


def check_types(
    source: Path, python: str, environ: Mapping[str, str], run: Run | None = None
) -> list[Diagnostic]:
    """Run mypy on `source` as it is set up there, against the packages of `python`.

    mypy itself may be installed for `python` or beside this tool. The result is empty if it
    finds nothing; one CH130 says so if it is installed in neither place.
    """
    run = run or (lambda command: _run(command, source.parent, environ))
    for executable in dict.fromkeys((python, sys.executable)):
        command = [executable, "-m", "mypy", "--python-executable", python, *_OPTIONS, str(source)]
        status, text = run(command)
        if "No module named mypy" in text:
            continue
        found = [d for line in text.splitlines() if (d := _diagnostic(line, source.parent)) is not None]
        if status and not found:
            last = (text.strip().splitlines() or [f"it exited with status {status}"])[-1]
            return [_problem(f"mypy could not check the file: {last}")]
        return found
    return [_problem("mypy is not installed", "install it beside the chain: `pip install mypy`")]


def _run(command: Sequence[str], directory: Path, environ: Mapping[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        command, cwd=directory, env=dict(environ), capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def _diagnostic(line: str, directory: Path) -> Diagnostic | None:
    match = _LINE.match(line)
    if match is None:
        return None
    path = directory / match["path"]
    number = int(match["line"])
    rule = f" [{match['rule']}]" if match["rule"] else ""
    return Diagnostic(
        code=Code.TYPE_CHECK,
        severity=Severity(match["kind"]),
        message=f"{match['text']}{rule}",
        location=Location(
            path=str(path), line=number, column=int(match["column"]), source_line=_source_line(path, number)
        ),
    )


def _source_line(path: Path, number: int) -> str | None:
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    return lines[number - 1] if number <= len(lines) else None


def _problem(message: str, remedy: str | None = None) -> Diagnostic:
    return Diagnostic(code=Code.TYPE_CHECK, message=message, help=remedy)


__all__ = ["check_types"]
