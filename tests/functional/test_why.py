"""`chains why`: what a file means to each Chainlet, and what its edit needs."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tool = Any  # the fixture of conftest.py
Golden = Callable[[str, str], None]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "glue_and_model"


@pytest.fixture
def repository(tool: Tool) -> Path:
    """The example in a repository of its own, everything committed."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    shutil.copytree(EXAMPLE, tool.cwd, dirs_exist_ok=True)
    tool.environ |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CEILING_DIRECTORIES": str(tool.cwd.parent)}
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *arguments], cwd=tool.cwd, check=True)
    return Path(tool.cwd)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def impacts(tool: Tool, *argv: str) -> dict[str, tuple[bool, str]]:
    result = tool.ok("why", *argv, "--output", "json").result
    return {i["display_name"]: (i["reaches"], i["action"]) for i in result["chainlets"]}


def test_an_edited_helper_concerns_those_who_use_it(tool: Tool, repository: Path, golden: Golden) -> None:
    edit(repository / "scoring.py", "pair[1])", "pair[1] - 1)")
    found = impacts(tool, "scoring.py", "--source", "chain.py")
    assert found == {"Embedder": (False, "unchanged"), "Search": (True, "patched")}
    text = tool.ok("why", "scoring.py", "--source", "chain.py").out
    assert "scoring.py:11 " in text
    assert "Search.run_remote" in text


def test_a_comment_changes_nothing(tool: Tool, repository: Path) -> None:
    edit(repository / "scoring.py", "def best_first", "# better\ndef best_first")
    assert impacts(tool, "scoring.py", "--source", "chain.py")["Search"] == (True, "unchanged")


def test_an_unedited_file_tells_who_loads_it(tool: Tool, repository: Path) -> None:
    done = tool.ok("why", "scoring.py", "--source", "chain.py")
    assert done.out.splitlines()[1:] == ["  Embedder: does not load it", "  Search: loads it"]


def test_an_unknown_commit_is_refused(tool: Tool, repository: Path) -> None:
    done = tool("why", "chain.py", "--since", "nothing")
    assert done.code == 1
    assert "error[CH306]: git knows no commit `nothing` here" in done.err


def test_a_file_elsewhere_is_refused(tool: Tool, repository: Path) -> None:
    (repository.parent / "other.py").write_text("")
    done = tool("why", "../other.py", "--source", "chain.py")
    assert done.code == 1
    assert "error[CH202]" in done.err


def test_without_a_repository_it_still_tells_who_loads_it(tool: Tool) -> None:
    shutil.copytree(EXAMPLE, tool.cwd, dirs_exist_ok=True)
    tool.environ["GIT_CEILING_DIRECTORIES"] = str(tool.cwd.parent)
    done = tool.ok("why", "chain.py")
    assert "no commit to compare with" in done.out
