"""`chains affected --since`: git's trees, without a checkout."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

Tool = Any  # the fixture of conftest.py

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "glue_and_model"


def git(cwd: Path, *arguments: str) -> None:
    identity = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b.c"}
    identity |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b.c"}
    subprocess.run(
        ["git", *arguments], cwd=cwd, check=True, capture_output=True, env={**os.environ, **identity}
    )


@pytest.fixture
def glue(tool: Tool) -> Path:
    shutil.copytree(EXAMPLE, tool.cwd, dirs_exist_ok=True)
    cwd = Path(tool.cwd)
    git(cwd, "init", "-q")
    git(cwd, "add", ".")
    git(cwd, "commit", "-q", "-m", "first")
    return cwd


def test_nothing_is_affected_by_nothing(tool: Tool, glue: Path) -> None:
    done = tool.ok("affected", "chain.py", "--since", "HEAD", "--exit-code", "-o", "json")
    assert done.result["affected"] == []


def test_a_comment_affects_nothing(tool: Tool, glue: Path) -> None:
    text = (glue / "chain.py").read_text()
    (glue / "chain.py").write_text(f"{text}\n# a comment\n")
    assert tool.ok("affected", "chain.py", "--since", "HEAD", "-o", "json").result["affected"] == []


def test_the_exit_code_is_1_only_when_asked_for(tool: Tool, glue: Path) -> None:
    text = (glue / "chain.py").read_text()
    edited = text.replace("top", "topmost") if "top" in text else text.replace("return", "return  0 or", 1)
    assert edited != text
    (glue / "chain.py").write_text(edited)
    done = tool("affected", "chain.py", "--since", "HEAD", "-o", "json")
    assert done.code == 0
    assert done.result["affected"]
    assert tool("affected", "chain.py", "--since", "HEAD", "--exit-code").code == 1
    text_done = tool.ok("affected", "chain.py", "--since", "HEAD")
    assert "affected since" in text_done.out


def actions(tool: Tool, since: str = "HEAD") -> dict[str, str]:
    (chain,) = tool.ok("affected", "chain.py", "--since", since, "-o", "json").result["chains"]
    return {i["display_name"]: i["action"] for i in chain["chainlets"]}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_commits_and_files_that_are_not_committed(tool: Tool, glue: Path) -> None:
    """A rename, a deletion, a new file that git does not know yet, and a file that it ignores."""
    git(glue, "mv", "scoring.py", "ranking.py")
    edit(glue / "chain.py", "from scoring import", "from ranking import")
    git(glue, "commit", "-q", "-a", "-m", "renamed")
    assert actions(tool) == {"Embedder": "unchanged", "Search": "unchanged"}
    assert actions(tool, "HEAD~1") == {"Embedder": "unchanged", "Search": "patched"}

    (glue / "ranking.py").rename(glue / "order.py")
    edit(glue / "chain.py", "from ranking import", "from order import")
    assert actions(tool) == {"Embedder": "unchanged", "Search": "patched"}
    (glue / ".gitignore").write_text("made.py\n")
    (glue / "made.py").write_text("VERSION = 1\n")
    edit(glue / "chain.py", "from order import", "import made\nfrom order import")
    git(glue, "add", ".")
    git(glue, "commit", "-q", "-m", "ordered")
    assert actions(tool) == {"Embedder": "unchanged", "Search": "unchanged"}


def test_data_that_code_reads(tool: Tool, glue: Path) -> None:
    (glue / "page.txt").write_text("one")
    edit(
        glue / "scoring.py",
        "def best_first",
        "def page():\n    return open(__file__.replace('scoring.py', 'page.txt')).read()\n\n\ndef best_first",
    )
    git(glue, "add", ".")
    git(glue, "commit", "-q", "-m", "page")
    assert actions(tool) == {"Embedder": "unchanged", "Search": "unchanged"}
    (glue / "page.txt").write_text("two")
    assert actions(tool) == {"Embedder": "unchanged", "Search": "restarted"}
    (glue / "page.txt").unlink()
    (glue / "other.txt").write_text("nobody reads it")
    assert actions(tool) == {"Embedder": "unchanged", "Search": "restarted"}


def test_a_commit_with_a_file_that_is_no_python(tool: Tool, glue: Path) -> None:
    whole = (glue / "scoring.py").read_text()
    (glue / "scoring.py").write_text("def broken(:\n")
    git(glue, "commit", "-q", "-a", "-m", "broken")
    (glue / "scoring.py").write_text(whole)
    assert actions(tool) == {"Embedder": "unchanged", "Search": "restarted"}
    assert "can't be told" in tool.ok("affected", "chain.py", "--since", "HEAD").out


def test_a_shallow_clone_tells_how_to_get_the_commit(tool: Tool, glue: Path) -> None:
    edit(glue / "scoring.py", "def best_first", "# more\ndef best_first")
    git(glue, "commit", "-q", "-a", "-m", "second")
    git(glue.parent, "clone", "-q", "--depth", "1", f"file://{glue}", "shallow")
    done = tool("affected", "../shallow/chain.py", "--since", "HEAD~1")
    assert (done.code, "git fetch --unshallow" in done.err) == (1, True)
    assert tool.ok("affected", "../shallow/chain.py", "--since", "HEAD").code == 0


def test_without_a_repository_or_without_git(tool: Tool) -> None:
    shutil.copytree(EXAMPLE, tool.cwd, dirs_exist_ok=True)
    tool.environ["GIT_CEILING_DIRECTORIES"] = str(Path(tool.cwd).parent)
    done = tool("affected", "chain.py", "--since", "HEAD")
    assert (done.code, "is in no git repository" in done.err) == (1, True)
    empty = Path(tool.cwd) / "bin"
    empty.mkdir()
    tool.environ["PATH"] = str(empty)
    done = tool("affected", "chain.py", "--since", "HEAD")
    assert (done.code, "git is needed" in done.err) == (1, True)


def test_an_unknown_commit_is_told(tool: Tool, glue: Path) -> None:
    done = tool("affected", "chain.py", "--since", "--output=x", "-o", "json")
    assert done.code in (1, 2)
    done = tool("affected", "chain.py", "--since", "nope", "-o", "json")
    assert (done.code, done.result["diagnostics"][0]["code"]) == (1, "CH306")
