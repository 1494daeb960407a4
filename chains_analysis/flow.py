"""Where the values of a function's local names go: into attributes of the instance, to a base, elsewhere."""

import ast
from collections.abc import Iterable, Iterator

Place = int | str
"""An argument of a call: its position, or its keyword."""


class Flow:
    """Follows the local names of a function: where does what they hold go?

    Args:
        own: the instance's parameter.
        local: the function's names.
        first_line: of the class statement.
    """

    def __init__(self, own: str, local: set[str], first_line: int) -> None:
        self._own = own
        self._local = local
        self._first_line = first_line
        self._doubts: dict[str, int] = {}
        self._kept: dict[str, set[str]] = {}
        self._passed: dict[str, set[Place]] = {}
        self._aliases: dict[str, set[str]] = {}

    def fate(self, name: str) -> tuple[frozenset[str], frozenset[Place], int | None]:
        """Of what a parameter holds: attributes it is kept in, places it is passed to, and a doubt."""
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            current = waiting.pop()
            if current not in seen:
                seen.add(current)
                waiting += self._aliases.get(current, ())
        kept = frozenset(k for n in seen for k in self._kept.get(n, ()))
        passed = frozenset(p for n in seen for p in self._passed.get(n, ()))
        doubts = (self._doubts[n] for n in sorted(seen) if n in self._doubts)
        return kept, passed, next(doubts, None)

    def statements(self, nodes: Iterable[ast.AST]) -> None:
        """Follow what these statements do."""
        for node in nodes:
            self._statement(node)

    def _statement(self, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._bind(target, value)
            case ast.AnnAssign(target=target, value=value):  # its annotation is never evaluated here
                if value is not None:
                    self._bind(target, value)
            case ast.Expr(value=ast.Call() as call) if _is_super_init(call):
                self._pass_on(call)
            case ast.expr():
                self._read(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._read(node)  # may run at any time
            case _:
                self.statements(ast.iter_child_nodes(node))

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        """`target = value`"""
        if isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
            plain = not any(isinstance(n, ast.Starred) for n in (*target.elts, *value.elts))
            if plain and len(target.elts) == len(value.elts):
                for one, part in zip(target.elts, value.elts, strict=True):
                    self._bind(one, part)
                return
        if isinstance(target, ast.Name) and target.id in self._local:
            into, name = self._aliases, target.id
        elif _is_attribute_of(target, self._own) and isinstance(target, ast.Attribute):
            into, name = self._kept, target.attr
        else:
            self._read(target)
            self._read(value)
            return
        for held in self._held(value):
            into.setdefault(held, set()).add(name)

    def _held(self, value: ast.expr) -> Iterator[str]:
        """Names whose objects a value is, or holds as a part; any other use in it is a doubt."""
        match value:
            case ast.Name(id=name):
                yield name
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                for part in parts:
                    yield from self._held(part)
            case ast.Dict(keys=keys, values=values):
                for key, part in zip(keys, values, strict=True):
                    if key is not None:
                        self._read(key)
                        yield from self._held(part)
                    else:
                        self._read(part)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self._read(test)
                yield from self._held(body)
                yield from self._held(orelse)
            case _:
                self._read(value)

    def _pass_on(self, call: ast.Call) -> None:
        for position, argument in enumerate(call.args):
            if isinstance(argument, ast.Starred) or any(isinstance(a, ast.Starred) for a in call.args):
                self._read(argument)
                continue
            for held in self._held(argument):
                self._passed.setdefault(held, set()).add(position)
        for keyword in call.keywords:
            if keyword.arg is None:
                self._read(keyword.value)
                continue
            for held in self._held(keyword.value):
                self._passed.setdefault(held, set()).add(keyword.arg)

    def _read(self, node: ast.AST) -> None:
        """Any other use: whatever is named here may be called."""
        if isinstance(node, ast.Compare) and _asks_for_none(node):
            return
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                self._doubts.setdefault(node.id, node.lineno - self._first_line)
            return
        for child in ast.iter_child_nodes(node):
            self._read(child)


def _is_attribute_of(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name


def _is_super_init(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(value=ast.Call(func=ast.Name(id="super"), args=[]), attr="__init__"):
            return True
    return False


def _asks_for_none(node: ast.Compare) -> bool:
    """`x is None`, `x is not None`."""
    match node:
        case ast.Compare(left=ast.Name(), ops=[ast.Is() | ast.IsNot()], comparators=[right]):
            return isinstance(right, ast.Constant) and right.value is None
    return False


__all__ = ["Flow", "Place"]
