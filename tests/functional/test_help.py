"""Help texts, whole; and what the command line refuses."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from chains_cli.app import COMMANDS, load_command

Tool = Any  # the fixture of conftest.py
Golden = Callable[[str, str], None]

GROUPS = {
    "secrets": ("set", "list", "delete"),
    "remote": ("add", "list", "use", "remove"),
    "platform": ("up", "down", "status", "run", "logs", "gc"),
}
PAGES = [(), *((e.name,) for e in COMMANDS), *((g, c) for g, cs in GROUPS.items() for c in cs)]


def show(*argv: str) -> str:
    """The help as a process prints it: Click writes to the real stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "chains_cli", *argv, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "100", "PATH": ""},
    )
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: "-".join(page) or "chains")
def test_help(page: tuple[str, ...], golden: Golden) -> None:
    golden(f"help/{'-'.join(page) or 'chains'}", show(*page))


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda e: e.name)
def test_the_table_of_commands_says_what_the_commands_say(entry: Any) -> None:
    command = load_command(entry.name)
    assert (command.help or "").split("\n", 1)[0] != ""
    assert entry.help.endswith(".")


def test_no_command_shows_the_help(tool: Tool) -> None:
    done = tool()
    assert done.code == 2
    assert "Usage: chains" in done.out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("pusch",), "no such command 'pusch'. Did you mean 'push', 'publish'?"),
        (("push",), "missing argument 'SOURCE'"),
        (("status", "--outputt", "json"), "no such option"),
        (("status", "--output", "xml"), "xml"),
        (("check", "a.py", "--format", "xml"), "`xml` is not one of text, json, github, sarif"),
        (("init", "--template", "nothing"), "`nothing` is not one of hello, poems, rag, streaming"),
        (("push", "a.py", "--development", "--promote"), "a development deployment cannot be promoted"),
        (("push", "a.py", "--deployment-name", "a b"), "--deployment-name"),
        (("push", "a.py", "--timeout", "0"), "--timeout"),
        (("call", "x", "--development", "--environment", "e"), "choose one of"),
        (("delete", "x"), "say yes with --yes"),
    ],
)
def test_a_wrong_command_line_is_status_2(tool: Tool, argv: tuple[str, ...], message: str) -> None:
    done = tool(*argv)
    assert done.code == 2, done
    assert message in done.err
    assert done.err.startswith("error: ")
    assert "\nhelp: `chains" in done.err
    assert done.out == ""


def test_a_wrong_command_line_ends_json_output_with_a_result(tool: Tool) -> None:
    done = tool("push", "--output", "json")
    assert (done.code, done.err) == (2, "")
    assert done.result["ok"] is False
    assert done.result["exit_code"] == 2
    assert "SOURCE" in done.result["error"]


def test_the_environment_chooses_json_too(tool: Tool) -> None:
    tool.environ["CHAINS_OUTPUT"] = "json"
    assert tool("pusch").result["exit_code"] == 2


def test_a_wrong_output_in_the_environment_is_status_2(tool: Tool) -> None:
    tool.environ["CHAINS_OUTPUT"] = "xml"
    done = tool("list")
    assert done.code == 2
    assert "CHAINS_OUTPUT" in done.err
