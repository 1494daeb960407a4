"""`docs/rules.md` and the tests name the same rules."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "rules.md"
FAMILIES = "VEILRSXWNG"

_ROW = re.compile(rf"^\| (?P<rule>(?:[{FAMILIES}]-\d\d)|(?:WP-\d\d)) \| (?P<text>[^|]|\\\|)+", re.MULTILINE)
_HEADING = re.compile(r"^## (?P<family>[A-Z]):", re.MULTILINE)
_WRITTEN = re.compile(
    rf"\b(?P<family>[{FAMILIES}])-(?P<first>\d\d)\b(?:\s*(?:to|\.\.)\s*(?:(?P=family)-)?(?P<last>\d\d)\b)?"
)
_IN_NAME = re.compile(r"(?:def|class) (?P<name>test_\w+|Test\w+)")
_NUMBER_IN_NAME = re.compile(rf"(?:^|_)(?P<family>[{FAMILIES.lower()}])_?(?P<number>\d\d)(?=_|$)")


def rules_in(text: str) -> Iterator[str]:
    """The rules that a test file names: `V-32`, `X-03 to X-05`, and `v32` or `v_32` in a test's name."""
    for match in _WRITTEN.finditer(text):
        first = int(match["first"])
        for number in range(first, int(match["last"] or first) + 1):
            yield f"{match['family']}-{number:02}"
    for match in _IN_NAME.finditer(text):
        for part in _NUMBER_IN_NAME.finditer(match["name"]):
            yield f"{part['family'].upper()}-{part['number']}"


def table() -> list[str]:
    """The rules of the table, in its order."""
    return [match["rule"] for match in _ROW.finditer(TABLE.read_text("utf-8"))]


def named_by_tests() -> dict[str, str]:
    """Each rule that a test names, with one file that does."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path != Path(__file__):
            for rule in rules_in(path.read_text("utf-8")):
                found.setdefault(rule, path.relative_to(ROOT).as_posix())
    return found


def test_each_rule_stands_in_the_table_once_in_the_section_of_its_family():
    rules = table()
    assert len(rules) > 200
    assert sorted(rules) == sorted(set(rules))
    text = TABLE.read_text("utf-8")
    sections = [(match.start(), match["family"]) for match in _HEADING.finditer(text)]
    assert [family for _, family in sections] == list(FAMILIES)
    for match in _ROW.finditer(text):
        if not match["rule"].startswith("WP"):
            assert match["rule"][0] == [family for at, family in sections if at < match.start()][-1]


def test_each_rule_of_the_table_has_a_test():
    named = named_by_tests()
    assert [rule for rule in table() if not rule.startswith("WP") and rule not in named] == []


def test_no_test_names_a_rule_that_the_table_does_not_have():
    known = set(table())
    assert {rule: path for rule, path in named_by_tests().items() if rule not in known} == {}


def test_how_rules_are_read_from_a_file():
    text = '''
def test_v32_and_i_09_hold(): ...
def test_utf8_x1000_stays(): ...
"""R-40, X-03 to X-05."""  # G-10 to 12, and never V-100
'''
    expected = {"V-32", "I-09", "R-40", "X-03", "X-04", "X-05", "G-10", "G-11", "G-12"}
    assert set(rules_in(text)) == expected
