"""Which statements change which symbols while modules are loaded, and which functions rebind names later.

`REGISTRY = {}` means nothing without the decorated functions below it that enter themselves:
they are its *mutators*, and it depends on them. A name that some function rebinds
(`global X`, `module.X = ...`) ties everything together that uses it.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property

from chains_analysis.classes import ClassFacts
from chains_analysis.inert import Kind, Mutability, is_plain_base
from chains_analysis.nodes import MODULE, SYMBOL, Hit, Key
from chains_analysis.resolution import Resolver
from chains_analysis.symbols import ModuleFacts, Statement
from chains_analysis.uses import ELEMENT, Ref, Use, changes_in_place, may_change

_EXECUTING = Use.CALL | Use.ARGUMENT


class LoadEffects:
    """Effects between the statements of one tree."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._executed: dict[Key, frozenset[Hit]] = {}

    @cached_property
    def modules(self) -> tuple[ModuleFacts, ...]:
        """All modules of the tree that can be read."""
        found = (self._resolver.readable(module) for module in self._resolver.tree.modules)
        return tuple(facts for facts in found if facts is not None)

    @cached_property
    def mutators(self) -> dict[Key, tuple[Key, ...]]:
        """Symbol -> the statements that may change it at load, in order of modules and lines."""
        found: dict[Key, dict[Key, None]] = {}
        for facts in self.modules:
            for statement in facts.statements:
                if not self._may_touch(statement):
                    continue
                keys = statement.keys
                for target in self._touched(facts.module, statement):
                    if target not in keys:
                        found.setdefault(target, {}).update(dict.fromkeys(keys))
        return {target: tuple(keys) for target, keys in found.items()}

    @cached_property
    def rebinders(self) -> dict[Key, tuple[Key, ...]]:
        """Symbol -> the statements whose code rebinds it when it is called."""
        found: dict[Key, dict[Key, None]] = {}
        for facts in self.modules:
            for statement in facts.statements:
                for target in self._rebound_by(facts.module, statement):
                    found.setdefault(target, {}).update(dict.fromkeys(statement.keys))
        return {target: tuple(keys) for target, keys in found.items()}

    @cached_property
    def users_of_rebound(self) -> dict[Key, tuple[Key, ...]]:
        """Symbol that some function rebinds -> every symbol and statement that uses it."""
        found: dict[Key, dict[Key, None]] = {key: {} for key in self.rebinders}
        for facts in self.modules if found else ():
            for statement in facts.statements:
                keys = dict.fromkeys(statement.keys)
                for ref in statement.facts.uses.all:
                    for hit in self._resolver.resolve(facts.module, ref):
                        if hit.key in found:
                            found[hit.key].update(keys)
        return {key: tuple(users) for key, users in found.items()}

    def load_reach(self, module: str, statement: Statement) -> frozenset[Hit]:
        """Everything that executing a statement may read or run: functions it calls included."""
        found: set[Hit] = set()
        for ref in self._executed_refs(module, statement):
            for hit in self._resolver.resolve(module, ref):
                found.add(hit)
                if ref.use & _EXECUTING and hit.key.kind == SYMBOL:
                    found |= self._run(hit.key)
        return frozenset(found | set(self._subclass_hooks(module, statement)))

    def is_inert_subclass(self, module: str, statement: Statement) -> bool:
        """Whether making a class of the tree's bases does nothing but bind its name, if it can be made."""
        facts = statement.facts.class_facts
        if facts is None:
            return False
        bases = self._resolver.bases(module, statement.facts.names[0])
        if not facts.is_inert_inside or len(bases) + sum(map(is_plain_base, facts.bases)) < len(facts.bases):
            return False
        family = self._resolver.family(module, statement.facts.names[0])[1:]
        return all(self._is_harmless_base(*owner) for owner in family)

    def _is_harmless_base(self, module: str, name: str) -> bool:
        binder = self._resolver.class_of(module, name)
        facts = binder.facts.class_facts if binder is not None else None
        if facts is None or facts.has_keywords or facts.named("__init_subclass__"):
            return False
        bases = self._resolver.bases(module, name)
        return len(bases) + sum(map(is_plain_base, facts.bases)) >= len(facts.bases)

    def starts_something(self, module: str, statement: Statement) -> bool:
        """Whether executing a statement may start threads, processes, servers and the like."""
        if statement.facts.uses.starts_on_load:
            return True
        run = self._run_keys(module, statement)
        binders = (s for key in run for s in self._resolver.binders(key.module, key.name))
        return any(binder.facts.uses.starts_on_call for binder in binders)

    def in_place(self, module: str, refs: Iterable[Ref]) -> Iterator[Key]:
        """Symbols that code with these references certainly changes or rebinds."""
        for ref in refs:
            for hit in self._resolver.resolve(module, ref):
                if hit.key.kind == SYMBOL and (changes_in_place(ref, hit.rest) or _rebinds(ref, hit)):
                    yield hit.key

    @staticmethod
    def _may_touch(statement: Statement) -> bool:
        """Whether a statement does more at load than read names, or makes a class with workspace bases."""
        if statement.kind in (Kind.IMPORT, Kind.NOTHING):
            return False
        parts = statement.facts.class_facts
        if (parts is not None and parts.bases) or not statement.facts.is_inert:
            return True
        return any(ref.use for ref in statement.facts.uses.load)

    def _touched(self, module: str, statement: Statement) -> set[Key]:
        """Symbols that a statement may change while it is executed."""
        found = {
            hit.key
            for ref in self._executed_refs(module, statement)
            for hit in self._resolver.resolve(module, ref)
            if self._may_change(ref, hit)
        }
        for key in self._run_keys(module, statement):
            for binder in self._resolver.binders(key.module, key.name):
                for ref in binder.facts.uses.call:
                    found |= {
                        h.key for h in self._resolver.resolve(key.module, ref) if self._may_change(ref, h)
                    }
            if self._changes_itself(key):
                found.add(key)
        return found | set(self._hooked(module, statement))

    def _run_keys(self, module: str, statement: Statement) -> set[Key]:
        """Symbols whose code may run while a statement is executed."""
        found: set[Key] = set()
        for ref in self._executed_refs(module, statement):
            for hit in self._resolver.resolve(module, ref) if ref.use & _EXECUTING else ():
                if hit.key.kind == SYMBOL:
                    found |= {hit.key, *(h.key for h in self._run(hit.key) if h.key.kind == SYMBOL)}
        return found | {hit.key for hit in self._subclass_hooks(module, statement) if hit.key.kind == SYMBOL}

    def _executed_refs(self, module: str, statement: Statement) -> Iterator[Ref]:
        uses = statement.facts.uses
        yield from uses.load
        is_decorated = statement.kind in (Kind.FUNCTION, Kind.CLASS) and not statement.facts.is_inert
        if is_decorated:
            yield from uses.call  # a decorator may call what it decorates

    def _run(self, key: Key) -> frozenset[Hit]:
        """Everything that calling a symbol may reach."""
        known = self._executed.get(key)
        if known is not None:
            return known
        found: set[Hit] = set()
        waiting, seen = [key], {key}
        while waiting:
            current = waiting.pop()
            for binder in self._resolver.binders(current.module, current.name):
                for ref in binder.facts.uses.all if binder.kind is Kind.CLASS else binder.facts.uses.call:
                    for hit in self._resolver.resolve(current.module, ref):
                        found.add(hit)
                        if hit.key.kind == SYMBOL and hit.key not in seen:
                            seen.add(hit.key)
                            waiting.append(hit.key)
        self._executed[key] = frozenset(found)
        return self._executed[key]

    def _subclass_hooks(self, module: str, statement: Statement) -> Iterator[Hit]:
        """What making a subclass runs: `__init_subclass__`, metaclasses and their like of workspace bases."""
        for key in self._hooked(module, statement):
            yield Hit(key)
            yield from self._run(key)

    def _hooked(self, module: str, statement: Statement) -> Iterator[Key]:
        """The workspace bases of a class that notice that it is made."""
        for name in statement.facts.names if statement.kind is Kind.CLASS else ():
            for owner in self._resolver.family(module, name)[1:]:
                facts = self._class_facts(Key(SYMBOL, *owner))
                if self._asks_for_subclasses or (
                    facts is not None and (facts.has_keywords or facts.named("__init_subclass__"))
                ):
                    yield Key(SYMBOL, *owner)

    @cached_property
    def _asks_for_subclasses(self) -> bool:
        """Whether some code lists subclasses; then each of them is a part of its bases."""
        opaque = (o for facts in self.modules for s in facts.statements for o in s.facts.uses.opaque)
        return any("__subclasses__" in found.why for found in opaque)

    def _changes_itself(self, key: Key) -> bool:
        """Whether code of a class changes the class, or a value in it, through its first parameter."""
        facts = self._class_facts(key)
        if facts is None:
            return False
        values = {m.name for m in facts.members if m.kind is Kind.VALUE and not m.is_fixed}
        values -= {m.name for m in facts.members if m.is_declaration}
        bodies = [m.body for m in facts.members if m.kind is Kind.FUNCTION]
        stored = {name for body in bodies for name in body.own_stored}
        changed = {name for body in bodies for name in body.own_changed}
        return any(m.changes_class for m in facts.members) or bool(values & changed - stored)

    def _class_facts(self, key: Key) -> ClassFacts | None:
        binder = self._resolver.class_of(key.module, key.name)
        return binder.facts.class_facts if binder is not None else None

    def _rebound_by(self, module: str, statement: Statement) -> Iterator[Key]:
        for ref in statement.facts.uses.call:
            if ref.use & (Use.REBIND | Use.STORE):
                for hit in self._resolver.resolve(module, ref):
                    if _rebinds(ref, hit):
                        yield hit.key
                    elif hit.key.kind == MODULE and ref.use & Use.STORE:
                        yield from self._names_of(hit.key.module)

    def _names_of(self, module: str) -> Iterator[Key]:
        facts = self._resolver.readable(module)
        for name in facts.bindings if facts is not None else ():
            yield Key(SYMBOL, module, name)

    def _may_change(self, ref: Ref, hit: Hit) -> bool:
        if hit.key.kind != SYMBOL:
            return False
        if _rebinds(ref, hit):
            return True
        return any(_changes(ref, hit.rest, s) for s in self._resolver.binders(hit.key.module, hit.key.name))


def _rebinds(ref: Ref, hit: Hit) -> bool:
    """Whether this use assigns the symbol itself: by `global`, or as an attribute of its module."""
    if hit.rest or hit.key.kind != SYMBOL:
        return False
    return bool(ref.use & Use.REBIND) or (bool(ref.use & Use.STORE) and bool(ref.chain))


def _changes(ref: Ref, rest: tuple[str, ...], binder: Statement) -> bool:
    facts = binder.facts
    match binder.kind:
        case Kind.IMPORT | Kind.NOTHING | Kind.MUTATION:
            return False
        case Kind.FUNCTION:
            registers = bool(rest) and bool(ref.use & Use.CALL) and not facts.is_plain_function
            return changes_in_place(ref, rest) or registers
        case Kind.CLASS:
            return bool(rest) and bool(ref.use & (Use.STORE | Use.CALL))
    if facts.mutability is Mutability.NONE:
        return False
    if facts.mutability is Mutability.CONTAINER and rest[:1] == (ELEMENT,) and not ref.use & Use.STORE:
        return False
    return may_change(ref, rest)


__all__ = ["LoadEffects"]
