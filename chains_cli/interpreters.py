"""Which Python reads the user's file: their own where there is one, else ours."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Origin(StrEnum):
    """Why an interpreter was chosen; shown to users."""

    OPTION = "--python"
    VIRTUAL_ENV = "VIRTUAL_ENV"
    DOT_VENV = ".venv"
    OWN = "the interpreter of chains"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python executable and why it was chosen."""

    executable: str
    origin: Origin

    @property
    def is_own(self) -> bool:
        return self.origin is Origin.OWN


def own_interpreter() -> Interpreter:
    """The interpreter that runs this tool."""
    return Interpreter(sys.executable, Origin.OWN)


def choose_interpreter(source: Path, python: str | None, environ: Mapping[str, str]) -> Interpreter:
    """Choose by `--python`, `VIRTUAL_ENV`, a `.venv` beside or above `source`, else ours.

    The search for `.venv` ends at the repository's root; without a repository only the
    directory of `source` counts, so that nobody else's environment is ever run.

    Raises:
        DiagnosticsError: CH159 if `python` names no executable.
    """
    if python is not None:
        return Interpreter(_named(python, environ), Origin.OPTION)
    active = environ.get("VIRTUAL_ENV")
    if active:
        found = _python_of(Path(active))
        if found is not None:
            return _unless_own(Interpreter(found, Origin.VIRTUAL_ENV))
    for directory in _directories(source.absolute().parent):
        found = _python_of(directory / ".venv")
        if found is not None:
            return _unless_own(Interpreter(found, Origin.DOT_VENV))
    return own_interpreter()


def _named(python: str, environ: Mapping[str, str]) -> str:
    path = Path(python).expanduser()
    if path.is_dir():
        found = _python_of(path)
        if found is not None:
            return found
    command = f"python{python}" if python[:1].isdigit() else python
    located = shutil.which(str(Path(command).expanduser()), path=environ.get("PATH"))
    if located is None:
        from chains_protocol.errors import Code, Diagnostic, DiagnosticsError  # the only use of pydantic here

        raise DiagnosticsError(
            [
                Diagnostic(
                    code=Code.INTERPRETER_UNUSABLE,
                    message=f"`--python {python}` names no Python that can be run",
                    help="give a path to an interpreter, a virtual environment or a version, "
                    "for example `--python .venv/bin/python`",
                )
            ]
        )
    return located if os.sep not in located else str(Path(located).absolute())


def _python_of(environment: Path) -> str | None:
    for relative in ("bin/python", "Scripts/python.exe"):
        candidate = environment / relative
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate.absolute())
    return None


def _directories(start: Path) -> tuple[Path, ...]:
    above: list[Path] = []
    for directory in (start, *start.parents):
        above.append(directory)
        if (directory / ".git").exists():
            return tuple(above)
    return (start,)


def _unless_own(found: Interpreter) -> Interpreter:
    """Ours, if `found` is the same environment under another name."""
    same = Path(found.executable).parent.resolve() == Path(sys.executable).parent.resolve()
    return own_interpreter() if same else found


__all__ = ["Interpreter", "Origin", "choose_interpreter", "own_interpreter"]
