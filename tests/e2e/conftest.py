"""A private platform a test (or module): its own home, started by the tool, taken down at the end."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.homes import command_line, described, processes_of


@dataclass
class Chains:
    """Runs the `chains` command as a user's shell would, against one home."""

    home: Path
    cwd: Path
    env: dict[str, str] = field(default_factory=dict)

    def environ(self) -> dict[str, str]:
        keep = {k: v for k, v in os.environ.items() if not k.startswith("CHAINS_")}
        return {**keep, "CHAINS_HOME": str(self.home), "NO_COLOR": "1", **self.env}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "chains_cli", *arguments]

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 110) -> "Done":
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.cwd,
            env=self.environ(),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str, **options: Any) -> "Done":
        done = self.run(*arguments, **options)
        assert done.code == 0, f"{arguments} exited {done.code}\n{done.out}\n{done.err}"
        return done

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.cwd,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def processes(self) -> list[psutil.Process]:
        """Living processes of this home: control plane, gateway, replicas."""
        return processes_of(self.home)

    def replicas(self) -> list[psutil.Process]:
        return [p for p in self.processes() if "chains_runtime" in command_line(p)]


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def result(self) -> dict[str, Any]:
        last = self.events()[-1]
        assert last["type"] == "result", last
        return last


@pytest.fixture
def chains(tmp_path: Path) -> Iterator[Chains]:
    home = Path(tempfile.mkdtemp(prefix="chains-e2e-"))
    work = tmp_path / "work"
    work.mkdir()
    tool = Chains(home=home, cwd=work)
    try:
        yield tool
    finally:
        tool.run("platform", "down")
        left = {process: described(process) for process in tool.processes()}
        for process in left:
            process.kill()
        sockets = home / "platform" / "sockets"
        has_sockets = sockets.exists() and Path(sockets.read_text()).exists()
        shutil.rmtree(home, ignore_errors=True)
    assert not left, f"left running: {list(left.values())}"
    assert not has_sockets, "the directory of the sockets is still there"
