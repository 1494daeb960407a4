"""A watch session: the last good state, and rounds that bring what runs up to date.

A round reads what changed, judges it, reads the Chain again if its shape may have changed,
builds packages and applies the patch. Whatever goes wrong in it leaves what runs, and what
the session believes to run, as they were: the next good save is compared with that.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from chains_analysis import Verdict, declared_chainlets, module_name, warm_up
from chains_cli.packaging.package import ChainPackages, Package
from chains_cli.planning.planner import ChainletChange
from chains_cli.watching.decide import Decision, chainlet_ref, decide, has_source, judge_sources, source_tree
from chains_cli.watching.events import (
    ChainletResult,
    Decided,
    Noted,
    Report,
    RoundFailed,
    RoundFinished,
    RoundGivenUp,
    RoundStarted,
)
from chains_cli.watching.handing import judged_steps
from chains_cli.watching.rebuild import Rebuilder
from chains_protocol.control import PackageReply
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Severity
from chains_protocol.manifest import ChainManifest, PackageManifest
from chains_protocol.patch import Action, PatchOutcome
from chains_protocol.spec import ChainSpec


class Discover(Protocol):
    """Reads the Chain again, in a child interpreter. Raises `DiagnosticsError` (CH1xx)."""

    def __call__(self) -> ChainSpec: ...


class Target(Protocol):
    """The development deployment. Raises `DiagnosticsError` (CH3xx, CH4xx)."""

    def running(self) -> PackageReply:
        """What runs now."""
        ...

    def package(self, manifest: PackageManifest, known: Mapping[str, bytes]) -> Package:
        """A package that runs, with its source files; `known` contents are by digest."""
        ...

    def patch(
        self, packages: ChainPackages, base: PackageReply, changes: Mapping[str, ChainletChange]
    ) -> PatchOutcome:
        """Bring what runs from `base` to `packages`; CH305 if something else runs by now."""
        ...

    def give_up(self) -> None:
        """End the patch that is under way in another thread, if that is still possible."""
        ...


@dataclass(frozen=True, slots=True)
class State:
    """The last good state: the Chain as read, its packages as they run, and what the target said of them."""

    spec: ChainSpec
    packages: ChainPackages
    base: PackageReply


class WatchSession:
    """Rounds of one development deployment, one at a time.

    Args:
        spec: the Chain as it was read at the start.
        packages: its packages.
        rebuilder: builds them anew; the one that built `packages` does the least work.
        discover: reads the Chain again.
        target: the development deployment.
        report: told what happens, in the caller's thread.
        selected: display names to patch; None for all. The others keep their code.
        stop_reading: makes `discover` fail that runs in another thread.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        *,
        spec: ChainSpec,
        packages: ChainPackages,
        rebuilder: Rebuilder,
        discover: Discover,
        target: Target,
        report: Report,
        selected: Iterable[str] | None = None,
        stop_reading: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rebuilder = rebuilder
        self._discover = discover
        self._target = target
        self._report = report
        self._selected = frozenset(selected) if selected is not None else None
        self._stop_reading = stop_reading
        self._clock = clock
        self._cache = rebuilder.analysis
        self._newest = (spec, packages)
        self._is_given_up = threading.Event()
        base = target.running()
        running, self._foreign = self._read_running(base, packages)
        self._state = State(spec, running, base)

    @property
    def state(self) -> State:
        """What runs, as far as the session knows."""
        return self._state

    def catch_up(self) -> bool:
        """The first round: bring what runs to what was built at the start. True if that succeeded.

        Also reads what the next round will need, so that it is as quick as those after it.
        """
        done = self._guarded(self._catch_up)
        self._warm_up()
        return done

    def _catch_up(self, started: float) -> bool:
        spec, packages = self._newest
        verdicts = judge_sources(self._state.packages, packages, self._cache)
        return self._apply(spec, packages, verdicts, started)

    def _read_running(
        self, base: PackageReply, packages: ChainPackages, former: Iterable[Package] = ()
    ) -> tuple[ChainPackages, frozenset[str]]:
        """The packages that run, so that they can be judged; and those that can't be had.

        `former` are others that are known. Of what can't be had, `packages` stand for what
        runs, and nothing light may be concluded from them.
        """
        ours = {package.display_name: package for package in packages}
        at_hand = {package.manifest.digest: package for package in (*former, *packages)}
        known = {entry.digest: (p, entry.path) for p in packages for entry in p.manifest.files}
        contents = _Contents(known)
        found: list[Package] = []
        foreign = set()
        for manifest in base.manifest.packages:
            name = manifest.spec.display_name
            own = ours.get(name)
            known_package = at_hand.get(manifest.digest)
            if known_package is not None and known_package.display_name == name:
                found.append(known_package)
                continue
            try:
                found.append(self._target.package(manifest, contents))
            except DiagnosticsError:
                foreign.add(name)
                if own is not None:
                    found.append(own)
        running = ChainPackages(packages.chain_name, base.manifest.entrypoint, tuple(found))
        return running, frozenset(foreign)

    def _warm_up(self) -> None:
        for package in self._state.packages:
            if has_source(package.manifest.spec):
                with suppress(DiagnosticsError):  # the round will say so
                    warm_up(source_tree(package), chainlet_ref(package.manifest.spec), self._cache)

    def run_round(self, changed: Iterable[Path]) -> bool:
        """Handle one burst of saves. True if what runs now is what the files say.

        Args:
            changed: absolute paths of files that were written, made or removed.
        """
        paths = tuple(sorted(set(changed)))
        self._report(RoundStarted(tuple(self._shown(path) for path in paths)))
        return self._guarded(lambda started: self._round(paths, started))

    def give_up(self) -> None:
        """End the round that runs in another thread, where that is possible: nothing is changed then."""
        self._is_given_up.set()
        self._stop_reading()
        self._target.give_up()

    def _guarded(self, work: Callable[[float], bool]) -> bool:
        started = self._clock()
        self._is_given_up.clear()
        try:
            return work(started)
        except DiagnosticsError as error:
            return self._failed(error.diagnostics, started)

    def _failed(self, diagnostics: tuple[Diagnostic, ...], started: float) -> bool:
        elapsed = self._since(started)
        is_old = self._is_given_up.is_set()
        self._report(RoundGivenUp(elapsed) if is_old else RoundFailed(diagnostics, elapsed))
        return False

    def _round(self, changed: tuple[Path, ...], started: float) -> bool:
        spec, newest = self._newest
        if not Path(spec.source).is_file():
            self._discover()  # says so, before something else is missing as well
        packages = self._rebuilder.quick(spec, newest, changed)
        verdicts = judge_sources(self._state.packages, packages, self._cache)
        if self._may_have_another_shape(packages, verdicts):
            spec = self._named(self._discover())
            packages = self._rebuilder.full(spec)
            verdicts = judge_sources(self._state.packages, packages, self._cache)
        self._newest = (spec, packages)
        return self._apply(spec, packages, verdicts, started)

    def _may_have_another_shape(self, packages: ChainPackages, verdicts: Mapping[str, Verdict]) -> bool:
        if any(verdict.needs_discovery for verdict in verdicts.values()):
            return True
        spec, _ = self._newest
        if spec != self._state.spec:
            return True  # the last round read another shape but could not be applied
        module = (
            module_name(Path(spec.source).name) if Path(spec.source).parent == Path(spec.workspace) else None
        )
        entry = spec.chainlet(spec.entrypoint).spec
        name = entry.display_name
        if all(package.display_name != name for package in self._state.packages):
            return True  # what runs has no such Chainlet
        old, new = (source_tree(p.package(name)) for p in (self._state.packages, packages))
        if old == new:
            return False
        modules = {entry.module, *([module] if module else ())}
        return any(
            declared_chainlets(old, m, self._cache) != declared_chainlets(new, m, self._cache)
            for m in modules
        )

    def _named(self, spec: ChainSpec) -> ChainSpec:
        """The Chain under the name that the deployment has: an entrypoint may be renamed, a URL may not."""
        name = self._state.packages.chain_name
        if spec.chain_name == name:
            return spec
        text = f"the file calls the chain `{spec.chain_name}` now; its deployment is still called `{name}`"
        help_ = f"a new watch makes a deployment of that name; `--name {name}` keeps this one"
        self._report(
            Noted(Diagnostic(code=Code.BROKEN_SAVE, severity=Severity.WARNING, message=text, help=help_))
        )
        return spec.model_copy(update={"chain_name": name})

    # -- applying

    def _apply(
        self, spec: ChainSpec, packages: ChainPackages, verdicts: Mapping[str, Verdict], started: float
    ) -> bool:
        decisions = decide(self._state.packages, packages, verdicts, self._foreign)
        for decision in decisions:
            self._report(Decided(decision.display_name, decision.action, decision.reasons))
        wanted = self._wanted(packages, decisions)
        if _digests(wanted.manifest) == _digests(self._state.base.manifest):
            self._state = replace(self._state, spec=spec, packages=wanted)
            self._finish(decisions, None, started)
            return True
        judged = judged_steps(self._state.packages, packages, verdicts)
        changes = {
            d.display_name: ChainletChange(d.action, d.texts, judged.get(d.display_name)) for d in decisions
        }
        outcome = self._patch(wanted, changes)
        if not outcome.committed:
            return self._failed(outcome.diagnostics or (_refused(),), started)
        manifest = wanted.manifest
        base = PackageReply(
            deployment=self._state.base.deployment, version=outcome.version, manifest=manifest
        )
        self._state = State(spec, wanted, base)
        self._foreign = frozenset()
        self._finish(decisions, outcome, started)
        return True

    def look(self) -> bool:
        """Ask what runs. True if somebody else brought it there; the next round starts from it."""
        base = self._target.running()
        if (base.deployment, base.version) == (self._state.base.deployment, self._state.base.version):
            return False
        ours = (_digests(self._state.base.manifest), _digests(self._newest[1].manifest))
        self._rebase(base)
        return _digests(base.manifest) not in ours

    def _rebase(self, base: PackageReply) -> None:
        running, self._foreign = self._read_running(base, self._newest[1], self._state.packages)
        self._state = State(self._state.spec, running, base)

    def _patch(self, packages: ChainPackages, changes: Mapping[str, ChainletChange]) -> PatchOutcome:
        """Apply; if somebody else was quicker, say so, and let the next round start from what runs then."""
        try:
            return self._target.patch(packages, self._state.base, changes)
        except DiagnosticsError as error:
            if all(d.code is not Code.STALE_BASE for d in error.diagnostics):
                raise
            base = self._target.running()
            self._rebase(base)
            raise DiagnosticsError([_overtaken(base)]) from error

    def _wanted(self, packages: ChainPackages, decisions: tuple[Decision, ...]) -> ChainPackages:
        """What shall run: a Chainlet that needs nothing, or is not selected, keeps the package it has."""
        known = {package.display_name: package for package in self._state.packages}
        keeps = {d.display_name for d in decisions if d.action is Action.UNCHANGED or self._is_skipped(d)}

        def choose(package: Package) -> Package:
            name = package.display_name
            return known[name] if name in keeps and name in known else package

        return ChainPackages(
            packages.chain_name, packages.entrypoint, tuple(choose(p) for p in packages), packages.notes
        )

    def _is_skipped(self, decision: Decision) -> bool:
        return self._selected is not None and decision.display_name not in self._selected

    def _finish(self, decisions: tuple[Decision, ...], outcome: PatchOutcome | None, started: float) -> None:
        told = {c.display_name: c for c in outcome.chainlets} if outcome is not None else {}
        results = []
        for decision in decisions:
            name, fact = decision.display_name, told.get(decision.display_name)
            is_skipped = self._is_skipped(decision) and decision.action is not Action.UNCHANGED
            action = fact.action if fact is not None else Action.UNCHANGED if is_skipped else decision.action
            reasons = fact.reasons if fact is not None and fact.reasons else decision.texts
            results.append(
                ChainletResult(
                    name,
                    action,
                    reasons,
                    fact.elapsed_ms if fact is not None else 0.0,
                    fact.calls_on_old if fact is not None else 0,
                    is_skipped,
                )
            )
        results += [
            ChainletResult(fact.display_name, fact.action, fact.reasons, fact.elapsed_ms, fact.calls_on_old)
            for name, fact in told.items()
            if all(name != decision.display_name for decision in decisions)
        ]
        version = self._state.base.version
        self._report(RoundFinished(version, tuple(results), self._since(started), outcome is not None))

    def _shown(self, path: Path) -> str:
        root = Path(self._state.spec.workspace)
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)

    def _since(self, started: float) -> float:
        return (self._clock() - started) * 1000.0


class _Contents(Mapping[str, bytes]):
    """Contents by digest, each taken from its package when it is asked for."""

    def __init__(self, places: Mapping[str, tuple[Package, str]]) -> None:
        self._places = places

    def __getitem__(self, digest: str) -> bytes:
        package, path = self._places[digest]
        return package.files[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _digests(manifest: ChainManifest) -> tuple[str, Mapping[str, str]]:
    return manifest.entrypoint, {p.spec.display_name: p.digest for p in manifest.packages}


def _overtaken(base: PackageReply) -> Diagnostic:
    return Diagnostic(
        code=Code.STALE_BASE,
        message=f"version {base.version} runs, which this watch did not make; this save was not applied",
        help=f"the next save replaces it; `chains history {base.manifest.chain_name}` shows what happened",
    )


def _refused() -> Diagnostic:
    return Diagnostic(
        code=Code.PATCH_REFUSED,
        message="the deployment did not take the change, and gave no reason",
        help="look at `chains logs`, or push the development deployment again",
    )


__all__ = ["Discover", "State", "Target", "WatchSession"]
