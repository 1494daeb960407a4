"""Which modules and top-level values of the running generation a new one may keep.

A statement is *dirty* if it changed or if anything it refers to, when loaded or when called,
is dirty. What is not dirty is carried: no code that a carried object can reach changed, so
its old globals hold exactly what new ones would. Hence also, together:

- all statements that bind the same name, or that one statement binds;
- a container and the statements that change it at load (`effects.mutators`);
- a name that functions rebind, and everything that uses it (`effects.users_of_rebound`).

A module is shared if nothing in it is dirty and all that it imports is shared as well. In
the others import statements are executed again, and a statement that imports such a module
when it is called is dirty, because the import must find the new one.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from types import MappingProxyType

from chains_analysis.diff import Comparison, imported_modules
from chains_analysis.inert import Kind
from chains_analysis.needs import unbound
from chains_analysis.nodes import EDGE, SYMBOL, VIEW, Key
from chains_analysis.outcome import CarryPlan, StatementPlan
from chains_analysis.symbols import ModuleFacts
from chains_analysis.tree import parents


class Carry:
    """The parts that survive from `comparison.before` to `comparison.after`."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._graph = comparison.after
        self._known = frozenset(comparison.loaded_before)
        self._modules = {
            module: facts
            for module in comparison.loaded_after
            if (facts := self._graph.resolver.readable(module)) is not None
        }

    @cached_property
    def dirty(self) -> frozenset[Key]:
        """Nodes of the new tree that can't be kept."""
        return self._settled[0]

    @cached_property
    def shared(self) -> frozenset[str]:
        """Modules that can be used as they are."""
        return self._settled[1]

    def plan(self) -> CarryPlan:
        """The plan for a new generation."""
        remade = {m: facts for m, facts in self._modules.items() if m not in self.shared and m in self._known}
        plans = {module: tuple(self._statement_plans(facts)) for module, facts in remade.items()}
        return CarryPlan(self.shared, MappingProxyType(plans))

    @cached_property
    def _settled(self) -> tuple[frozenset[Key], frozenset[str]]:
        """Dirt decides what is shared, and what is not shared makes more dirt: until nothing changes."""
        dirty = self._spread(self._first_dirt())
        while True:
            shared = self._shareable(dirty)
            more = {key for key in self._bound_to_unshared(shared) if key not in dirty}
            if not more:
                return frozenset(dirty), shared
            dirty = self._spread(dirty | more)

    def _first_dirt(self) -> set[Key]:
        found = {key for key in self._dependents if self._comparison.is_changed(key)}
        found |= {key for key in self._nodes if self._comparison.is_changed(key) or self._lost_something(key)}
        for _, statement, _ in self._comparison.broken_imports():
            found.update(statement.keys)
        for facts in self._modules.values():
            for statement in facts.statements:
                if statement.facts.is_for_typing and unbound(self._graph, facts.module, statement):
                    found.update(statement.keys)
        return found

    def _lost_something(self, key: Key) -> bool:
        """Whether something that the node referred to is gone, or is different and no longer referred to."""
        before = self._comparison.before
        if before.fingerprint(key) is None:
            return False
        old = before.deps(key)
        if old == self._graph.deps(key):
            return False  # then what is different spreads from there
        return any(self._comparison.is_changed(d.key) for d in old)

    @cached_property
    def _nodes(self) -> tuple[Key, ...]:
        statements = (s for facts in self._modules.values() for s in facts.statements)
        return tuple(dict.fromkeys(k for s in statements if s.kind is not Kind.NOTHING for k in s.keys))

    @cached_property
    def _dependents(self) -> dict[Key, set[Key]]:
        found: dict[Key, set[Key]] = {}
        waiting = list(self._nodes)
        seen = set(waiting)
        while waiting:
            key = waiting.pop()
            for dep in self._graph.deps(key):
                # carried code holds on to classes, so a Chainlet it names counts as a whole
                other = Key(SYMBOL, *dep.key[1:3]) if dep.key.kind in (EDGE, VIEW) else dep.key
                found.setdefault(other, set()).add(key)
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        for facts in self._modules.values():
            for statement in facts.statements:
                for key in statement.keys if len(statement.keys) > 1 else ():
                    found.setdefault(key, set()).update(statement.keys)
        return found

    def _spread(self, start: Iterable[Key]) -> set[Key]:
        found = set(start)
        waiting = list(found)
        while waiting:
            for key in self._dependents.get(waiting.pop(), ()):
                if key not in found:
                    found.add(key)
                    waiting.append(key)
        return found

    def _shareable(self, dirty: set[Key]) -> frozenset[str]:
        spoiled = {key.module for key in self._nodes if key in dirty}
        found = {
            m
            for m in self._modules
            if m in self._known and m not in spoiled and not self._lost_something_in(m)
        }
        while True:
            kept = {
                m for m in found if self._imports[m] <= found and self._inner.get(m, frozenset()) <= found
            }
            if kept == found:
                return frozenset(found)
            found = kept

    def _lost_something_in(self, module: str) -> bool:
        """Whether the module had a statement or an import before that it does not have now."""
        if module in self._comparison.same_files:
            return False
        old = self._comparison.before.resolver.readable(module)
        new = self._modules[module]
        return (
            old is None
            or _outline(old) != _outline(new)
            or (self._graph.docs_matter and old.docs != new.docs)
        )

    @cached_property
    def _imports(self) -> dict[str, set[str]]:
        """Module -> modules of the tree that it imports, when loaded or later."""
        found = {}
        for module, facts in self._modules.items():
            names = {t for s in facts.importing for t in imported_modules(self._graph, s)}
            names |= {part for name in facts.lazy for part in (*parents(name), name)}
            found[module] = {name for name in names if name in self._graph.tree.modules}
        return found

    @cached_property
    def _inner(self) -> dict[str, set[str]]:
        """Package -> modules inside, before and now: they are attributes of its module object."""
        found: dict[str, set[str]] = {}
        for module in {*self._modules, *self._known}:
            for package in parents(module):
                found.setdefault(package, set()).add(module)
        return found

    def _bound_to_unshared(self, shared: frozenset[str]) -> Iterator[Key]:
        """Statements, in modules that are made anew, whose code imports another such module by itself."""
        anew = {m for m in self._graph.tree.modules if m not in shared}
        for module, facts in self._modules.items():
            for statement in facts.statements if module not in shared else ():
                targets = {part for name in statement.facts.uses.lazy for part in (*parents(name), name)}
                if statement.kind is not Kind.IMPORT:
                    targets |= set(imported_modules(self._graph, statement))
                if targets & anew:
                    yield from statement.keys

    def _statement_plans(self, facts: ModuleFacts) -> Iterator[StatementPlan]:
        for statement in facts.statements:
            is_cheap = statement.kind in (Kind.IMPORT, Kind.NOTHING)
            carry = not is_cheap and not any(key in self.dirty for key in statement.keys)
            yield StatementPlan(statement.index, statement.facts.names, carry)


def _outline(facts: ModuleFacts) -> set[object]:
    """The names a module binds, its other statements, and what it imports."""
    keys = {key for s in facts.statements for key in s.keys if s.kind is not Kind.NOTHING}
    return keys | {binding for s in facts.statements for binding in s.facts.imports}


__all__ = ["Carry"]
