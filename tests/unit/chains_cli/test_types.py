"""mypy's words as diagnostics."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import truss_chains as chains
from chains_cli.operations.types import check_types
from chains_protocol.errors import Code, Diagnostic, Location

SAID = (
    'chain.py:2:12: error: Incompatible return value type (got "int", expected "str")  [return-value]\n'
    "chain.py:2:12: note: some advice\n"
    "helper.py:1:1: error: Cannot find it\n"
)


def test_errors_have_place_line_and_rule(tmp_path: Path) -> None:
    source = tmp_path / "chain.py"
    source.write_text("def f() -> str:\n    return 1\n")
    found = check_types(source, "python", {}, lambda command, environ: (1, SAID))
    assert found == [
        Diagnostic(
            code=Code.TYPE_CHECK,
            message='Incompatible return value type (got "int", expected "str") [return-value]',
            location=Location(path=str(source), line=2, column=12, source_line="    return 1"),
        ),
        Diagnostic(
            code=Code.TYPE_CHECK,
            message="Cannot find it",
            location=Location(path=str(tmp_path / "helper.py"), line=1, column=1),
        ),
    ]


def test_mypy_of_the_tool_is_the_second_choice(tmp_path: Path) -> None:
    asked: list[str] = []

    def run(command: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str]:
        asked.append(command[0])
        return (1, "python: No module named mypy") if command[0] == "theirs" else (0, "")

    assert check_types(tmp_path / "chain.py", "theirs", {}, run) == []
    assert asked == ["theirs", sys.executable]


def test_no_mypy_anywhere_is_told(tmp_path: Path) -> None:
    (found,) = check_types(
        tmp_path / "c.py", "theirs", {}, lambda command, environ: (1, "No module named mypy")
    )
    assert "pip install mypy" in (found.help or "")


def test_a_failing_mypy_is_told(tmp_path: Path) -> None:
    (found,) = check_types(
        tmp_path / "c.py", "theirs", {}, lambda command, environ: (2, "mypy: bad config\n")
    )
    assert found.message == "mypy could not check the file: mypy: bad config"


def test_another_interpreter_is_given_our_sdk_and_nothing_else(tmp_path: Path) -> None:
    """Whatever is installed there: the file is read with this SDK."""
    seen: list[tuple[list[str], list[str]]] = []

    def run(command: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str]:
        first, *more = environ["MYPYPATH"].split(os.pathsep)
        seen.append((sorted(path.name for path in Path(first).iterdir()), more))
        assert (Path(first) / "truss_chains" / "py.typed").is_file()
        return 0, ""

    check_types(tmp_path / "c.py", "theirs", {"MYPYPATH": "stubs"}, run)
    assert seen == [(["chains_protocol", "truss_chains"], ["stubs"])]


def test_our_own_interpreter_has_the_sdk(tmp_path: Path) -> None:
    seen: list[Mapping[str, str]] = []
    check_types(
        tmp_path / "c.py", sys.executable, {"A": "b"}, lambda c, environ: (seen.append(environ), (0, ""))[1]
    )
    assert seen == [{"A": "b"}]


def test_what_mypy_says_about_the_sdk_is_left_out(tmp_path: Path) -> None:
    inside = Path(chains.__file__).with_name("stub.py")
    said = f'{inside}:3:1: error: Cannot find module named "httpx"  [import-not-found]\n'
    assert check_types(tmp_path / "c.py", "theirs", {}, lambda command, environ: (1, said)) == []
