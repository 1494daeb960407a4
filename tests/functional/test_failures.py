"""What ends a command otherwise: bugs of ours, interruptions, readers that go away."""

import errno
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chains_cli.app import Interrupted as AppInterrupted
from chains_cli.app import LazyGroup
from chains_cli.command_line import run
from chains_cli.failures import redact
from chains_cli.remotes.memory import MemoryRemote
from chains_cli.settings import World

Tool = Any  # the fixture of conftest.py
Program = Callable[[str], Path]


class Buggy(MemoryRemote):
    def chains(self) -> Any:
        raise KeyError("a bug, with token t0ken")


class Interrupted(MemoryRemote):
    def chains(self) -> Any:
        raise KeyboardInterrupt


class NoReader(MemoryRemote):
    def chains(self) -> Any:
        raise BrokenPipeError


class Full(io.StringIO):
    """Standard output, redirected to a disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("output", ["text", "json"])
def test_output_that_cannot_be_written_is_told_and_no_success(tool: Tool, output: str) -> None:
    err = io.StringIO()
    world = World({}, tool.cwd, io.StringIO(), Full(), err, connect=lambda *_: MemoryRemote())
    assert run(["list", "--output", output], world) == 141
    assert err.getvalue() == "error: the output cannot be written: no space left on device\n"


@pytest.mark.parametrize("method", ["parse_args", "resolve_command"])
def test_an_interruption_before_the_command_runs_has_a_result_too(method: str) -> None:
    """A Ctrl-C while the command line is read, or the command's module is loaded."""

    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    group = type("Group", (LazyGroup,), {method: interrupt})(name="chains")
    with pytest.raises(AppInterrupted):
        group.main(["list"], standalone_mode=False)


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_a_standard_stream_may_be_closed(tmp_path: Path, closed: str) -> None:
    program = "import sys; from chains_cli.main import main; sys.exit(main())"
    command = f'"{sys.executable}" -c "{program}" remote list --output json {closed}'
    done = subprocess.run(
        ["sh", "-c", command], env={"CHAINS_HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count('"type": "result"') == (">&-" not in closed.replace("2>&-", ""))


def test_a_bug_of_ours_exits_70_and_names_a_report(tool: Tool) -> None:
    tool.remote = Buggy()
    tool.environ["CHAINS_TOKEN"] = "t0ken"
    done = tool("list")
    assert done.code == 70
    assert done.err.startswith("error[CH901]: chains failed in a way it should not: KeyError")
    (report,) = (tool.home / "reports").iterdir()
    assert str(report) in done.err
    text = report.read_text()
    assert "Traceback (most recent call last):" in text
    assert "pydantic " in text
    assert "t0ken" not in text
    assert report.stat().st_mode & 0o077 == 0


def test_a_report_that_cannot_be_written_at_home_is_written_elsewhere(tool: Tool) -> None:
    tool.remote = Buggy()
    tool.home.write_text("not a directory")
    done = tool("list")
    assert done.code == 70
    named = Path(done.err.rsplit("with the file ", 1)[1].strip())
    assert named.is_file()
    named.unlink()


def test_a_bug_in_json(tool: Tool) -> None:
    tool.remote = Buggy()
    done = tool("list", "--output", "json")
    assert (done.code, done.err) == (70, "")
    assert done.lines[0]["diagnostic"]["code"] == "CH901"
    assert done.result["exit_code"] == 70


def test_an_interruption_is_130_without_noise(tool: Tool) -> None:
    tool.remote = Interrupted()
    done = tool("list")
    assert (done.code, done.out, done.err) == (130, "", "")
    assert tool("list", "-o", "json").result == {
        "type": "result",
        "schema": 1,
        "ok": False,
        "exit_code": 130,
    }


def test_a_reader_that_went_away_is_141_without_noise(tool: Tool) -> None:
    tool.remote = NoReader()
    done = tool("list")
    assert (done.code, done.out, done.err) == (141, "", "")


def test_a_closed_pipe_is_quiet_for_real(tool: Tool, program: Program) -> None:
    program("cli_hello.py")
    command = [sys.executable, "-m", "chains_cli", "check", "hello.py", "--format", "json"]
    process = subprocess.Popen(command, cwd=tool.cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), errors) == (141, b"")


INTERRUPTED_EARLY = """
import sys

class Impatient:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            sys.meta_path.remove(self)
            raise KeyboardInterrupt

sys.meta_path.insert(0, Impatient())
from chains_cli.main import main
sys.exit(main(["list", "--output", "json"]))
"""


def test_an_interruption_while_the_program_is_loaded_is_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_EARLY], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (130, "")
    assert json.loads(done.stdout)["exit_code"] == 130


def test_a_no_to_a_question_is_130_and_changes_nothing(tool: Tool, program: Program) -> None:
    tool.remote = MemoryRemote()
    program("cli_hello.py")
    tool.ok("push", "hello.py")
    done = tool("delete", "hello", "--output", "json", stdin="n\n", is_terminal=True)
    assert (done.code, done.result["exit_code"]) == (130, 130)
    assert done.err == "Delete chain `hello`? [y/N] "
    assert tool.remote.chain("hello").deployments
    assert tool("delete", "hello", stdin="yes\n", is_terminal=True).code == 0


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["push", "a.py"], ["push", "a.py"]),
        (["call", "x", "--data", '{"a": 1}', "-v"], ["call", "x", "--data", "***", "-v"]),
        (["run-local", "--secret=k=v", "-i", "{}"], ["run-local", "--secret=***", "-i", "***"]),
    ],
)
def test_reports_leave_out_data_and_secrets(argv: list[str], shown: list[str]) -> None:
    assert redact(argv) == shown
