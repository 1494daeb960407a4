"""docs/writing_chains.md: every block of code is run, in order, as one file."""

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from truss_chains import validation

PAGE = Path(__file__).resolve().parents[2] / "docs" / "writing_chains.md"
_BLOCK = re.compile(
    r"(?P<mark><!-- checked -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """A block of code and the line it begins at."""

    language: str
    code: str
    line: int
    is_checked: bool


def blocks() -> Iterator[Block]:
    text = PAGE.read_text("utf-8")
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("code")) + 1
        yield Block(match["language"], match["code"], line, match["mark"] is not None)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[ModuleType]:
    """The page as a module; its lines are those of the page."""
    lines: list[str] = []
    for block in blocks():
        if block.language == "python" and not block.is_checked:
            lines += [""] * (block.line - 1 - len(lines)) + block.code.splitlines()
    path = tmp_path / "writing_chains.py"
    path.write_text("\n".join(lines) + "\n")
    spec = importlib.util.spec_from_file_location("writing_chains", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with validation.scope():
        spec.loader.exec_module(module)
        yield module


def test_the_page_runs_without_a_finding(page: ModuleType) -> None:
    assert validation.collected() == ()
    tests = [value for name, value in vars(page).items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


def test_the_mistakes_are_told_as_the_page_says(tool: Any) -> None:
    found = list(blocks())
    (index,) = [i for i, block in enumerate(found) if block.is_checked]
    (tool.cwd / "chain.py").write_text(found[index].code)
    answer = tool("check", "chain.py")
    assert (answer.code, answer.out) == (1, found[index + 1].code)


def test_there_is_no_block_that_nobody_runs() -> None:
    found = list(blocks())
    assert PAGE.read_text("utf-8").count("```") == 2 * len(found)
    others = [i for i, block in enumerate(found) if block.language != "python"]
    assert [found[i - 1].is_checked for i in others] == [True]
