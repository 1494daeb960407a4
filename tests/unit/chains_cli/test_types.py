"""mypy's words as diagnostics."""

import sys
from collections.abc import Sequence
from pathlib import Path

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
    found = check_types(source, "python", {}, lambda command: (1, SAID))
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

    def run(command: Sequence[str]) -> tuple[int, str]:
        asked.append(command[0])
        return (1, "python: No module named mypy") if command[0] == "theirs" else (0, "")

    assert check_types(tmp_path / "chain.py", "theirs", {}, run) == []
    assert asked == ["theirs", sys.executable]


def test_no_mypy_anywhere_is_told(tmp_path: Path) -> None:
    (found,) = check_types(tmp_path / "c.py", "theirs", {}, lambda command: (1, "No module named mypy"))
    assert "pip install mypy" in (found.help or "")


def test_a_failing_mypy_is_told(tmp_path: Path) -> None:
    (found,) = check_types(tmp_path / "c.py", "theirs", {}, lambda command: (2, "mypy: bad config\n"))
    assert found.message == "mypy could not check the file: mypy: bad config"
