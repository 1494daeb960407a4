"""How heavy a change is for one Chainlet: the only place that decides it.

A change inside what the Chainlet's construction depends on is `reloaded`, elsewhere in what
it depends on `patched`, in a statement that may change the process `restarted`. What text
can't follow is judged one step heavier, with the place in the reasons.
"""

from collections.abc import Iterator

from chains_analysis.cache import AnalysisCache
from chains_analysis.carry import Carry
from chains_analysis.classes import Member
from chains_analysis.diff import Comparison
from chains_analysis.impact import Reach, Unit
from chains_analysis.inert import Kind
from chains_analysis.loading import Change
from chains_analysis.nodes import HEAD, SYMBOL, WIRE, Key
from chains_analysis.outcome import CarryPlan, ChainletRef, Reason, Verdict
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
    old, new = (_unit(tree, ref, found) for tree in (before, after))
    return _Judgement(_change(before, after, ref, found), old, new).verdict()


def carry_plan(
    before: SourceTree, after: SourceTree, ref: ChainletRef, cache: AnalysisCache | None = None
) -> CarryPlan:
    """Only the carry plan; also for a change that `judge` calls unchanged, where everything is shared."""
    found = cache if cache is not None else AnalysisCache()
    return _change(before, after, ref, found).carry.plan()


def warm_up(tree: SourceTree, ref: ChainletRef, cache: AnalysisCache) -> None:
    """Read what a first judgement of a change of `tree` will need.

    Raises:
        DiagnosticsError: CH152 if a file that is reached is not valid Python.
    """
    unit = _unit(tree, ref, cache)
    for key in (*unit.init.keys, *unit.run.keys, *unit.shape.keys):
        unit.graph.fingerprint(key)


def _unit(tree: SourceTree, ref: ChainletRef, cache: AnalysisCache) -> Unit:
    return cache.remember(("unit", tree, ref), lambda: Unit(cache.graph(tree), ref))


def _change(before: SourceTree, after: SourceTree, ref: ChainletRef, cache: AnalysisCache) -> Change:
    def compare() -> Change:
        return Change(Comparison(cache.graph(before), cache.graph(after), ref.module))

    return cache.remember(("change", before, after, ref.module), compare)


class _Judgement:
    """One Chainlet, one change."""

    def __init__(self, change: Change, old: Unit, new: Unit) -> None:
        self._change = change
        self._comparison: Comparison = change.comparison
        self._carry: Carry = change.carry
        self._say = change.say
        self._old = old
        self._new = new

    def verdict(self) -> Verdict:
        if not (self._old.exists and self._new.exists):
            gone = self._say.gone(self._new.ref, self._new.exists)
            return Verdict(Action.RESTARTED, (gone,), needs_discovery=True)
        slices = tuple(self._slices())
        reasons = [*self._change.effects, *slices, *self._change.failures]
        is_restart = bool(self._change.effects)
        # statements loaded at once are executed, and so tried, by any new generation
        reasons += (r for r, at_once in self._change.different if not (reasons and at_once))
        action = _heaviest(reasons)
        if action is Action.PATCHED and self._is_remade():
            reasons += self._hazards()
            action = _heaviest(reasons)
        if action is Action.RELOADED:
            reasons += self._shared_state()
            action = _heaviest(reasons)
        # whatever the shape depends on is a part of something in the slices
        shape_changed = bool(slices) and any(self._changed_in(self._old.shape, self._new.shape))
        keeps = action in (Action.PATCHED, Action.RELOADED)
        return Verdict(
            action,
            _sorted(reasons),
            needs_discovery=shape_changed or is_restart,
            carry=self._carry.plan() if keeps else CarryPlan(),
        )

    # -- what the Chainlet depends on

    def _slices(self) -> Iterator[Reason]:
        for key in self._changed_in(self._old.run, self._new.run):
            yield self._weigh(key)
        own = {Key(SYMBOL, *owner) for owner in (*self._old.family, *self._new.family)}
        for key in sorted(self._carry.dirty & self._new.init.keys):
            held = key.kind == SYMBOL and key not in own
            if held and not self._is_import(key) and not self._comparison.is_changed(key):
                yield self._say.remade(key, self._new.init)

    def _changed_in(self, old: Reach, new: Reach) -> Iterator[Key]:
        for key in sorted(old.keys | new.keys):
            if self._comparison.is_changed(key):
                yield key

    def _weigh(self, key: Key) -> Reason:
        init, run = (self._old.init, self._new.init), (self._old.run, self._new.run)
        reached = init if any(key in found for found in init) else run
        action = Action.RELOADED if reached is init else Action.PATCHED
        if all(key not in found.certain for found in reached):
            action = Action.RESTARTED if reached is init else Action.RELOADED
        if key.kind == HEAD and self._is_other_kind(key):
            action = action.at_least(Action.RELOADED)
        old, new = reached
        found = new if key in new else old
        unit = self._new if key in new else self._old
        wires = (k for k in found.way(key) if k.kind == WIRE) if reached is init else ()
        doubt = unit.construction.doubts.get(next(iter(wires), key))
        return self._say.changed(key, found, action, doubt)

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


__all__ = ["carry_plan", "judge", "warm_up"]
