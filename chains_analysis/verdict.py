"""How heavy a change is for one Chainlet: the only place that decides it.

A change inside what the Chainlet's construction depends on is `reloaded`, elsewhere in what
it depends on `patched`, in a statement that may change the process `restarted`. What text
can't follow is judged one step heavier, with the place in the reasons.
"""

from collections.abc import Iterator

from chains_analysis.cache import AnalysisCache
from chains_analysis.carry import Carry
from chains_analysis.diff import Comparison
from chains_analysis.effects import statement_keys
from chains_analysis.impact import Reach, Unit, reach
from chains_analysis.inert import Kind
from chains_analysis.outcome import CarryPlan, ChainletRef, Reason, Verdict
from chains_analysis.reasons import Narrator
from chains_analysis.resolution import HEAD, SYMBOL, Key
from chains_analysis.symbols import Member, ModuleFacts, Statement
from chains_analysis.tree import SourceTree
from chains_protocol.patch import Action


def judge(
    before: SourceTree, after: SourceTree, ref: ChainletRef, cache: AnalysisCache | None = None
) -> Verdict:
    """Decide what a change of source needs for one Chainlet, and what may be kept.

    Args:
        before: the source that runs; the Chainlet's closure or more.
        after: the source to run.
        ref: the Chainlet. It is looked up in both.
        cache: what was read before; pass the same one for all Chainlets and rounds.

    Raises:
        DiagnosticsError: CH152 if a file that is reached is not valid Python.
    """
    if before.files == after.files:
        return Verdict(Action.UNCHANGED)
    found = cache if cache is not None else AnalysisCache()
    return _Judgement(Comparison(found.graph(before), found.graph(after), ref.module), ref).verdict()


def carry_plan(
    before: SourceTree, after: SourceTree, ref: ChainletRef, cache: AnalysisCache | None = None
) -> CarryPlan:
    """Only the carry plan; also for a change that `judge` calls unchanged, where everything is shared."""
    found = cache if cache is not None else AnalysisCache()
    return Carry(Comparison(found.graph(before), found.graph(after), ref.module)).plan()


class _Judgement:
    """One Chainlet, one change."""

    def __init__(self, comparison: Comparison, ref: ChainletRef) -> None:
        self._comparison = comparison
        self._old = Unit(comparison.before, ref)
        self._new = Unit(comparison.after, ref)
        self._carry = Carry(comparison)
        self._say = Narrator(comparison, ref)

    def verdict(self) -> Verdict:
        if not (self._old.exists and self._new.exists):
            return Verdict(Action.RESTARTED, (self._say.gone(self._new.exists),), needs_discovery=True)
        reasons = [*self._data_files(), *self._load_effects()]
        is_restart = any(r.action is Action.RESTARTED for r in reasons)
        reasons += self._slices()
        reasons += self._unreferenced(reasons)
        action = _heaviest(reasons)
        if action is Action.PATCHED and self._is_remade():
            reasons += self._hazards()
            action = _heaviest(reasons)
        if action is Action.RELOADED:
            reasons += self._shared_state()
            action = _heaviest(reasons)
        shape_changed = any(self._changed_in(self._old.shape, self._new.shape))
        keeps = action in (Action.PATCHED, Action.RELOADED)
        return Verdict(
            action,
            _sorted(reasons),
            needs_discovery=shape_changed or is_restart,
            carry=self._carry.plan() if keeps else CarryPlan(),
        )

    # -- what is loaded

    def _data_files(self) -> Iterator[Reason]:
        """Files that are not Python: code may read them at any time."""
        old, new = self._comparison.before.tree.files, self._comparison.after.tree.files
        for path in sorted(old.keys() | new.keys()):
            if not path.endswith(".py") and old.get(path) != new.get(path):
                yield self._say.data_file(path)

    def _load_effects(self) -> Iterator[Reason]:
        """Statements that run when their module is loaded and may change the process."""
        before, after = self._comparison.loaded_before, self._comparison.loaded_after
        for module in after:
            yield from self._effects_in(module, is_new=module not in before)
        for module in before:
            yield from self._effects_gone(module)
        for module in sorted(self._comparison.reordered_modules):
            yield self._say.reordered(module)
        for module in sorted(self._comparison.tangled_modules):
            yield self._say.tangled(module)

    def _effects_in(self, module: str, is_new: bool) -> Iterator[Reason]:
        graph = self._comparison.after
        facts = graph.resolver.facts(module)
        for statement in facts.statements if facts is not None else ():
            if facts is None or statement.kind in (Kind.NOTHING, Kind.IMPORT):
                continue
            key = statement_keys(facts, statement)[0]
            if statement.kind is Kind.EFFECT:
                culprit = self._culprit(key, key)
                if is_new or culprit is not None:
                    yield self._say.effect(facts, statement, culprit or key)
            elif key in self._carry.dirty and graph.effects.starts_something(module, statement):
                yield self._say.starts(facts, statement)

    def _culprit(self, old: Key, new: Key) -> Key | None:
        """The first changed node that an effect depends on; None if nothing is different."""
        before = reach([old], self._comparison.before.deps)
        after = reach([new], self._comparison.after.deps)
        return next(self._changed_in(before, after), None)

    def _effects_gone(self, module: str) -> Iterator[Reason]:
        facts = self._comparison.before.resolver.facts(module)
        is_loaded = module in self._comparison.loaded_after
        for statement in facts.statements if facts is not None else ():
            if facts is None or statement.kind is not Kind.EFFECT:
                continue
            key = statement_keys(facts, statement)[0]
            if not is_loaded or self._comparison.after.fingerprint(key) is None:
                yield self._say.effect_gone(facts, statement, key)

    # -- what the Chainlet depends on

    def _slices(self) -> Iterator[Reason]:
        for key in self._changed_in(self._old.run, self._new.run):
            yield self._weigh(key)
        own = {Key(SYMBOL, *owner) for owner in (*self._old.family, *self._new.family)}
        for key in sorted(self._carry.dirty):
            held = key.kind == SYMBOL and key in self._new.init and key not in own
            if held and not self._is_import(key) and not self._comparison.is_changed(key):
                yield self._say.remade(key, self._new.init)

    def _changed_in(self, old: Reach, new: Reach) -> Iterator[Key]:
        for key in sorted(old.keys | new.keys):
            if self._comparison.is_changed(key):
                yield key

    def _weigh(self, key: Key) -> Reason:
        for old, new, certain in (
            (self._old.init, self._new.init, Action.RELOADED),
            (self._old.run, self._new.run, Action.PATCHED),
        ):
            if key in old.certain or key in new.certain:
                action = Action.RELOADED if key.kind == HEAD and self._is_other_kind(key) else certain
                return self._say.changed(key, new if key in new else old, action)
            if key in old or key in new:
                heavier = Action.RESTARTED if certain is Action.RELOADED else Action.RELOADED
                return self._say.changed(key, new if key in new else old, heavier)
        raise AssertionError(key)

    def _is_other_kind(self, key: Key) -> bool:
        """Whether a class has other bases, or decorators that are not known to leave it alone."""
        old = self._comparison.before.class_facts(key.module, key.name)
        new = self._comparison.after.class_facts(key.module, key.name)
        if old is None or new is None or old.bases != new.bases:
            return True
        return old.has_unknown_decorator or new.has_unknown_decorator

    def _is_import(self, key: Key) -> bool:
        binders = self._comparison.after.resolver.binders(key.module, key.name)
        return bool(binders) and all(b.kind is Kind.IMPORT for b in binders)

    # -- what the Chainlet does not refer to, but its process loads

    def _unreferenced(self, known: list[Reason]) -> Iterator[Reason]:
        """Code beside the Chainlet's own that can fail or do something when it is loaded.

        A module that functions import is loaded when `__init__` runs, or later: only
        running `__init__` again can tell whether that still works.
        """
        for facts, statement, binding in self._comparison.broken_imports():
            yield self._say.broken_import(facts, statement, binding, self._to_load(facts))
        for facts, statement, library in self._comparison.new_libraries():
            yield self._say.new_library(facts, statement, library, self._to_load(facts))
        for module in self._comparison.loaded_after:
            if known and module in self._comparison.at_once:
                continue  # a new generation is loaded anyway, and executes them
            new = self._comparison.after.resolver.facts(module)
            for statement in new.statements if new is not None else ():
                if new is not None and self._loads_differently(new, statement):
                    yield self._say.loads_differently(new, statement, self._to_load(new))

    def _to_load(self, facts: ModuleFacts) -> Action:
        return Action.PATCHED if facts.module in self._comparison.at_once else Action.RELOADED

    def _loads_differently(self, facts: ModuleFacts, statement: Statement) -> bool:
        """Whether executing a statement may fail or do something that it did not before."""
        if statement.kind in (Kind.IMPORT, Kind.EFFECT, Kind.NOTHING):
            return False
        old = self._comparison.before
        key = statement_keys(facts, statement)[0]
        binders = old.resolver.binders(facts.module, key.name) if key.kind == SYMBOL else ()
        unbound = self._comparison.after.unbound(facts.module, statement)
        if unbound and unbound not in [old.unbound(facts.module, b) for b in binders]:
            return True
        if statement.facts.is_inert and not self._comparison.after.may_fail(facts.module, statement):
            return False
        if facts.module not in self._comparison.loaded_before or key in self._comparison.moved:
            return True
        if key.kind != SYMBOL:
            return self._comparison.is_changed(key)
        if statement.facts.load_fingerprint not in {b.facts.load_fingerprint for b in binders}:
            return True
        reached = self._comparison.after.effects.load_reach(facts.module, statement)
        return any(self._comparison.is_changed(hit.key) for hit in reached)

    # -- what a lighter action would get wrong

    def _hazards(self) -> Iterator[Reason]:
        """Why an instance can't be handed over to its class made anew."""
        stored = {n for k, m in self._init_members() if not m.changes_class for n in m.body.own_stored}
        changed = {n for _, m in self._init_members() for n in m.body.own_changed}
        for key, member in self._new.members:
            if member.name in ("__slots__", "__del__"):
                yield self._say.special_member(key)
            is_state = member.kind is Kind.VALUE and not member.is_fixed and member.name in changed - stored
            if is_state or (key in self._new.init and member.changes_class):
                yield self._say.class_state(key)

    def _init_members(self) -> Iterator[tuple[Key, Member]]:
        return ((key, member) for key, member in self._new.members if key in self._new.init)

    def _is_remade(self) -> bool:
        own = {Key(SYMBOL, *owner) for owner in self._new.family}
        return not own or bool(own & self._carry.dirty)

    def _shared_state(self) -> Iterator[Reason]:
        """Kept module-level values that making an instance changes: the old one did, or the new one will."""
        for unit in (self._new, self._old):
            changed: dict[Key, Key] = {}
            for key, refs in unit.run_by_init():
                changed.update(dict.fromkeys(unit.graph.effects.in_place(key.module, refs), key))
            for key, by in sorted(changed.items()):
                if key not in self._carry.dirty and key.module in self._comparison.loaded_before:
                    yield self._say.shared_state(key, by)


def _heaviest(reasons: list[Reason]) -> Action:
    action = Action.UNCHANGED
    for reason in reasons:
        action = action.at_least(reason.action)
    return action


def _sorted(reasons: list[Reason]) -> tuple[Reason, ...]:
    """Heaviest first, then by place; one reason a symbol."""
    ordered = sorted(reasons, key=lambda r: (-r.action.weight, r.path, r.line, r.symbol))
    return tuple({(r.symbol, r.path): r for r in reversed(ordered)}.values())[::-1]


__all__ = ["carry_plan", "judge"]
