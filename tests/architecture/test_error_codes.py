"""Every error code is reported by some code of ours, and provoked by a test that names it."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from chains_protocol.errors import Code

ROOT = Path(__file__).resolve().parents[2]
LISTINGS = frozenset(
    {ROOT / "tests" / "unit" / "chains_cli" / "test_error_pages.py", Path(__file__).resolve()}
)
"""Tests that go over all codes, whatever they are."""
EXPECTED = frozenset({".py", ".txt", ".json", ".jsonl", ".sarif"})
"""Tests and the whole outputs they compare."""

_NAMED = re.compile(r"\bCode\.(?P<name>[A-Z_]+)\b|\b(?P<value>CH\d{3})\b")


def codes_in(text: str) -> Iterator[str]:
    """The codes that a text names, `Code.BAD_INPUT` or `CH129`, by value."""
    for match in _NAMED.finditer(text):
        name = match["name"]
        if name is None:
            yield match["value"]
        elif name in Code.__members__:
            yield Code[name].value


def named_in(files: Iterable[Path]) -> set[str]:
    return {code for path in files for code in codes_in(path.read_text("utf-8"))}


def below(folder: str, endings: frozenset[str]) -> Iterator[Path]:
    return (p for p in sorted((ROOT / folder).rglob("*")) if p.suffix in endings and p.is_file())


def missing(named: set[str]) -> list[str]:
    return [f"{code.value} {code.name}" for code in Code if code.value not in named]


def test_codes_are_read_in_both_forms():
    assert list(codes_in("Code.BAD_INPUT, CH302; Code.NO_SUCH_ONE, CH12, XCH302")) == ["CH129", "CH302"]


def test_each_code_has_a_test_that_names_it():
    assert missing(named_in(p for p in below("tests", EXPECTED) if p not in LISTINGS)) == []


def test_each_code_is_reported_somewhere():
    """Neither the table nor the exit statuses report one."""
    tables = (ROOT / "chains_protocol" / "errors.py", ROOT / "chains_cli" / "exits.py")
    sources = [p for part in (*ROOT.glob("chains_*"), ROOT / "truss_chains") for p in part.rglob("*.py")]
    text = "\n".join(p.read_text("utf-8") for p in sources if p not in tables)
    reported = {Code[name].value for name in re.findall(r"\bCode\.([A-Z_]+)\b", text)}
    assert missing(reported) == []
