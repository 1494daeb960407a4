"""One file -> its top-level statements: what each binds, is and uses, and its fingerprint.

Fingerprints ignore comments, docstrings, formatting and position. A docstring counts where
something may read it: below a decorator or base class that is not known to leave it alone.
"""

import ast
from collections import Counter
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, replace

from chains_analysis.classes import ClassFacts, Member, class_facts_of, class_fingerprint
from chains_analysis.fingerprints import (
    fingerprint_of,
    first_line,
    hashed,
    is_text,
    strip_docstrings,
    strip_own_docstring,
)
from chains_analysis.imports import ImportFacts, absolute, facts_of, statement_imports
from chains_analysis.inert import (
    Kind,
    Mutability,
    is_container,
    is_inert_class,
    is_inert_expression,
    is_inert_function,
    is_type_checking,
    kind_of,
    mutability_of,
    mutation_root,
)
from chains_analysis.nodes import STATEMENT, SYMBOL, Key
from chains_analysis.parsing import parse
from chains_analysis.references import UseReader
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

    @property
    def docs(self) -> str:
        """Stands for the module's own docstring; empty if it has none."""
        first = self.statements[0] if self.statements else None
        return first.facts.fingerprint if first is not None and first.kind is Kind.NOTHING else ""


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
        first, last = first_line(node), node.end_lineno or node.lineno
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
    docs = strip_own_docstring(node) if isinstance(node, ast.ClassDef) else strip_docstrings(node)
    kind = Kind.NOTHING if is_first and is_text(node) else kind_of(node)
    names = tuple(sorted(bound_names([node]))) if kind is not Kind.NOTHING else ()
    class_facts = class_facts_of(node, where, dynamic) if isinstance(node, ast.ClassDef) else None
    docs += [m.docs for m in class_facts.members] if class_facts else []
    fingerprint = class_fingerprint(class_facts) if class_facts else fingerprint_of(node)
    salt = "lazy annotations" if where.has_lazy_annotations else ""
    uses = merge([_uses(node, where, class_facts), Uses(opaque=dynamic)])
    value = getattr(node, "value", None) if kind is Kind.VALUE else None
    is_fixed = kind is Kind.VALUE and isinstance(value, ast.expr) and not isinstance(node, ast.AugAssign)
    return StatementFacts(
        kind,
        names,
        hashed(fingerprint, salt),
        hashed(_load_fingerprint(node, class_facts, fingerprint), salt),
        hashed(*docs),
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
    reader = UseReader(where, first_line(node))
    reader.statement(node)
    return reader.uses()


def _load_fingerprint(node: ast.stmt, class_facts: ClassFacts | None, fingerprint: str) -> str:
    if class_facts is not None:
        parts = (
            f"{m.name}:{m.head_fingerprint if m.is_plain else m.fingerprint}" for m in class_facts.members
        )
        return hashed(class_facts.head_fingerprint, *parts)
    if isinstance(node, FunctionNode):
        return hashed(*map(fingerprint_of, [*node.decorator_list, node.args]))
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


def _has_lazy_annotations(module: ast.Module) -> bool:
    return any(
        isinstance(n, ast.ImportFrom)
        and n.module == "__future__"
        and any(a.name == "annotations" for a in n.names)
        for n in module.body
    )


__all__ = [
    "ClassFacts",
    "ImportBinding",
    "Member",
    "ModuleFacts",
    "Statement",
    "StatementCache",
    "StatementFacts",
    "module_facts",
]
