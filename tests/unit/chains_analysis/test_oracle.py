"""Verdicts against what really happens: random edits of small programs, judged and carried out.

`unchanged` must mean that a cold start of both sources behaves alike. After `patched` and
`reloaded`, carried out by a plain loader, the Chainlet must behave like a cold start of the
new source, and the running instance as before. Heavier verdicts are always right; how
often they would not have been needed is reported by the long form.
"""

import ast
import difflib
import random
import sys
from collections import Counter
from dataclasses import dataclass, field

import pytest

from chains_analysis import AnalysisCache, ChainletRef, SourceTree, Verdict, carry_plan, judge
from chains_protocol.errors import DiagnosticsError
from chains_protocol.patch import Action
from tests.unit.chains_analysis.edits import edited
from tests.unit.chains_analysis.kinds import kinds_of
from tests.unit.chains_analysis.programs import CHAINLETS, PROGRAMS
from tests.unit.chains_analysis.worlds import (
    Start,
    World,
    answers,
    build,
    cold_start,
    hand_over,
    stale_objects,
)


@dataclass
class Tally:
    """What was decided, and what would have been enough: by action, and by kind of symbol.

    `measures`: also try whether lighter actions would do, which takes as long again.
    """

    measures: bool = False
    verdicts: Counter[str] = field(default_factory=Counter)
    heavier: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    heavier_by_kind: Counter[str] = field(default_factory=Counter)
    steps: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    held: int = 0

    def add(self, other: "Tally") -> None:
        for mine, more in (
            (self.verdicts, other.verdicts),
            (self.heavier, other.heavier),
            (self.by_kind, other.by_kind),
            (self.heavier_by_kind, other.heavier_by_kind),
        ):
            mine.update(more)
        self.steps.update(other.steps)
        self.held += other.held

    def note(self, kinds: frozenset[str], said: Action, enough: Action) -> None:
        """One verdict, and the lightest action that the inputs of this test can't tell from a cold start."""
        kind = next(iter(kinds)) if len(kinds) == 1 else "several kinds"
        self.by_kind[kind] += 1
        if enough.weight < said.weight:
            self.heavier[said] += 1
            self.heavier_by_kind[kind] += 1
            self.steps[kind, said.value, enough.value] += 1

    def report(self) -> str:
        total = sum(self.verdicts.values())
        lines = [f"{total} verdicts, {self.held} made heavier by what the state held"]
        for action, count in sorted(self.verdicts.items()):
            lines.append(f"{action}: {count}, of these heavier than needed: {self.heavier[action]}")
        for kind, count in sorted(self.by_kind.items()):
            share = 100 * self.heavier_by_kind[kind] / count
            steps = {f"{a} for {b}": n for (k, a, b), n in sorted(self.steps.items()) if k == kind}
            lines.append(f"  {kind}: {count}, heavier than needed {share:.0f} % {steps or ''}")
        return "\n".join(lines)


def check(before: SourceTree, after: SourceTree, ref: ChainletRef, cache: AnalysisCache, tally: Tally) -> str:
    """An empty text if the verdict holds, else what is wrong with it."""
    verdict = judge(before, after, ref, cache)
    tally.verdicts[verdict.action] += 1
    old, _, instance = cold_start(before, ref)
    new, *_ = cold_start(after, ref)
    if old.failure or answers(instance) != old.answers:
        return ""  # answers that change from call to call can't be compared
    if verdict.action is Action.UNCHANGED and (old.failure, old.answers, old.log) != (
        new.failure,
        new.answers,
        new.log,
    ):
        return f"unchanged, but\n  {old}\n  {new}"
    if not new.failure and old.shape != new.shape and not verdict.needs_discovery:
        return f"{verdict.action} without discovery, but\n  {old.shape}\n  {new.shape}"
    enough = lightest(before, after, ref, cache) if tally.measures else None
    if enough is not None:
        tally.note(kinds_of(before, after), verdict.action, enough)
    if verdict.action in (Action.PATCHED, Action.RELOADED):
        wrong = _disturbs(verdict, (before, after), ref, old)
        return wrong or _carry_out(verdict, after, ref, new, _running(before, ref), tally=tally)
    return ""


def lightest(before: SourceTree, after: SourceTree, ref: ChainletRef, cache: AnalysisCache) -> Action | None:
    """The lightest action after which the Chainlet answers as after a cold start; None if that fails."""
    old, *_ = cold_start(before, ref)
    new, *_ = cold_start(after, ref)
    if old.failure or new.failure:
        return None
    if (old.answers, old.log) == (new.answers, new.log):
        return Action.UNCHANGED
    for action in (Action.PATCHED, Action.RELOADED):
        world, instance = _running(before, ref)
        try:
            following = world.next(after, carry_plan(before, after, ref, cache))
            cls = following.chainlet(ref)
            in_state, kept = stale_objects(world, following, instance)
            fresh = hand_over(instance, cls) if action is Action.PATCHED else build(cls)
        except Exception:
            return Action.RESTARTED
        if kept:
            return Action.RESTARTED
        if not (in_state and action is Action.PATCHED) and answers(fresh) == new.answers:
            return action
    return Action.RESTARTED


def _running(tree: SourceTree, ref: ChainletRef) -> tuple[World, object]:
    world = World(tree)
    return world, build(world.chainlet(ref))


def _disturbs(verdict: Verdict, trees: tuple[SourceTree, SourceTree], ref: ChainletRef, old: Start) -> str:
    """Whether preparing the new generation is felt by the running one."""
    before, after = trees
    world, instance = _running(before, ref)
    following = world.next(after, verdict.carry)
    try:
        cls = following.chainlet(ref)
        if verdict.action is Action.RELOADED:
            build(cls)
    except Exception:  # noqa: S110
        pass  # a failed preparation must not be felt either
    said = answers(instance)
    return (
        "" if said == old.answers else f"{verdict.action} changed the running code: {said}\n  {old.answers}"
    )


def _carry_out(
    verdict: Verdict,
    after: SourceTree,
    ref: ChainletRef,
    new: Start,
    running: tuple[World, object],
    *,
    tally: Tally,
) -> str:
    world, instance = running
    following = world.next(after, verdict.carry)
    action = verdict.action
    try:
        cls = following.chainlet(ref)
        in_state, kept = stale_objects(world, following, instance)
        if kept:
            tally.held += 1
            return ""  # the replica would ask for a restart
        if in_state and action is Action.PATCHED:
            tally.held += 1
            action = Action.RELOADED
        fresh = hand_over(instance, cls) if action is Action.PATCHED else build(cls)
    except Exception as error:
        return "" if new.failure else f"{action} fails with {error!r}, a cold start does not"
    if new.failure:
        return f"{action} works, a cold start fails: {new.failure}"
    got = answers(fresh)
    if got != new.answers:
        return f"{action}: {got}\n  cold start: {new.answers}"
    return ""


def run(seed: int, rounds: int, *, measures: bool = False) -> tuple[Tally, list[str]]:
    """A random walk over each program: many edits from one state, then on from a good one."""
    dice = random.Random(seed)  # noqa: S311
    tally, wrong = Tally(measures), []
    cache = AnalysisCache()
    program = dice.choice(PROGRAMS)
    for number in range(rounds):
        if number % 12 == 0:
            program = dice.choice(PROGRAMS)
        after, names = edited(program, dice)
        try:
            found = [check(program, after, ref, cache, tally) for ref in CHAINLETS]
        except DiagnosticsError as error:
            found = [] if any(map(_is_broken, after.files.values())) else [str(error)]
        wrong += [
            f"seed {seed}, round {number} ({names}): {text}\n{_changes(program, after)}"
            for text in found
            if text
        ]
        if found and dice.random() < 0.3 and all(not cold_start(after, ref)[0].failure for ref in CHAINLETS):
            program = after
    return tally, wrong


def _is_broken(source: bytes) -> bool:
    try:
        compile(source, "<file>", "exec")
    except SyntaxError:
        return True
    return False


def _changes(before: SourceTree, after: SourceTree) -> str:
    lines: list[str] = []
    for path in sorted(p for p in before.files.keys() | after.files.keys() if p.endswith(".py")):
        old, new = (ast.unparse(ast.parse(t.files.get(path, b""))).splitlines() for t in (before, after))
        lines += difflib.unified_diff(old, new, path, path, lineterm="", n=1)
    return "\n".join(lines)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("ref", CHAINLETS, ids=lambda ref: ref.display_name)
def test_the_programs_start(program: SourceTree, ref: ChainletRef) -> None:
    start, *_ = cold_start(program, ref)
    assert not start.failure
    assert not any("Error" in answer for answer in start.answers)


@pytest.mark.parametrize("seed", range(10))
def test_verdicts_hold(seed: int) -> None:
    _, wrong = run(seed, 20)
    assert not wrong, "\n\n".join(wrong[:3])


@pytest.mark.soak
def test_verdicts_hold_for_thousands_of_edits(capsys: pytest.CaptureFixture[str]) -> None:
    """Prints how precise the verdicts were, by action and by kind of what was edited."""
    tally, wrong = Tally(), []
    for seed in range(1000, 1150):
        some, more = run(seed, 40, measures=True)
        wrong += more
        tally.add(some)
    with capsys.disabled():
        sys.stdout.write(f"\n{tally.report()}\n")
    assert not wrong, f"{len(wrong)} wrong\n" + "\n\n".join(wrong[:5])
