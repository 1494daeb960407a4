"""A Python that is started before it is known what it will be asked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chains_cli.discovery.discover import discover
from chains_cli.discovery.early import child_command, start_early
from chains_cli.discovery.process import Child, Children
from chains_cli.interpreters import choose_interpreter

CHAIN = """
import truss_chains as chains


class Hello(chains.ChainletBase):
    async def run_remote(self) -> str:
        return "hello"
"""


class Watched(Child):
    """Counts what it is asked."""

    asked = 0

    def ask(self, *args: object, **kwargs: object):  # type: ignore[no-untyped-def]  # as the base
        self.asked += 1
        return super().ask(*args, **kwargs)  # type: ignore[arg-type]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "hello.py"
    path.write_text(CHAIN)
    return path


def waiting_for(source: Path) -> Watched:
    return Watched(child_command(choose_interpreter(source, None, os.environ)), os.environ)


def test_discovery_asks_the_child_that_waits(source: Path) -> None:
    child = waiting_for(source)
    children = Children(child)
    spec = discover(source, report_output=print, children=children)
    assert (spec.chain_name, child.asked, children.has_waiting) == ("Hello", 1, False)


def test_a_child_for_another_environment_is_ended_unasked(source: Path) -> None:
    child = waiting_for(source)
    environ = {**os.environ, "SOMETHING": "else"}
    spec = discover(source, report_output=print, children=Children(child), environ=environ)
    assert (spec.chain_name, child.asked) == ("Hello", 0)
    assert child.ended


def test_one_that_nobody_takes_is_ended(source: Path) -> None:
    child = waiting_for(source)
    children = Children(child)
    children.close()
    children.close()
    assert child.ended and not children.has_waiting


@pytest.mark.parametrize("command", ["check", "graph", "package", "push"])
def test_commands_that_read_a_file_start_it_early(source: Path, command: str) -> None:
    children = start_early([command, str(source), "--quiet"], os.environ)
    assert children.has_waiting
    children.close()


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["push"],
        ["status", "{source}"],
        ["push", "{source}", "--python", sys.executable],
        ["push", "{source}", f"--python={sys.executable}"],
        ["push", "missing.py"],
        ["push", "{directory}"],
        ["push", "--quiet", "{source}"],
    ],
)
def test_nothing_is_started_on_a_guess(source: Path, argv: list[str]) -> None:
    words = [word.format(source=source, directory=source.parent) for word in argv]
    assert not start_early(words, os.environ).has_waiting


def test_an_interpreter_that_does_not_start_is_told_when_it_is_needed(source: Path) -> None:
    python = source.parent / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/nowhere/to/be/found\n")
    python.chmod(0o755)
    environ = {"PATH": os.environ["PATH"]}
    assert not start_early(["push", str(source)], environ).has_waiting


def test_a_child_that_gets_no_request_ends_silently(source: Path) -> None:
    reply_fd, fault_fd = os.pipe()
    command = [*child_command(choose_interpreter(source, None, os.environ)), str(fault_fd), str(fault_fd)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, pass_fds=[fault_fd], capture_output=True, check=False
    )
    os.close(fault_fd)
    with os.fdopen(reply_fd, "rb") as pipe:
        assert (done.returncode, done.stdout, done.stderr, pipe.read()) == (0, b"", b"", b"started\n")
