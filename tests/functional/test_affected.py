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


def test_an_unknown_commit_is_told(tool: Tool, glue: Path) -> None:
    done = tool("affected", "chain.py", "--since", "--output=x", "-o", "json")
    assert done.code in (1, 2)
    done = tool("affected", "chain.py", "--since", "nope", "-o", "json")
    assert (done.code, done.result["diagnostics"][0]["code"]) == (1, "CH306")
