"""A class statement in parts: its head and its members."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from chains_analysis.fingerprints import fingerprint_of, first_line, hashed, strip_docstrings
from chains_analysis.handles import Constructor, Within, constructor_of
from chains_analysis.imports import dotted
from chains_analysis.inert import Kind, Mutability, is_inert_decorator, is_inert_inside, mutability_of
from chains_analysis.references import UseReader, own_parameter
from chains_analysis.scopes import FunctionNode, bound_names
from chains_analysis.uses import Opaque, Surroundings, Uses, merge


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
    is_declaration: bool = False
    """An annotation without a value."""
    is_cached: bool = False
    """A `cached_property`: the instance keeps what it returned."""
    constructor: Constructor | None = None
    """What an `__init__` does with its parameters."""


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """A class statement in parts. `bases` are dotted names; an empty one is a computed base."""

    head_fingerprint: str
    head: Uses
    bases: tuple[tuple[str, ...], ...]
    members: tuple[Member, ...]
    has_unknown_decorator: bool
    has_keywords: bool
    """As `metaclass=...`."""
    is_inert_inside: bool
    """Whether making it does nothing more than its bases make it do."""

    def named(self, name: str) -> tuple[Member, ...]:
        """The members of that name; several for a property or overloads."""
        return tuple(m for m in self.members if m.name == name)


def class_facts_of(node: ast.ClassDef, where: Surroundings, dynamic: tuple[Opaque, ...]) -> ClassFacts:
    """The parts of one class statement; `dynamic` is what of it text can't follow."""
    first = first_line(node)
    head = UseReader(where, first)
    head.class_head(node)
    within = _ClassBody(where, first, bound_names(node.body), dynamic)
    bases = tuple(_base_name(b) for b in node.bases)
    members = [m for position, n in enumerate(node.body) for m in _members(n, position, within)]
    outline = [*node.bases, *node.keywords, *node.decorator_list]
    return ClassFacts(
        hashed(node.name, *map(fingerprint_of, outline)),
        head.uses(),
        bases,
        tuple(members),
        not all(map(is_inert_decorator, node.decorator_list)),
        bool(node.keywords),
        is_inert_inside(node),
    )


def _base_name(node: ast.expr) -> tuple[str, ...]:
    return dotted(node.value if isinstance(node, ast.Subscript) else node)


@dataclass(frozen=True, slots=True)
class _ClassBody(Within):
    """What the statements of one class body have in common."""

    dynamic: tuple[Opaque, ...]


def _members(node: ast.stmt, position: int, within: _ClassBody) -> Iterator[Member]:
    docs = hashed(*strip_docstrings(node))
    line = first_line(node) - within.first_line
    last = (node.end_lineno or node.lineno) - within.first_line
    opaque = Uses(opaque=tuple(found for found in within.dynamic if line <= found.line <= last))
    head, body = within.reader(), within.reader()
    if isinstance(node, FunctionNode):
        head.head(node)
        body.body(node, own_parameter(node))
        outline = hashed(
            type(node).__name__,
            *map(fingerprint_of, [node.args, *node.decorator_list]),
            fingerprint_of(node.returns),
        )
        uses = merge([body.uses(), opaque])
        is_on_class = any(dotted(d)[-1:] == ("classmethod",) for d in node.decorator_list)
        is_plain = not node.decorator_list and not (node.name.startswith("__") and node.name.endswith("__"))
        fingerprint, head_uses = fingerprint_of(node), head.uses()
        is_init = node.name == "__init__"
        yield Member(
            node.name,
            Kind.FUNCTION,
            line,
            fingerprint,
            outline,
            docs,
            head_uses,
            uses,
            is_plain=is_plain,
            is_cached=any(dotted(d)[-1:] == ("cached_property",) for d in node.decorator_list),
            changes_class=uses.changes_class or (is_on_class and bool(uses.own_stored | uses.own_changed)),
            constructor=constructor_of(node, within, head_uses, fingerprint) if is_init else None,
        )
        return
    head.statement(node)
    fingerprint = fingerprint_of(node)
    kind = Kind.CLASS if isinstance(node, ast.ClassDef) else Kind.VALUE
    value = getattr(node, "value", None)
    is_fixed = isinstance(value, ast.expr) and mutability_of(value) is Mutability.NONE
    is_declaration = isinstance(node, ast.AnnAssign) and node.value is None
    for name in sorted(bound_names([node])) or [f"#{position}"]:
        yield Member(
            name,
            kind,
            line,
            fingerprint,
            fingerprint,
            docs,
            head.uses(),
            opaque,
            is_fixed=is_fixed,
            is_declaration=is_declaration,
        )


def class_fingerprint(facts: ClassFacts) -> str:
    """Plain methods in any order, everything else in the order written."""
    plain = sorted(f"{m.name}:{m.fingerprint}" for m in facts.members if m.is_plain)
    rest = (f"{m.name}:{m.fingerprint}" for m in facts.members if not m.is_plain)
    return hashed(facts.head_fingerprint, *plain, "rest", *rest)


__all__ = ["ClassFacts", "Member", "class_facts_of", "class_fingerprint"]
