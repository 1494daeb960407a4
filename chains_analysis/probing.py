"""A line of a file -> the symbol it belongs to, and a small edit of it, to ask what such an edit needs.

The edit stands for any: it changes what the symbol is, and nothing else. It stays on its line,
so that places in a verdict are those of the file as it is.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chains_analysis.fingerprints import first_line, is_text
from chains_analysis.parsing import parse
from chains_analysis.scopes import FunctionNode, bound_names
from chains_analysis.tree import SourceTree, module_name
from chains_protocol.errors import DiagnosticsError


@dataclass(frozen=True, slots=True)
class Spot:
    """What stands at a line. `symbol` is "module.name" or "module.Class.member"; empty if no code does.

    `what` says what the line is; `line` and `end_line` are those of the symbol. `edited` is the
    file after the edit, None if no edit there can matter.
    """

    symbol: str
    what: str
    line: int
    end_line: int
    edited: bytes | None


def spot_at(tree: SourceTree, path: str, line: int) -> Spot:
    """What stands at a line of a Python file of the tree.

    Raises:
        DiagnosticsError: CH152 if the file is not valid Python.
    """
    source = tree.files[path]
    module = parse(path, source)
    owner = module_name(path) or path
    statement = _around(module.body, line)
    if statement is None or _is_no_code(statement, source, line):
        return Spot("", "a blank line or a comment", line, line, None)
    if is_text(statement):
        return Spot("", "a docstring", statement.lineno, statement.end_lineno or line, None)
    names, node = _name_of(statement), statement
    if isinstance(statement, ast.ClassDef):
        member = _around(statement.body, line)
        if member is not None and not is_text(member):
            names, node = f"{names}.{_name_of(member)}" if _name_of(member) else names, member
    symbol = f"{owner}.{names}" if names else ""
    place = first_line(node), node.end_lineno or line
    if is_text(_innermost(node, line)):
        return Spot(symbol, "a docstring", *place, None)
    return Spot(symbol, _what(node, node is not statement), *place, _Editor(source, line).edit(node))


def line_count(source: bytes) -> int:
    """Lines of a file, as editors count them."""
    return len(source.splitlines())


def _around(body: list[ast.stmt], line: int) -> ast.stmt | None:
    return next((n for n in body if first_line(n) <= line <= (n.end_lineno or n.lineno)), None)


def _innermost(node: ast.stmt, line: int) -> ast.stmt:
    while True:
        inner = [n for n in ast.walk(node) if isinstance(n, ast.stmt) and n is not node]
        found = [n for n in inner if first_line(n) <= line <= (n.end_lineno or n.lineno)]
        if not found:
            return node
        node = found[0]


def _is_no_code(statement: ast.stmt, source: bytes, line: int) -> bool:
    """A comment or blank line inside a statement, and not inside a text of several lines."""
    text = source.splitlines()[line - 1].strip()
    if text and not text.startswith(b"#"):
        return False
    texts = (n for n in ast.walk(statement) if isinstance(n, ast.Constant | ast.JoinedStr))
    return not any(n.lineno <= line <= (n.end_lineno or n.lineno) and n.end_lineno != n.lineno for n in texts)


def _name_of(node: ast.stmt) -> str:
    if isinstance(node, FunctionNode | ast.ClassDef):
        return node.name
    return ", ".join(sorted(bound_names([node])))


def _what(node: ast.stmt, is_member: bool) -> str:
    if isinstance(node, FunctionNode):
        return "a method" if is_member else "a function"
    if isinstance(node, ast.ClassDef):
        return "a class"
    if isinstance(node, ast.Import | ast.ImportFrom):
        return "an import"
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return "a value"
    return "a statement"


class _Editor:
    """Edits the bytes of one file at or near one line."""

    def __init__(self, source: bytes, line: int) -> None:
        self._lines = source.splitlines(keepends=True)
        self._line = line

    def edit(self, node: ast.stmt) -> bytes:
        """The file with `node` changed."""
        for candidate in self._candidates(node):
            if _is_valid(candidate):
                return candidate
        return self._replace(node, b"pass")

    def _candidates(self, node: ast.stmt) -> Iterator[bytes]:
        """Ways to change it, the best first; some may not be valid Python."""
        if isinstance(node, FunctionNode):
            for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)):
                if default.lineno <= self._line <= (default.end_lineno or default.lineno):
                    yield from self._expressions(default)
            yield self._after(_last_simple(node), b"; ...")
        elif isinstance(node, ast.ClassDef):
            indent = b" " * node.body[0].col_offset
            yield self._after(node, b"\n" + indent + b"_edited = 1")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = sorted(bound_names([node]))
            if names:
                yield self._after(node, "".join(f"; {name} = {name}" for name in names).encode())
        elif isinstance(value := getattr(node, "value", None), ast.expr):
            yield from self._expressions(value)
        elif isinstance(node, ast.AnnAssign):
            yield self._replace(node.annotation, repr(ast.unparse(node.annotation)).encode())
        elif (last := _last_simple(node)) is not node:
            yield self._after(last, b"; ...")

    def _expressions(self, node: ast.expr) -> Iterator[bytes]:
        """Another value of the same kind, as far as that can be."""
        if isinstance(node, ast.Call):
            given: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
            if given:
                last = max(given, key=lambda part: (part.end_lineno or 0, part.end_col_offset or 0))
                yield self._insert(last, last.end_col_offset or 0, b", **{}")
            else:
                yield self._insert(node, (node.end_col_offset or 1) - 1, b"**{}")
        for part in _constants(node):
            yield self._replace(part, repr(_another(part.value)).encode())
        if isinstance(node, ast.List) and not node.elts:
            yield self._replace(node, b"[None]")
        if isinstance(node, ast.Dict) and not node.keys:
            yield self._replace(node, b"{None: None}")
        segment = self._text(node)
        yield self._replace(node, b"((%s) or (%s))" % (segment, segment))

    # -- bytes; columns count bytes as in the syntax tree

    def _text(self, node: ast.expr) -> bytes:
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        if first == last:
            return self._lines[first][node.col_offset : node.end_col_offset]
        middle = b"".join(self._lines[first + 1 : last])
        return self._lines[first][node.col_offset :] + middle + self._lines[last][: node.end_col_offset]

    def _replace(self, node: ast.expr | ast.stmt, text: bytes) -> bytes:
        """With a node's text replaced; its line breaks stay, so that no other line moves."""
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        start, end = node.col_offset, node.end_col_offset
        breaks = b"" if first == last else b"\\\n" * (last - first)
        before, after = self._lines[first][:start], self._lines[last][end:]
        return b"".join([*self._lines[:first], before, text, breaks, after, *self._lines[last + 1 :]])

    def _after(self, node: ast.stmt, text: bytes) -> bytes:
        return self._insert(node, node.end_col_offset or 0, text)

    def _insert(self, node: ast.expr | ast.stmt | ast.keyword, column: int, text: bytes) -> bytes:
        at = (node.end_lineno or node.lineno) - 1
        line = self._lines[at]
        return b"".join([*self._lines[:at], line[:column], text, line[column:], *self._lines[at + 1 :]])


def _is_valid(source: bytes) -> bool:
    try:
        parse("edited", source)
    except DiagnosticsError:
        return False
    return True


def _last_simple(node: ast.stmt) -> ast.stmt:
    """The last statement inside that has no block of its own."""
    while True:
        inner = [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)]
        blocks = [n for b in ("handlers", "cases") for item in getattr(node, b, ()) for n in item.body]
        inner = [*inner, *blocks]
        if not inner:
            return node
        node = max(inner, key=lambda n: (n.end_lineno or 0, n.end_col_offset or 0))


def _constants(node: ast.expr) -> Iterator[ast.Constant]:
    """Numbers and texts that can be exchanged where they stand."""
    inside = {id(p) for n in ast.walk(node) if isinstance(n, ast.JoinedStr) for p in ast.walk(n)}
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and type(part.value) in _ANOTHER and id(part) not in inside:
            yield part


def _another(value: object) -> object:
    return _ANOTHER[type(value)](value)


_ANOTHER: dict[type, Callable[..., object]] = {
    int: lambda value: value + 1,
    float: lambda value: value + 1,
    bool: lambda value: not value,
    str: lambda value: f"{value}~",
    bytes: lambda value: value + b"~",
}

__all__ = ["Spot", "line_count", "spot_at"]
