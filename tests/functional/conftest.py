"""The tool called in this process, with a world of its own: streams, environment, directory, remote."""

import io
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from chains_cli.events import Report
from chains_cli.main import main
from chains_cli.remotes.remote import Remote
from chains_cli.settings import Settings, World

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests" / "programs"
GOLDEN = ROOT / "tests" / "golden" / "cli"


class Stream(io.StringIO):
    """Text that was written; a terminal if asked to be one."""

    def __init__(self, text: str = "", *, is_terminal: bool = False) -> None:
        super().__init__(text)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def result(self) -> dict[str, Any]:
        last = self.lines[-1]
        assert last["type"] == "result", self.out
        return last


@dataclass
class Tool:
    """Runs command lines against one remote."""

    cwd: Path
    home: Path
    remote: Remote | None = None
    environ: dict[str, str] = field(default_factory=dict)
    clock: Callable[[], float] = lambda: 1_800_000_000.0

    def __call__(self, *argv: str, stdin: str = "", is_terminal: bool = False) -> Done:
        out, err = Stream(), Stream(is_terminal=is_terminal)
        world = World(
            environ={**_plain_environ(), "CHAINS_HOME": str(self.home), **self.environ},
            cwd=self.cwd,
            stdin=Stream(stdin, is_terminal=is_terminal),
            stdout=out,
            stderr=err,
            connect=self._connect,
            clock=self.clock,
        )
        code = main(list(argv), world)
        return Done(code, out.getvalue(), err.getvalue())

    def ok(self, *argv: str, stdin: str = "") -> Done:
        done = self(*argv, stdin=stdin)
        assert done.code == 0, done.out + done.err
        return done

    def _connect(self, settings: Settings, environ: Mapping[str, str], report: Report, start: bool) -> Remote:
        assert self.remote is not None, "this test contacts nobody"
        return self.remote


def _plain_environ() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    cwd = tmp_path / "work"
    cwd.mkdir()
    return Tool(cwd=cwd, home=tmp_path / "home")


@pytest.fixture
def program(tool: Tool) -> Callable[[str], Path]:
    """Copies a program of `tests/programs` into the working directory; returns its path there."""

    def copy(name: str) -> Path:
        target = tool.cwd / name.removeprefix("cli_")
        target.write_text((PROGRAMS / name).read_text("utf-8"))
        return target

    return copy


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compares a whole text with a file of `tests/golden/cli`; `UPDATE_GOLDEN=1` rewrites the file."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / f"{name}.txt"
        plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
        if os.environ.get("UPDATE_GOLDEN") == "1":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(plain, "utf-8")
        assert path.read_text("utf-8") == plain

    return compare
