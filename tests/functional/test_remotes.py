"""`chains remote`: names, one private file, tokens that are never shown."""

import stat
from pathlib import Path
from typing import Any

import pytest

from chains_cli import events
from chains_cli.operations.connect import connect
from chains_cli.remotes.platform import PlatformRemote
from chains_cli.settings import Settings
from chains_protocol.errors import DiagnosticsError

Tool = Any  # the fixture of conftest.py

URL = "http://127.0.0.1:9"


def add(tool: Tool, name: str = "lab", url: str = URL) -> None:
    tool.ok("remote", "add", name, "--url", url, stdin="s3cret\n")


def test_a_remote_is_kept_in_a_private_file_and_its_token_never_shown(tool: Tool) -> None:
    add(tool)
    path = Path(tool.home) / "remotes.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    done = tool.ok("remote", "list", "-o", "json")
    assert [(r["name"], r["url"], r["chosen"]) for r in done.result["remotes"]] == [
        ("local", "", True),
        ("lab", URL, False),
    ]
    assert "s3cret" not in done.out + tool.ok("remote", "list").out


def test_use_chooses_and_remove_goes_back_to_local(tool: Tool) -> None:
    add(tool)
    tool.ok("remote", "use", "lab")
    settings = Settings(home=tool.home, cwd=tool.cwd)
    remote = connect(settings, {}, events.ignore, start=False)
    assert isinstance(remote, PlatformRemote)
    assert (remote.name, remote.url) == ("lab", URL)
    tool.ok("remote", "remove", "lab")
    assert tool.ok("remote", "list", "-o", "json").result["remotes"][0]["chosen"]


def test_a_home_that_cannot_hold_remotes_is_told(tool: Tool) -> None:
    """A file in its place holds none; a remote that cannot be kept is refused."""
    Path(tool.home).write_text("not a directory")
    assert len(tool.ok("remote", "list", "-o", "json").result["remotes"]) == 1
    done = tool("remote", "add", "lab", "--url", URL, stdin="s3cret")
    assert (done.code, done.err.partition(": ")[0]) == (1, "error[CH306]")


def test_remotes_that_cannot_be_read_are_told(tool: Tool) -> None:
    (Path(tool.home) / "remotes.json").mkdir(parents=True)
    done = tool("remote", "list")
    assert (done.code, done.err.partition(": ")[0]) == (1, "error[CH306]")


@pytest.mark.parametrize(
    ("argv", "stdin", "code"),
    [
        (("add", "local", "--url", URL), "t", "CH306"),
        (("add", "a b", "--url", URL), "t", "CH306"),
        (("add", "lab", "--url", "ftp://x"), "t", "CH306"),
        (("add", "lab", "--url", "https://user:pw@x"), "t", "CH306"),
        (("add", "lab", "--url", URL), "", "CH302"),
        (("use", "nobody"), "", "CH301"),
        (("remove", "nobody"), "", "CH301"),
    ],
)
def test_what_is_refused(tool: Tool, argv: tuple[str, ...], stdin: str, code: str) -> None:
    done = tool("remote", *argv, "-o", "json", stdin=stdin)
    assert done.code != 0
    assert done.result["diagnostics"][0]["code"] == code


def test_a_token_is_no_option(tool: Tool) -> None:
    assert tool("remote", "add", "lab", "--url", URL, "--token", "x").code == 2


def test_a_file_that_others_may_read_is_refused(tool: Tool) -> None:
    add(tool)
    (Path(tool.home) / "remotes.json").chmod(0o644)
    with pytest.raises(DiagnosticsError, match="CH302"):
        connect(Settings(home=tool.home, cwd=tool.cwd, remote="lab"), {}, events.ignore, start=False)
