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


def line_of(path: Path, text: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def asked(tool: Tool, place: str) -> tuple[dict[str, Any], dict[str, tuple[bool, str]]]:
    result = tool.ok("why", place, "--source", "chain.py", "--output", "json").result
    return result["asked"], {i["display_name"]: (i["reaches"], i["action"]) for i in result["chainlets"]}


def test_a_line_tells_its_symbol_who_reaches_it_and_what_an_edit_needs(tool: Tool, repository: Path) -> None:
    line = line_of(repository / "scoring.py", "return sum")
    spot, found = asked(tool, f"scoring.py:{line}")
    assert (spot["symbol"], spot["what"], spot["at"]) == ("scoring.similarity", "a function", line)
    assert found == {"Embedder": (False, "unchanged"), "Search": (True, "patched")}
    text = tool.ok("why", f"scoring.py:{line}:8", "--source", "chain.py").out.splitlines()
    assert text == [
        f"scoring.py:{line} in chain glue-and-model: a function, scoring.similarity, lines 6 to 8",
        "  Embedder: does not load it",
        "  Search: an edit there would be patched",
        "      through Search.run_remote → scoring.best_first → scoring.similarity",
    ]
    assert asked(tool, f"chain.py:{line_of(repository / 'chain.py', 'self._calls = 0')}")[1] == {
        "Embedder": (False, "unchanged"),
        "Search": (True, "reloaded"),
    }
    options = line_of(repository / "chain.py", "retries=2")
    assert asked(tool, f"chain.py:{options}")[1]["Search"] == (True, "patched")


@pytest.mark.parametrize("text", ["# note", '"""How two'])
def test_a_line_outside_of_any_symbol(tool: Tool, repository: Path, text: str) -> None:
    path = repository / "scoring.py"
    path.write_text(f"{path.read_text()}\n# note\n")
    spot, found = asked(tool, f"scoring.py:{line_of(path, text)}")
    assert spot["symbol"] == ""
    assert found == {"Embedder": (False, "unchanged"), "Search": (True, "unchanged")}
    shown = tool.ok("why", f"scoring.py:{line_of(path, text)}", "--source", "chain.py").out
    assert "changes nothing for any chainlet" in shown


def test_a_line_of_a_file_that_nobody_loads(tool: Tool, repository: Path) -> None:
    (repository / "apart.py").write_text("X = 1\n")
    assert "no chainlet loads it" in tool.ok("why", "apart.py:1", "--source", "chain.py").out


@pytest.mark.parametrize("line", [0, 900])
def test_a_line_that_is_not_there(tool: Tool, repository: Path, line: int) -> None:
    done = tool("why", f"scoring.py:{line}", "--source", "chain.py")
    assert done.code == 1
    assert f"so there is no line {line}" in done.err


def test_a_file_that_is_not_there(tool: Tool, repository: Path) -> None:
    for place in ("gone.py", "gone.py:3"):
        done = tool("why", place, "--source", "chain.py", "--since", "HEAD")
        if place == "gone.py:3":
            assert (done.code, "error[CH202]: there is no file" in done.err) == (1, True)
        else:
            assert "does not load it" in done.out


DATA_CHAIN = """import pathlib
import truss_chains as chains
from rules import rule


class Reader(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(
            data_dir=chains.make_abs_path_here("data"),
            external_package_dirs=[chains.make_abs_path_here("../outside")],
        )
    )

    def run_remote(self) -> str:
        return rule(pathlib.Path(__file__).with_name("page.txt").read_text())
"""


def test_files_that_are_no_python_and_packages_from_elsewhere(tool: Tool) -> None:
    cwd = Path(tool.cwd)
    (cwd / "data").mkdir()
    (cwd / "data" / "d.txt").write_text("data")
    (cwd / "page.txt").write_text("page")
    (cwd / "notes.txt").write_text("notes")
    (cwd.parent / "outside").mkdir()
    (cwd.parent / "outside" / "rules.py").write_text("def rule(text):\n    return text\n")
    (cwd / "chain.py").write_text(DATA_CHAIN)
    tool.environ["PYTHONPATH"] = str(cwd.parent / "outside")
    found = {
        place: asked(tool, f"{place}:1")[1]["Reader"]
        for place in ("page.txt", "data/d.txt", "notes.txt", "../outside/rules.py")
    }
    assert found == {
        "page.txt": (True, "restarted"),
        "data/d.txt": (True, "rebuilt"),
        "notes.txt": (False, "unchanged"),
        "../outside/rules.py": (True, "patched"),
    }


def test_the_file_that_declares_the_chain_is_found(tool: Tool, repository: Path) -> None:
    """Beside the file that was asked about, or above it in the repository."""
    beside = tool.ok("why", "scoring.py").out
    assert beside == tool.ok("why", "scoring.py", "--source", "chain.py").out
    (repository / "more").mkdir()
    (repository / "more" / "words.py").write_text("X = 1\n")
    assert "Search: does not load it" in tool.ok("why", "more/words.py").out


def test_several_chains_beside_a_file_are_told(tool: Tool, repository: Path) -> None:
    shutil.copy(repository / "chain.py", repository / "other.py")
    done = tool("why", "scoring.py")
    assert done.code == 1
    assert "error[CH155]: `scoring.py` may belong to several chains: `chain.py`, `other.py`" in done.err
    assert "--source chain.py" in done.err
    assert tool.ok("why", "chain.py").code == 0
