"""One file -> its top-level statements: what each binds, is and uses, and its fingerprint.

Fingerprints ignore comments, docstrings, formatting and position. A docstring counts where
something may read it: below a decorator or base class that is not known to leave it alone.
"""

import ast
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass, replace

from chains_analysis.imports import ImportFacts, absolute, dotted, facts_of, statement_imports
from chains_analysis.inert import (
    Kind,
    Mutability,
    is_container,
    is_inert_class,
    is_inert_decorator,
    is_inert_expression,
    is_inert_function,
    is_type_checking,
    kind_of,
    mutability_of,
    mutation_root,
    reads_no_docstring,
)
from chains_analysis.nodes import STATEMENT, SYMBOL, Key
from chains_analysis.parsing import parse
from chains_analysis.references import UseReader, own_parameter
from chains_analysis.scopes import FunctionNode, bound_names, same_scope
from chains_analysis.tree import module_name
from chains_analysis.uses import Opaque, Surroundings, Uses, merge


@dataclass(frozen=True, slots=True)
class ImportBinding:
    """A name that an import binds: to `module`, or to its attribute `attribute` ("*": to all of them).

    `loads` is the module whose import is asked for; `import a.b` binds `a` and loads `a.b`.
    """

    name: str
    module: str
    attribute: str | None
    loads: str


@dataclass(frozen=True, slots=True)
class Member:
    """One statement of a class body. `line` counts from the class statement's first line, which is 0."""

    name: str
    kind: Kind
    line: int
    fingerprint: str
    head_fingerprint: str
    docs: str
    head: Uses
    body: Uses
    is_plain: bool = False
    """A method without decorators, whose body is not run when the class is made or used as a type."""
    is_fixed: bool = False
    """A value that nothing changes in place."""
    changes_class: bool = False
    """A method that stores into its class."""


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """A class statement in parts. `bases` are dotted names; an empty one is a computed base."""

    head_fingerprint: str
    head: Uses
    bases: tuple[tuple[str, ...], ...]
    members: tuple[Member, ...]
    has_unknown_decorator: bool

    def named(self, name: str) -> tuple[Member, ...]:
        """The members of that name; several for a property or overloads."""
        return tuple(m for m in self.members if m.name == name)


@dataclass(frozen=True, slots=True)
class StatementFacts:
    """All about one top-level statement but its position.

    `load_fingerprint` covers what is executed when the module is loaded: not the bodies
    of functions and plain methods. `docs` covers the docstrings that `fingerprint` leaves out.
    """

    kind: Kind
    names: tuple[str, ...]
    fingerprint: str
    load_fingerprint: str
    docs: str
    uses: Uses
    imports: tuple[ImportBinding, ...]
    is_inert: bool
    mutability: Mutability
    is_container: bool
    mutates: tuple[str, bool] | None
    is_for_typing: bool
    is_plain_function: bool
    """A function without decorators."""
    declared_global: tuple[str, ...]
    class_facts: ClassFacts | None = None

    @property
    def is_importing(self) -> bool:
        """Whether executing it imports modules."""
        return (bool(self.imports) and not self.is_for_typing) or any(r.is_module for r in self.uses.load)


@dataclass(frozen=True, slots=True)
class Statement:
    """A top-level statement: its place in `ast.parse(source).body`, its lines, its facts.

    `keys` are the nodes that stand for it: the names it binds, or itself if it binds none.
    """

    index: int
    line: int
    end_line: int
    kind: Kind
    facts: StatementFacts
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class ModuleFacts:
    """One file, read.

    `bindings` maps each top-level name to the statements that bind it, in order, `nameless`
    the other statements' node names to them. `importing` are the statements that import
    something when they are executed, `lazy` the modules imported when code is called.
    """

    module: str
    path: str
    statements: tuple[Statement, ...]
    bindings: dict[str, tuple[int, ...]]
    stars: tuple[str, ...]
    declared_global: frozenset[str]
    imports: ImportFacts
    nameless: dict[str, Statement]
    importing: tuple[Statement, ...]
    lazy: tuple[str, ...]

    def binders(self, name: str) -> tuple[Statement, ...]:
        return tuple(self.statements[i] for i in self.bindings.get(name, ()))


StatementCache = MutableMapping[object, StatementFacts]


def module_facts(path: str, source: bytes, cache: StatementCache | None = None) -> ModuleFacts:
    """Read one file; statements whose text was read before come from `cache`.

    Raises:
        DiagnosticsError: CH152 if it is not valid Python.
    """
    parsed = parse(path, source, thorough=True)
    imports = facts_of(parsed, source)
    module = module_name(path) or path
    where = Surroundings(module, path.endswith("__init__.py"), _has_lazy_annotations(parsed))
    lines = source.splitlines()
    statements = []
    seen: Counter[str] = Counter()

    def nameless(facts: StatementFacts) -> tuple[Key, ...]:
        """A node that keeps its name when the statement moves."""
        seen[facts.fingerprint] += 1
        return (Key(STATEMENT, module, f"{facts.fingerprint}.{seen[facts.fingerprint]}"),)

    for index, node in enumerate(parsed.body):
        first, last = _first_line(node), node.end_lineno or node.lineno
        dynamic = tuple(Opaque(d.line - first, d.why) for d in imports.dynamic if first <= d.line <= last)
        key = (
            where,
            tuple(lines[first - 1 : last]),
            node.col_offset,
            node.end_col_offset,
            dynamic,
            index == 0,
        )
        facts = cache.get(key) if cache is not None else None
        if facts is None:
            facts = _statement_facts(node, where, dynamic, is_first=index == 0)
            if cache is not None:
                cache[key] = facts
        keys = tuple(Key(SYMBOL, module, name) for name in facts.names)
        statements.append(Statement(index, first, last, facts.kind, facts, keys or nameless(facts)))
    return _assemble(module, path, statements, imports)


def _assemble(module: str, path: str, statements: list[Statement], imports: ImportFacts) -> ModuleFacts:
    bindings: dict[str, list[int]] = {}
    for statement in statements:
        for name in statement.facts.names:
            bindings.setdefault(name, []).append(statement.index)
    settled = tuple(_with_mutation(s, statements, bindings) for s in statements)
    return ModuleFacts(
        module,
        path,
        settled,
        {name: tuple(found) for name, found in bindings.items()},
        tuple(i.module for s in statements for i in s.facts.imports if i.attribute == "*"),
        frozenset(name for s in statements for name in s.facts.declared_global),
        imports,
        {s.keys[0].name: s for s in settled if not s.facts.names},
        tuple(s for s in settled if s.facts.is_importing),
        tuple(sorted({name for s in settled for name in s.facts.uses.lazy})),
    )


def _with_mutation(
    statement: Statement, statements: list[Statement], bindings: dict[str, list[int]]
) -> Statement:
    """Recognise an effect that only changes what the same module binds."""
    facts = statement.facts
    if facts.kind is not Kind.EFFECT or facts.mutates is None or facts.uses.starts_on_load:
        return statement
    root, needs_container = facts.mutates
    binders = [statements[i].facts for i in bindings.get(root, ())]
    if needs_container:
        known = bool(binders) and all(b.is_container for b in binders)
    else:
        known = bool(binders) and all(b.kind in (Kind.VALUE, Kind.CLASS, Kind.FUNCTION) for b in binders)
    return replace(statement, kind=Kind.MUTATION) if known else statement


def _statement_facts(
    node: ast.stmt, where: Surroundings, dynamic: tuple[Opaque, ...], is_first: bool
) -> StatementFacts:
    docs = _strip_own_docstring(node) if isinstance(node, ast.ClassDef) else strip_docstrings(node)
    kind = Kind.NOTHING if is_first and _is_text(node) else kind_of(node)
    names = tuple(sorted(bound_names([node]))) if kind is not Kind.NOTHING else ()
    class_facts = _class_facts(node, where, dynamic) if isinstance(node, ast.ClassDef) else None
    docs += [m.docs for m in class_facts.members] if class_facts else []
    fingerprint = _class_fingerprint(class_facts) if class_facts else _fingerprint(node)
    salt = "lazy annotations" if where.has_lazy_annotations else ""
    uses = merge([_uses(node, where, class_facts), Uses(opaque=dynamic)])
    value = getattr(node, "value", None) if kind is Kind.VALUE else None
    is_fixed = kind is Kind.VALUE and isinstance(value, ast.expr) and not isinstance(node, ast.AugAssign)
    return StatementFacts(
        kind,
        names,
        _hash(fingerprint, salt),
        _hash(_load_fingerprint(node, class_facts, fingerprint), salt),
        _hash(*docs),
        uses if kind is not Kind.NOTHING else Uses(),
        tuple(_import_bindings(node, where)) if kind is not Kind.NOTHING else (),
        _is_inert(node, kind),
        mutability_of(value) if is_fixed and value is not None else Mutability.ANY,
        is_container(value),
        mutation_root(node) if kind is Kind.EFFECT else None,
        isinstance(node, ast.If) and is_type_checking(node.test),
        isinstance(node, FunctionNode) and not node.decorator_list,
        tuple(sorted({name for n in ast.walk(node) if isinstance(n, ast.Global) for name in n.names})),
        class_facts,
    )


def _uses(node: ast.stmt, where: Surroundings, class_facts: ClassFacts | None) -> Uses:
    if class_facts is not None:
        return merge([class_facts.head, *(part for m in class_facts.members for part in (m.head, m.body))])
    reader = UseReader(where, _first_line(node))
    reader.statement(node)
    return reader.uses()


def _class_facts(node: ast.ClassDef, where: Surroundings, dynamic: tuple[Opaque, ...]) -> ClassFacts:
    first = _first_line(node)
    head = UseReader(where, first)
    head.class_head(node)
    within = _ClassBody(where, first, bound_names(node.body), dynamic)
    bases = tuple(_base_name(b) for b in node.bases)
    members = [m for position, n in enumerate(node.body) for m in _members(n, position, within)]
    outline = [*node.bases, *node.keywords, *node.decorator_list]
    return ClassFacts(
        _hash(node.name, *map(_fingerprint, outline)),
        head.uses(),
        bases,
        tuple(members),
        not all(map(is_inert_decorator, node.decorator_list)),
    )


def _base_name(node: ast.expr) -> tuple[str, ...]:
    return dotted(node.value if isinstance(node, ast.Subscript) else node)


@dataclass(frozen=True, slots=True)
class _ClassBody:
    """What the statements of one class body have in common."""

    where: Surroundings
    first_line: int
    names: set[str]
    dynamic: tuple[Opaque, ...]

    def reader(self) -> UseReader:
        return UseReader(self.where, self.first_line, self.names)


def _members(node: ast.stmt, position: int, within: _ClassBody) -> Iterator[Member]:
    docs = _hash(*strip_docstrings(node))
    line = _first_line(node) - within.first_line
    last = (node.end_lineno or node.lineno) - within.first_line
    opaque = Uses(opaque=tuple(found for found in within.dynamic if line <= found.line <= last))
    head, body = within.reader(), within.reader()
    if isinstance(node, FunctionNode):
        head.head(node)
        body.body(node, own_parameter(node))
        outline = _hash(
            type(node).__name__,
            *map(_fingerprint, [node.args, *node.decorator_list]),
            _fingerprint(node.returns),
        )
        uses = merge([body.uses(), opaque])
        is_on_class = any(dotted(d)[-1:] == ("classmethod",) for d in node.decorator_list)
        is_plain = not node.decorator_list and not (node.name.startswith("__") and node.name.endswith("__"))
        yield Member(
            node.name,
            Kind.FUNCTION,
            line,
            _fingerprint(node),
            outline,
            docs,
            head.uses(),
            uses,
            is_plain=is_plain,
            changes_class=uses.changes_class or (is_on_class and bool(uses.own_stored | uses.own_changed)),
        )
        return
    head.statement(node)
    fingerprint = _fingerprint(node)
    kind = Kind.CLASS if isinstance(node, ast.ClassDef) else Kind.VALUE
    value = getattr(node, "value", None)
    is_fixed = isinstance(value, ast.expr) and mutability_of(value) is Mutability.NONE
    for name in sorted(bound_names([node])) or [f"#{position}"]:
        yield Member(name, kind, line, fingerprint, fingerprint, docs, head.uses(), opaque, is_fixed=is_fixed)


def _class_fingerprint(facts: ClassFacts) -> str:
    """Plain methods in any order, everything else in the order written."""
    plain = sorted(f"{m.name}:{m.fingerprint}" for m in facts.members if m.is_plain)
    rest = (f"{m.name}:{m.fingerprint}" for m in facts.members if not m.is_plain)
    return _hash(facts.head_fingerprint, *plain, "rest", *rest)


def _load_fingerprint(node: ast.stmt, class_facts: ClassFacts | None, fingerprint: str) -> str:
    if class_facts is not None:
        parts = (
            f"{m.name}:{m.head_fingerprint if m.is_plain else m.fingerprint}" for m in class_facts.members
        )
        return _hash(class_facts.head_fingerprint, *parts)
    if isinstance(node, FunctionNode):
        return _hash(*map(_fingerprint, [*node.decorator_list, node.args]))
    return fingerprint


def _is_inert(node: ast.stmt, kind: Kind) -> bool:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return is_inert_function(node)
        case ast.ClassDef():
            return is_inert_class(node)
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value) if kind is Kind.VALUE:
            return is_inert_expression(value)
    return kind is Kind.NOTHING or (isinstance(node, ast.If) and kind is Kind.IMPORT)


def _import_bindings(node: ast.stmt, where: Surroundings) -> Iterator[ImportBinding]:
    for item in same_scope(node):
        if not isinstance(item, ast.Import | ast.ImportFrom):
            continue
        for alias, imported in zip(item.names, statement_imports(item), strict=True):
            target = absolute(imported, where.module, where.is_package)
            if target is None:
                continue
            local = alias.asname or (alias.name if imported.name else alias.name.split(".")[0])
            bound = target if imported.name or alias.asname else local
            yield ImportBinding(local, bound, imported.name, target)


def strip_docstrings(node: ast.AST) -> list[str]:
    """Take out, in place, the docstrings that nothing is known to read; return them."""
    return [text for item in ast.walk(node) for text in _strip_own_docstring(item)]


def _strip_own_docstring(node: ast.AST) -> list[str]:
    if not isinstance(node, FunctionNode | ast.ClassDef) or not _is_text(node.body[0]):
        return []
    if not reads_no_docstring(node):
        return []
    text = ast.get_docstring(node, clean=False) or ""
    node.body = node.body[1:] or [ast.Pass()]
    return [text]


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _has_lazy_annotations(module: ast.Module) -> bool:
    return any(
        isinstance(n, ast.ImportFrom)
        and n.module == "__future__"
        and any(a.name == "annotations" for a in n.names)
        for n in module.body
    )


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", ())
    return min(int(n.lineno) for n in (node, *decorators))


def _fingerprint(node: ast.AST | None) -> str:
    return _hash(ast.dump(node, annotate_fields=False)) if node is not None else ""


def _hash(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def hash_of(parts: Iterable[str]) -> str:
    """One fingerprint of several."""
    return _hash(*parts)


__all__ = [
    "ClassFacts",
    "ImportBinding",
    "Member",
    "ModuleFacts",
    "Statement",
    "StatementCache",
    "StatementFacts",
    "hash_of",
    "module_facts",
    "strip_docstrings",
]
