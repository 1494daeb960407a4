"""What a change does to the loading of modules: the same for all Chainlets of one root module."""

from collections.abc import Iterator
from functools import cached_property

from chains_analysis.carry import Carry
from chains_analysis.diff import Comparison
from chains_analysis.impact import reach
from chains_analysis.inert import Kind
from chains_analysis.needs import may_fail, unbound
from chains_analysis.nodes import SYMBOL, VIEW, Key
from chains_analysis.outcome import Reason
from chains_analysis.reasons import Narrator
from chains_analysis.symbols import ModuleFacts, Statement
from chains_protocol.patch import Action


class Change:
    """Two trees as one root module loads them: what differs, what can be kept, what loading does."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self.carry = Carry(comparison)
        self.say = Narrator(comparison)

    @cached_property
    def effects(self) -> tuple[Reason, ...]:
        """Why a process has to start anew: data, and statements that may change the process."""
        before, after = self.comparison.loaded_before, self.comparison.loaded_after
        found = list(self._data_files())
        for module in after:
            found += self._effects_in(module, is_new=module not in before)
        for module in before:
            found += self._effects_gone(module)
        found += (self.say.reordered(module) for module in sorted(self.comparison.reordered_modules))
        found += (self.say.tangled(module) for module in sorted(self.comparison.tangled_modules))
        return tuple(found)

    @cached_property
    def failures(self) -> tuple[Reason, ...]:
        """Imports that will fail, or whose success only loading can tell."""
        found = [
            self.say.broken_import(facts, statement, binding, self._to_load(facts))
            for facts, statement, binding in self.comparison.broken_imports()
        ]
        found += (
            self.say.new_library(facts, statement, library, self._to_load(facts))
            for facts, statement, library in self.comparison.new_libraries()
        )
        return tuple(found)

    @cached_property
    def different(self) -> tuple[tuple[Reason, bool], ...]:
        """Statements that can fail or do something when loaded, and whether that is before `__init__`.

        A module that functions import is loaded when `__init__` runs, or later: only
        running `__init__` again can tell whether that still works.
        """
        found = []
        for module in self.comparison.loaded_after:
            facts = self.comparison.after.resolver.facts(module)
            for statement in facts.statements if facts is not None else ():
                if facts is not None and self._loads_differently(facts, statement):
                    reason = self.say.loads_differently(facts, statement, self._to_load(facts))
                    found.append((reason, module in self.comparison.at_once))
        return tuple(found)

    def _to_load(self, facts: ModuleFacts) -> Action:
        return Action.PATCHED if facts.module in self.comparison.at_once else Action.RELOADED

    def _data_files(self) -> Iterator[Reason]:
        """Files that are not Python: code may read them at any time."""
        old, new = self.comparison.before.tree.files, self.comparison.after.tree.files
        for path in sorted(old.keys() | new.keys()):
            if not path.endswith(".py") and old.get(path) != new.get(path):
                yield self.say.data_file(path)

    def _effects_in(self, module: str, is_new: bool) -> Iterator[Reason]:
        graph = self.comparison.after
        facts = graph.resolver.facts(module)
        for statement in facts.statements if facts is not None else ():
            if facts is None or statement.kind in (Kind.NOTHING, Kind.IMPORT):
                continue
            key = statement.keys[0]
            is_dirty = key in self.carry.dirty
            if statement.kind is Kind.EFFECT and (is_new or is_dirty):
                yield self.say.effect(facts, statement, self._culprit(key) or key)
            elif is_dirty and graph.effects.starts_something(module, statement):
                yield self.say.starts(facts, statement)

    def _culprit(self, key: Key) -> Key | None:
        """The first changed node that an effect depends on."""
        before = reach([key], self.comparison.before.deps)
        after = reach([key], self.comparison.after.deps)
        changed = (k for k in sorted(before.keys | after.keys) if self.comparison.is_changed(k))
        return next(changed, None)

    def _effects_gone(self, module: str) -> Iterator[Reason]:
        facts = self.comparison.before.resolver.facts(module)
        is_loaded = module in self.comparison.loaded_after
        if is_loaded and module in self.comparison.same_files:
            return
        for statement in facts.statements if facts is not None else ():
            if facts is not None and statement.kind is Kind.EFFECT:
                key = statement.keys[0]
                if not is_loaded or self.comparison.after.fingerprint(key) is None:
                    yield self.say.effect_gone(facts, statement, key)

    def _loads_differently(self, facts: ModuleFacts, statement: Statement) -> bool:
        """Whether executing a statement may fail or do something that it did not before."""
        if statement.facts.is_for_typing:
            return self._needs_more(facts.module, statement)
        if statement.kind in (Kind.IMPORT, Kind.EFFECT, Kind.NOTHING):
            return False
        key = statement.keys[0]
        is_new = facts.module not in self.comparison.loaded_before
        if not is_new and key not in self.carry.dirty:
            return False
        old, new = self.comparison.before, self.comparison.after
        binders = old.resolver.binders(facts.module, key.name) if key.kind == SYMBOL else ()
        if self._needs_more(facts.module, statement):
            return True
        if statement.facts.is_inert and not may_fail(new, facts.module, statement):
            return False
        if is_new or key in self.comparison.moved:
            return True
        if key.kind != SYMBOL:
            return self.comparison.is_changed(key)
        if statement.facts.load_fingerprint not in {b.facts.load_fingerprint for b in binders}:
            return True
        if self._makes_the_same_class(facts.module, statement):
            return False
        reached = new.effects.load_reach(facts.module, statement)
        return any(self.comparison.is_changed(hit.key) for hit in reached)

    def _needs_more(self, module: str, statement: Statement) -> bool:
        """Whether a statement needs a name that nothing has bound by then, and did not before."""
        missing = unbound(self.comparison.after, module, statement)
        if not missing:
            return False
        key, old = statement.keys[0], self.comparison.before
        binders = old.resolver.binders(module, key.name) if key.kind == SYMBOL else ()
        return missing not in [unbound(old, module, binder) for binder in binders]

    def _makes_the_same_class(self, module: str, statement: Statement) -> bool:
        """Whether a class statement that did not change, with bases of the tree, will do as it did."""
        new = self.comparison.after
        if not new.effects.is_inert_subclass(module, statement) or may_fail(new, module, statement):
            return False
        family = new.resolver.family(module, statement.facts.names[0])
        return not any(self.comparison.is_changed(Key(VIEW, *owner)) for owner in family)


__all__ = ["Change"]
