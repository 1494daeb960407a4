"""A line of a file: which symbol it belongs to, and an edit there that stands for any."""

import ast

import pytest

from chains_analysis import SourceTree, spot_at

SOURCE = '''\
"""A module."""
import os, sys
from lib import (
    one,  # first
    two,
)
from star import *

LIMIT = 3
TEXT = """
# no comment
"""
MADE = make(
    LIMIT,
)
EMPTY = {}
OTHER = LIMIT
setup(LIMIT)


@cached(1)
def clean(text, mark="!"):
    """Strip.

    # no comment either
    """
    # a comment

    def inner():
        return text
    if text:
        return inner()
    else:
        return mark


class Net(
    Base
):
    """A net."""

    size: int
    name: str = "net"

    def apply(self, n): return n


if LIMIT:
    def late(): return 1

if __name__ == "__main__":
    print(clean("x"))
'''
TREE = SourceTree({"pkg/tools.py": SOURCE.encode()})


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(SOURCE.splitlines(), 1) if text in line)


SPOTS = [
    ("import os", "os, sys", "an import", "import os, sys; os = os; sys = sys"),
    ("one,", "one, two", "an import", "); one = one; two = two"),
    ("from star", "", "an import", "pass"),
    ("LIMIT = 3", "LIMIT", "a value", "LIMIT = 4"),
    ("# no comment", "TEXT", "a value", "TEXT = '\\n# no comment\\n~'"),
    ("MADE", "MADE", "a value", "LIMIT, **{},"),
    ("EMPTY", "EMPTY", "a value", "EMPTY = {None: None}"),
    ("OTHER", "OTHER", "a value", "OTHER = ((LIMIT) or (LIMIT))"),
    ("setup", "", "a statement", "setup(LIMIT, **{})"),
    ("@cached", "clean", "a function", "return mark; ..."),
    ("def clean", "clean", "a function", "mark='!~'"),
    ("return text", "clean", "a function", "return mark; ..."),
    ("class Net", "Net", "a class", "_edited = 1"),
    ("Base", "Net", "a class", "_edited = 1"),
    ("size", "Net.size", "a value", "size: 'int'"),
    ("name: str", "Net.name", "a value", "name: str = 'net~'"),
    ("def apply", "Net.apply", "a method", "return n; ..."),
    ("def late", "late", "a statement", "return 1; ..."),
    ("print", "", "a statement", 'print(clean("x")); ...'),
]


@pytest.mark.parametrize(("at", "name", "what", "edit"), SPOTS, ids=[s[0] for s in SPOTS])
def test_the_symbol_at_a_line_and_an_edit_of_it(at: str, name: str, what: str, edit: str) -> None:
    spot = spot_at(TREE, "pkg/tools.py", line_of(at))
    assert (spot.symbol, spot.what) == (f"pkg.tools.{name}" if name else "", what)
    assert spot.line <= line_of(at) <= spot.end_line
    assert spot.edited is not None
    parsed = ast.parse(spot.edited)
    assert ast.dump(parsed) != ast.dump(ast.parse(SOURCE))
    shown = spot.edited.decode() + ast.unparse(parsed)
    assert edit in shown


@pytest.mark.parametrize(
    ("at", "what", "symbol"),
    [
        ('"""A module', "a docstring", ""),
        ("    # a comment", "a blank line or a comment", ""),
        ("    # no comment either", "a docstring", "pkg.tools.clean"),
        ('"""A net', "a docstring", "pkg.tools.Net"),
    ],
)
def test_a_line_without_code(at: str, what: str, symbol: str) -> None:
    spot = spot_at(TREE, "pkg/tools.py", line_of(at))
    assert (spot.what, spot.symbol, spot.edited) == (what, symbol, None)


def test_every_line_has_an_edit_that_is_valid_or_none() -> None:
    for line in range(1, len(SOURCE.splitlines()) + 1):
        edited = spot_at(TREE, "pkg/tools.py", line).edited
        if edited is not None:
            ast.parse(edited)
            assert edited != SOURCE.encode()
