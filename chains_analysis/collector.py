"""Where what `references` finds is gathered: scopes, flags, and the meaning of a name."""

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from chains_analysis.uses import Opaque, Ref, Role, Surroundings, Use, Uses
from chains_analysis.vocabulary import (
    DOC_ATTRIBUTES,
    READING_METHODS,
    REFLECTION_ATTRIBUTES,
    STARTING_CALLS,
    STARTING_PATHS,
)


@dataclass(slots=True)
class Scope:
    """The names of one block. `outer` are declared `global`, `own` holds the instance or class."""

    names: set[str]
    outer: set[str] = field(default_factory=set)
    is_class: bool = False
    own: str | None = None
    modules: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)


class Collector:
    """Gathers `Uses` while code is walked.

    Args:
        where: the surroundings of the code.
        first_line: of the statement it belongs to.
        class_names: names of the class body it stands in, if it does.
    """

    def __init__(
        self, where: Surroundings, first_line: int, class_names: Iterable[str] | None = None
    ) -> None:
        self.where = where
        self.first_line = first_line
        self.depth = 0
        self.scopes = [Scope(set(class_names), is_class=True)] if class_names is not None else []
        self._load: set[Ref] = set()
        self._call: set[Ref] = set()
        self._own: set[str] = set()
        self._own_stored: set[str] = set()
        self._own_changed: set[str] = set()
        self.lazy: set[str] = set()
        self._opaque: list[Opaque] = []
        self.flags: set[str] = set()

    def uses(self) -> Uses:
        """What has been collected so far."""
        return Uses(
            frozenset(self._load),
            frozenset(self._call),
            frozenset(self._own),
            frozenset(self._own_stored),
            frozenset(self._own_changed),
            "leaks" in self.flags,
            "class" in self.flags,
            frozenset(self.lazy),
            tuple(self._opaque),
            "starts" in self.flags,
            "starts later" in self.flags,
            "docs" in self.flags,
        )

    def note_attribute(self, node: ast.Attribute) -> None:
        """Attributes that reach code or docstrings without naming them."""
        if node.attr in REFLECTION_ATTRIBUTES:
            self.give_up(node, f"uses `{node.attr}`")
        elif node.attr in DOC_ATTRIBUTES:
            self.flags.add("docs")
        elif node.attr == "__class__" and isinstance(node.value, ast.Name):
            self.flags.add("class")

    def name(self, name: str, chain: tuple[str, ...], use: Use, role: Role) -> None:
        """A use of a name, with the attributes asked of it."""
        if name in DOC_ATTRIBUTES:
            self.flags.add("docs")
        scope = self.scope_of(name)
        if scope is None:
            self.add(Ref(name, chain, use, role))
        elif scope.own == name:
            self.own_member(chain, use)
        elif name in scope.modules:
            module, attributes = scope.modules[name]
            self.add(Ref(module, (*attributes, *chain), use, role, is_module=True))
        elif scope.is_class:
            self._own.add(name)
            self.add(Ref(name, chain, use, role))  # before it is bound in the class, it is the global

    def own_member(self, chain: tuple[str, ...], use: Use) -> None:
        """A use of the own instance or class; an empty `chain` means all of it."""
        if not chain or chain[0] in ("__class__", "__dict__"):
            self.flags.add("leaks")
            return
        member, rest = chain[0], chain[1:]
        if use & Use.STORE and not rest:
            self._own_stored.add(member)
            return
        self._own.add(member)
        called = bool(use & Use.CALL) and bool(rest) and rest[-1] not in READING_METHODS
        if use & Use.STORE or called or use & Use.PASS:
            self._own_changed.add(member)

    def enter(self, scope: Scope) -> None:
        """Begin a block that is executed when it is called."""
        self.scopes.append(scope)
        self.depth += 1

    def leave(self) -> None:
        """End it."""
        self.scopes.pop()
        self.depth -= 1

    def scope_of(self, name: str) -> Scope | None:
        """The block that binds a name; None for a global one."""
        for distance, scope in enumerate(reversed(self.scopes)):
            if scope.is_class and distance:
                continue  # a class's names are not visible in its methods
            if name in scope.outer:
                return None
            if name in scope.names:
                return scope
        return None

    def is_local(self, name: str) -> bool:
        """Whether a block around binds the name."""
        return self.scope_of(name) is not None

    def add(self, ref: Ref) -> None:
        """Keep a reference, as one of load or of call time."""
        (self._call if self.depth else self._load).add(ref)

    def note_start(self, path: tuple[str, ...]) -> None:
        """Calls that start or claim something."""
        if path and (path[-1] in STARTING_CALLS or path[:2] in STARTING_PATHS):
            self.flags.add("starts later" if self.depth else "starts")

    def give_up(self, node: ast.AST, why: str, own_module: bool = False) -> None:
        """Something that text can't follow."""
        self._opaque.append(
            Opaque(getattr(node, "lineno", self.first_line) - self.first_line, why, own_module)
        )


__all__ = ["Collector", "Scope"]
