"""Which modules a file imports, and where it imports in ways that text can't tell.

Every import statement counts, wherever it stands: in functions, below `if TYPE_CHECKING`,
in `try`. So do `importlib.import_module("literal")`, `__import__("literal")` and imports in
`exec("literal")`.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from chains_analysis.parsing import parse
from chains_protocol.errors import DiagnosticsError

_DYNAMIC_MODULES: Final = frozenset({"runpy", "imp", "zipimport"})
_DYNAMIC_MEMBERS: Final = frozenset(
    {
        ("importlib", "util", "spec_from_file_location"),
        ("importlib", "util", "module_from_spec"),
        ("importlib", "util", "spec_from_loader"),
        ("importlib", "machinery"),
        ("importlib", "abc"),
        ("pkgutil", "iter_modules"),
        ("pkgutil", "walk_packages"),
        ("pkgutil", "resolve_name"),
        ("pkgutil", "extend_path"),
        ("site", "addsitedir"),
        ("sys", "meta_path"),
        ("sys", "path_hooks"),
    }
)
_PATH_CHANGES: Final = frozenset({"append", "insert", "extend", "remove", "pop", "clear", "reverse", "sort"})
_SPECIAL: Final = re.compile(
    rb"\b(importlib|pkgutil|sys|site|builtins|exec|eval|__import__|__path__|runpy|imp|zipimport)\b"
)
"""Without one of these words a file imports by import statements only."""
_EXECUTORS: Final = frozenset({"exec", "eval", "__import__"})


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module. `name` is what is taken from it: None for the module, "*" for all of it.

    `level` counts the dots of a relative import; `package` is the anchor a relative
    `import_module` was given as a literal, None for the file's own.
    """

    module: str
    name: str | None
    level: int
    line: int
    package: str | None = None


@dataclass(frozen=True, slots=True)
class Dynamic:
    """A line whose imports can't be known from text."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class ImportFacts:
    """What one file imports. `exports` is its literal `__all__`; `has_exports` that it has one at all."""

    imports: tuple[Import, ...]
    dynamic: tuple[Dynamic, ...]
    exports: tuple[str, ...] | None
    has_exports: bool


def import_facts(path: str, source: bytes) -> ImportFacts:
    """Read one file.

    Raises:
        DiagnosticsError: CH152 if it is not valid Python.
    """
    return facts_of(parse(path, source), source)


def facts_of(module: ast.Module, source: bytes) -> ImportFacts:
    """The same for a file that is parsed already."""
    reader = _Reader()
    if _SPECIAL.search(source):
        reader.collect_aliases(module)
        reader.visit(module)
    else:
        for statement in _statements(module.body):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                reader.visit(statement)
    values = list(_exports(module)) if b"__all__" in source else []
    literal = values[0] if len(values) == 1 and values[0] is not None else None
    return ImportFacts(tuple(reader.imports), tuple(reader.dynamic), literal, bool(values))


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.stmt]:
    """All statements at any depth, without a look into expressions."""
    for node in body:
        if isinstance(node, ast.stmt):
            yield node
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(node, block, ()))


def statement_imports(node: ast.Import | ast.ImportFrom) -> Iterator[Import]:
    """The imports of one statement."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, None, 0, node.lineno)
    else:
        for alias in node.names:
            yield Import(node.module or "", alias.name, node.level, node.lineno)


def absolute(imported: Import, module: str, is_package: bool) -> str | None:
    """The absolute name of the module that `imported` names inside `module`; None beyond the root."""
    if imported.level == 0:
        return imported.module
    anchor = imported.package if imported.package is not None else module
    parts = anchor.split(".")
    drop = imported.level - (1 if is_package or imported.package is not None else 0)
    if drop >= len(parts):
        return None
    base = parts[: len(parts) - drop]
    return ".".join([*base, *([imported.module] if imported.module else [])]) or None


def dotted(node: ast.expr) -> tuple[str, ...]:
    """`a.b.c` as its parts; empty if it is anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ()
    parts.append(node.id)
    return tuple(reversed(parts))


def _exports(module: ast.Module) -> Iterator[tuple[str, ...] | None]:
    """Every value `__all__` gets at the top level: its literal, or None if it is computed."""
    for node in ast.walk(module):
        targets: list[ast.expr] = []
        value: ast.expr | None = None
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            targets, value = [node.target], node.value if isinstance(node, ast.AnnAssign) else None
        if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            yield _string_list(value)


def _string_list(value: ast.expr | None) -> tuple[str, ...] | None:
    if not isinstance(value, ast.List | ast.Tuple):
        return None
    items = [e.value for e in value.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)]
    return tuple(items) if len(items) == len(value.elts) else None


class _Reader(ast.NodeVisitor):
    def __init__(self) -> None:
        self.imports: list[Import] = []
        self.dynamic: list[Dynamic] = []
        self.aliases: dict[str, tuple[str, ...]] = {}

    def collect_aliases(self, module: ast.Module) -> None:
        """Local names of the modules and functions through which imports can be made."""
        watched = {"importlib", "pkgutil", "sys", "site", "builtins"}
        for node in ast.walk(module):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    parts = tuple(alias.name.split("."))
                    if parts[0] in watched:
                        self.aliases[alias.asname or parts[0]] = parts if alias.asname else parts[:1]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                parts = tuple(node.module.split("."))
                if parts[0] in watched:
                    self.aliases.update({a.asname or a.name: (*parts, a.name) for a in node.names})

    def visit_Import(self, node: ast.Import) -> None:
        self._add_imports(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._add_imports(node)

    def _add_imports(self, node: ast.Import | ast.ImportFrom) -> None:
        for found in statement_imports(node):
            self.imports.append(found)
            if found.level == 0 and found.module.split(".")[0] in _DYNAMIC_MODULES:
                self._give_up(node, f"uses `{found.module}`")

    def visit_Call(self, node: ast.Call) -> None:
        target = self._meaning(node.func)
        if target in (("importlib", "import_module"), ("__import__",), ("importlib", "__import__")):
            self._dynamic_import(node, target[-1])
        elif target in (("exec",), ("eval",)):
            self._execution(node, target[0])
        elif len(target) == 3 and target[:2] == ("sys", "path") and target[2] in _PATH_CHANGES:
            self._give_up(node, "changes `sys.path`")
        else:
            self.visit(node.func)
        for child in (*node.args, *node.keywords):
            self.visit(child)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        target = self._meaning(node)
        if target == ("sys", "path") and isinstance(node.ctx, ast.Store):
            self._give_up(node, "changes `sys.path`")
        elif target == ("importlib", "import_module"):
            self._give_up(node, "hands on `importlib.import_module`")
        elif target in _DYNAMIC_MEMBERS or target[:2] in _DYNAMIC_MEMBERS:
            self._give_up(node, f"uses `{'.'.join(target)}`")
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        target = self._meaning(node)
        if node.id in _EXECUTORS and isinstance(node.ctx, ast.Load):
            self._give_up(node, f"hands on `{node.id}`")
        elif target == ("importlib", "import_module") or target in _DYNAMIC_MEMBERS:
            self._give_up(node, f"uses `{'.'.join(target)}`")
        elif node.id == "__path__" and isinstance(node.ctx, ast.Store):
            self._give_up(node, "changes `__path__`")

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self._meaning(node.value) == ("sys", "path") and not isinstance(node.ctx, ast.Load):
            self._give_up(node, "changes `sys.path`")
        self.generic_visit(node)

    def _meaning(self, node: ast.expr) -> tuple[str, ...]:
        parts = dotted(node)
        if not parts:
            return ()
        full = (*self.aliases.get(parts[0], parts[:1]), *parts[1:])
        return full[1:] if full[0] == "builtins" and len(full) > 1 else full

    def _dynamic_import(self, node: ast.Call, name: str) -> None:
        first = node.args[0] if node.args else None
        if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
            self._give_up(node, f"`{name}` with a computed name")
            return
        module = first.value.lstrip(".")
        level = len(first.value) - len(module)
        package = self._anchor(node) if level else None
        if level and package is None:
            self._give_up(node, f"`{name}` relative to a computed package")
            return
        self.imports.append(Import(module, None, level, node.lineno, package or None))

    @staticmethod
    def _anchor(node: ast.Call) -> str | None:
        """The package a relative `import_module` starts from: "" is the file's own, None unknown."""
        given = node.args[1] if len(node.args) > 1 else None
        given = next((k.value for k in node.keywords if k.arg == "package"), given)
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            return given.value
        return "" if isinstance(given, ast.Name) and given.id == "__package__" else None

    def _execution(self, node: ast.Call, name: str) -> None:
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            try:
                text = first.value.encode()
                inner = facts_of(parse("<string>", text), text)
            except DiagnosticsError:
                return  # it will raise when it runs; it imports nothing
            self.imports += [Import(i.module, i.name, i.level, node.lineno, i.package) for i in inner.imports]
            self.dynamic += [Dynamic(node.lineno, found.why) for found in inner.dynamic]
        else:
            self._give_up(node, f"`{name}` of computed text")

    def _give_up(self, node: ast.AST, why: str) -> None:
        self.dynamic.append(Dynamic(getattr(node, "lineno", 1), why))


__all__ = [
    "Dynamic",
    "Import",
    "ImportFacts",
    "absolute",
    "dotted",
    "facts_of",
    "import_facts",
    "statement_imports",
]
