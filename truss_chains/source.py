"""Where definitions are in their source files: class, method, parameter -> `Location`.

Sources come from `linecache`, so notebooks and generations of code that register their text
there are found too. What can't be found falls back to the next larger thing.
"""

import ast
import inspect
import linecache
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from chains_protocol.errors import Location
from truss_chains.chainlet import declaration_of, is_chainlet_class

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Method = Callable[..., Any]  # user methods take and return anything


class SourceFile:
    """One file, parsed at the first question; one that does not parse (any more) has lines, but no nodes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lines = linecache.getlines(path)

    @cached_property
    def _definitions(self) -> tuple[ast.ClassDef | FunctionNode, ...]:
        return tuple(_definitions(_parsed("".join(self.lines))))

    @cached_property
    def _classes(self) -> Mapping[str, list[ast.ClassDef]]:
        found: dict[str, list[ast.ClassDef]] = {}
        for node in self._definitions:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(node)
        return found

    @cached_property
    def _functions(self) -> Mapping[int, FunctionNode]:
        found: dict[int, FunctionNode] = {}
        for node in self._definitions:
            if isinstance(node, FunctionNode):
                found.setdefault(first_line(node), node)
        return found

    def class_node(self, name: str, line: int) -> ast.ClassDef | None:
        """The class statement of that name at `line`, else the last one of that name."""
        nodes = self._classes.get(name, [])
        at_line = [n for n in nodes if _covers(n, line)]
        return at_line[-1] if at_line else nodes[-1] if nodes else None

    def function_node(self, name: str, line: int) -> FunctionNode | None:
        """The function of that name whose first line, decorators included, is `line`."""
        node = self._functions.get(line)
        return node if node and node.name == name else None

    def enclosing(self, class_name: str, method: str | None, line: int) -> int | None:
        """First line of the class around `line`, or of its method; decorators included."""
        node: ast.ClassDef | FunctionNode | None = self.class_node(class_name, line)
        if node is None or not _covers(node, line):
            return None
        if method:
            inside = [n for n in node.body if isinstance(n, FunctionNode) and n.name == method]
            node = next((n for n in inside if _covers(n, line)), node)
        return first_line(node)

    def location(self, line: int, column_offset: int | None = None) -> Location:
        """A place in this file; `column_offset` is a byte offset as in `ast`."""
        text = self.lines[line - 1].rstrip() if 0 < line <= len(self.lines) else None
        column = None
        if column_offset is not None and text is not None:
            column = len(text.encode()[:column_offset].decode(errors="replace")) + 1
        return Location(path=self.path, line=line, column=column, source_line=text)


class Sources:
    """Reads each file once."""

    def __init__(self) -> None:
        self._files: dict[str, SourceFile] = {}

    def file(self, path: str) -> SourceFile:
        if path not in self._files:
            self._files[path] = SourceFile(path)
        return self._files[path]

    def of_class(self, cls: type) -> Location:
        """The first line of the class statement, decorators included (E-03)."""
        declaration = declaration_of(cls)
        file = self.file(declaration.path)
        node = file.class_node(cls.__name__, declaration.line)
        if node is None:
            return file.location(declaration.line)
        return file.location(first_line(node), node.col_offset)

    def of_class_variable(self, cls: type, name: str) -> Location:
        """The assignment of a class variable, in the class or the Chainlet it is inherited from."""
        for owner in cls.__mro__:
            if name in vars(owner) and is_chainlet_class(owner):
                declaration = declaration_of(owner)
                file = self.file(declaration.path)
                node = file.class_node(owner.__name__, declaration.line)
                for statement in node.body if node else ():
                    if name in _assigned_names(statement):
                        return file.location(statement.lineno, statement.col_offset)
        return self.of_class(cls)

    def of_method(self, cls: type, function: Method | None) -> Location:
        """The first line of a method, decorators included (E-03); the class if it is no function."""
        found = self._function(function)
        if found is None:
            return self.of_class(cls)
        file, node = found
        return file.location(first_line(node), node.col_offset)

    def of_parameter(self, cls: type, function: Method | None, name: str) -> Location:
        """The parameter itself."""
        found = self._function(function)
        if found is None:  # written by a decorator: a dataclass has class variables for parameters
            return self.of_class_variable(cls, name)
        argument = _argument(found[1], name)
        if argument is None:
            return self.of_method(cls, function)
        return found[0].location(argument.lineno, argument.col_offset)

    def of_return(self, cls: type, function: Method | None) -> Location:
        """The return annotation, else the method."""
        found = self._function(function)
        if found is None or found[1].returns is None:
            return self.of_method(cls, function)
        returns = found[1].returns
        return found[0].location(returns.lineno, returns.col_offset)

    def annotation_text(self, function: Method, name: str) -> str | None:
        """A parameter's annotation as it is written; `return` names the return annotation."""
        found = self._function(function)
        if found is None:
            return None
        argument = _argument(found[1], name)
        annotation = found[1].returns if name == "return" else argument.annotation if argument else None
        return None if annotation is None else _written(annotation)

    def _function(self, function: Method | None) -> tuple[SourceFile, FunctionNode] | None:
        code = getattr(inspect.unwrap(function), "__code__", None) if function else None
        if code is None:
            return None
        file = self.file(code.co_filename)
        node = file.function_node(code.co_name, code.co_firstlineno)
        return (file, node) if node else None


def first_line(node: ast.ClassDef | FunctionNode) -> int:
    """The line where a definition starts, decorators included."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _covers(node: ast.ClassDef | FunctionNode, line: int) -> bool:
    return first_line(node) <= line <= (node.end_lineno or node.lineno)


def _parsed(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError):  # edited since it was loaded
        return []


def _definitions(body: Iterable[ast.AST]) -> Iterator[ast.ClassDef | FunctionNode]:
    """All definitions at any depth, the outer ones first; expressions hold none and are not looked at."""
    waiting = deque(body)
    while waiting:
        node = waiting.popleft()
        if isinstance(node, ast.ClassDef | FunctionNode):
            yield node
        for block in ("body", "orelse", "handlers", "finalbody", "cases"):
            found = getattr(node, block, ())
            waiting.extend(found if isinstance(found, list) else ())


def _assigned_names(statement: ast.stmt) -> list[str]:
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _argument(node: FunctionNode, name: str) -> ast.arg | None:
    a = node.args
    extra = [x for x in (a.vararg, a.kwarg) if x is not None]
    return next((x for x in (*a.posonlyargs, *a.args, *a.kwonlyargs, *extra) if x.arg == name), None)


def _written(annotation: ast.expr) -> str:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value
    return ast.unparse(annotation)


__all__ = ["SourceFile", "Sources", "first_line"]
