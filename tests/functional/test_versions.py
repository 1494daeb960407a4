"""`chains undo`, `publish` and the versions in `history`, against the remote in memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chains_cli.remotes.memory import MemoryRemote
from chains_protocol.control import DeploymentKind
from chains_protocol.errors import Code

Tool = Any  # the fixture of conftest.py
Program = Callable[[str], Path]


@pytest.fixture
def remote(tool: Tool, program: Program) -> MemoryRemote:
    """A remote whose development deployment went through three versions of the hello chain."""
    tool.remote = MemoryRemote()
    path = program("cli_hello.py")
    text = path.read_text()
    for number in range(3):
        path.write_text(f"{text}\n# version {number}\n")
        tool.ok("push", "hello.py", "--development")
    return tool.remote


def digests(remote: MemoryRemote, version: int | None = None) -> dict[str, str]:
    manifest = remote.manifest("hello", "development", version).manifest
    return {p.spec.display_name: p.digest for p in manifest.packages}


def test_undo_brings_the_previous_version_back_and_then_the_one_before(
    tool: Tool, remote: MemoryRemote
) -> None:
    done = tool.ok("undo", "hello", "-o", "json")
    assert (done.result["version"], done.result["restored"]) == (4, 2)
    assert digests(remote) == digests(remote, 2)

    done = tool.ok("undo", "hello")
    assert "version 5 runs what version 1 ran" in done.out
    assert digests(remote) == digests(remote, 1)


def test_undo_ends_at_the_first_version(tool: Tool, remote: MemoryRemote) -> None:
    tool.ok("undo", "hello")
    tool.ok("undo", "hello")
    done = tool("undo", "hello", "-o", "json")
    assert (done.code, done.result["diagnostics"][0]["code"]) == (1, "CH304")
    assert digests(remote) == digests(remote, 1)


def test_undo_to_a_version_and_back(tool: Tool, remote: MemoryRemote) -> None:
    tool.ok("undo", "hello", "--to", "1")
    tool.ok("undo", "hello", "--to", "3")
    assert digests(remote) == digests(remote, 3)
    assert tool("undo", "hello", "--to", "77").code == 1
    assert "runs already" in tool.ok("undo", "hello", "--to", "3").out


def test_a_patch_after_an_undo_is_undone_to_what_the_undo_brought_back(
    tool: Tool, remote: MemoryRemote
) -> None:
    tool.ok("undo", "hello")
    path = tool.cwd / "hello.py"
    path.write_text(path.read_text() + "# another\n")
    tool.ok("push", "hello.py", "--development")
    assert tool.ok("undo", "hello", "-o", "json").result["restored"] == 2
    assert tool.ok("undo", "hello", "-o", "json").result["restored"] == 1


def test_history_lists_the_versions(tool: Tool, remote: MemoryRemote) -> None:
    tool.ok("undo", "hello")
    found = tool.ok("history", "hello", "-o", "json").result["versions"]
    assert [(v["version"], v["runs"], v["restores"]) for v in found] == [
        (1, False, None),
        (2, False, None),
        (3, False, None),
        (4, True, 2),
    ]
    assert "version 2 again" in tool.ok("history", "hello").out


def test_publish_deploys_exactly_what_runs(tool: Tool, remote: MemoryRemote) -> None:
    (tool.cwd / "hello.py").unlink()
    tool.ok("undo", "hello")
    done = tool.ok("publish", "hello", "--promote", "--deployment-name", "one", "-o", "json")
    info = remote.deployment("hello", done.result["deployment"]["id"])
    assert (info.kind, info.environments, info.name) == (DeploymentKind.PUBLISHED, ("production",), "one")
    assert remote.manifest("hello", info.id).manifest == remote.manifest("hello", "development").manifest
    assert tool.ok("publish", "hello", "--promote", "-o", "json").result["unchanged"]


def test_without_a_development_deployment_there_is_nothing_to_undo_or_publish(
    tool: Tool, program: Program
) -> None:
    tool.remote = MemoryRemote()
    program("cli_hello.py")
    tool.ok("push", "hello.py")
    for verb in ("undo", "publish"):
        done = tool(verb, "hello", "-o", "json")
        assert (done.code, done.result["diagnostics"][0]["code"]) == (1, Code.UNKNOWN_DEPLOYMENT)
