"""What mypy says about a chain's file, as diagnostics."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from chains_protocol.errors import Code, Diagnostic, Location, Severity

Run = Callable[[Sequence[str], Mapping[str, str]], tuple[int, str]]
"""Runs a command in an environment; gives its exit status and what it wrote."""

_SDK: Final = ("truss_chains", "chains_protocol")
_PREFIX: Final = "chains-types-"
_ROOT: Final = Path(__file__).resolve().parent.parent.parent

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
    """Run mypy on `source` as it is set up there, against the packages of `python` and our SDK.

    mypy itself may be installed for `python` or beside this tool. The result is empty if it
    finds nothing; one CH130 says so if it is installed in neither place.
    """
    run = run or (lambda command, environ: _run(command, source.parent, environ))
    with _sdk_path(python) as sdk:
        told = environ if sdk is None else {**environ, "MYPYPATH": _joined(sdk, environ.get("MYPYPATH"))}
        for executable in dict.fromkeys((python, sys.executable)):
            command = [executable, "-m", "mypy", "--python-executable", python, *_OPTIONS, str(source)]
            status, text = run(command, told)
            if "No module named mypy" not in text:
                return _findings(status, text, source.parent)
    return [_problem("mypy is not installed", "install it beside the chain: `pip install mypy`")]


def _findings(status: int, text: str, directory: Path) -> list[Diagnostic]:
    parsed = [d for line in text.splitlines() if (d := _diagnostic(line, directory)) is not None]
    if status and not parsed:
        last = (text.strip().splitlines() or [f"it exited with status {status}"])[-1]
        return [_problem(f"mypy could not check the file: {last}")]
    return [d for d in parsed if not _is_ours(d)]


def _is_ours(diagnostic: Diagnostic) -> bool:
    """In the SDK: what it needs itself may be missing for the user's interpreter."""
    assert diagnostic.location is not None  # noqa: S101 (parsed lines have a place)
    path = Path(diagnostic.location.path).resolve()
    if any(part.startswith(_PREFIX) for part in path.parts):  # mypy repeats places of an earlier run
        return True
    return any(path.is_relative_to(_ROOT / name) for name in _SDK)


@contextmanager
def _sdk_path(python: str) -> Iterator[str | None]:
    """A directory with the SDK alone, for an interpreter that need not have it; None for our own.

    The file is read with this tool's SDK, whatever is installed for its interpreter, so it is
    checked against that as well.
    """
    if Path(python) == Path(sys.executable):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as directory:
        for name in _SDK:
            Path(directory, name).symlink_to(_ROOT / name, target_is_directory=True)
        yield directory


def _joined(first: str, more: str | None) -> str:
    return f"{first}{os.pathsep}{more}" if more else first


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
