"""What a patch comes to: its conflicts, its next packages, and how each Chainlet gets its own. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from chains_platform.state import DeploymentRecord, State, settings_key
from chains_protocol.errors import Code, Diagnostic
from chains_protocol.manifest import PackageManifest
from chains_protocol.patch import Action, ChainletPatch, JudgedStep, PatchRequest

_IN_PLACE = (Action.PATCHED, Action.RELOADED)


@dataclass(frozen=True)
class InPlace:
    """Replicas of a set load the package beside what they run."""

    display_name: str
    set_id: str
    base_digest: str
    package: PackageManifest
    action: Action
    reasons: tuple[str, ...]
    judged: JudgedStep | None = None


@dataclass(frozen=True)
class Beside:
    """New replicas are started beside those that run, if any."""

    display_name: str
    package: PackageManifest
    action: Action
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class PatchPlan:
    """All of one patch. `packages` are those of the next version, dependencies first."""

    version: int
    entrypoint: str
    packages: tuple[PackageManifest, ...]
    in_place: tuple[InPlace, ...] = ()
    beside: tuple[Beside, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[PackageManifest, ...] = ()


def find_conflicts(record: DeploymentRecord, request: PatchRequest) -> tuple[Diagnostic, ...]:
    """How what the author's side believes to run differs from what does."""
    if request.base_version != record.version:
        message = (
            f"the deployment is at version {record.version}, the patch was made for {request.base_version}"
        )
        return (_stale(message),)
    actual = {p.spec.display_name: p.digest for p in record.packages}
    names = sorted(actual.keys() | request.base.keys())
    return tuple(
        _stale(f"`{name}` runs another package than the patch was made for", name)
        for name in names
        if actual.get(name) != request.base.get(name)
    )


def next_packages(record: DeploymentRecord, request: PatchRequest) -> tuple[PackageManifest, ...]:
    """The packages after the patch, dependencies first.

    A cycle is left as it is: `validation` then names what is out of order.
    """
    gone = set(request.removed)
    found = {p.spec.display_name: p for p in record.packages if p.spec.display_name not in gone}
    found |= {c.manifest.spec.display_name: c.manifest for c in request.chainlets}
    graph = {
        name: [d.display_name for d in p.spec.dependencies if d.display_name in found]
        for name, p in found.items()
    }
    try:
        order: Iterable[str] = TopologicalSorter(graph).static_order()
        return tuple(found[name] for name in order)
    except CycleError:
        return tuple(found.values())


def make_plan(
    state: State, record: DeploymentRecord, request: PatchRequest, packages: tuple[PackageManifest, ...]
) -> PatchPlan:
    """How every Chainlet gets what the next version needs."""
    changed = {c.manifest.spec.display_name: c for c in request.chainlets}
    in_place: list[InPlace] = []
    beside: list[Beside] = []
    unchanged: list[str] = []
    for package in packages:
        name = package.spec.display_name
        asked = changed.get(name)
        if asked is None or _is_same(record, asked):
            unchanged.append(name)
            continue
        step = _step(state, record, asked)
        if isinstance(step, InPlace):
            in_place.append(step)
        else:
            beside.append(step)
    kept = {p.spec.display_name for p in packages}
    return PatchPlan(
        version=record.version + 1,
        entrypoint=request.entrypoint,
        packages=packages,
        in_place=tuple(in_place),
        beside=tuple(beside),
        unchanged=tuple(unchanged),
        removed=tuple(p for p in record.packages if p.spec.display_name not in kept),
    )


def heavier(step: InPlace, action: Action, reasons: tuple[str, ...]) -> InPlace | Beside:
    """The same step with an action that the replica found necessary, and its reasons."""
    merged = tuple(dict.fromkeys((*step.reasons, *reasons)))
    if action in _IN_PLACE:
        return InPlace(
            step.display_name,
            step.set_id,
            step.base_digest,
            step.package,
            step.action.at_least(action),
            merged,
            step.judged,
        )
    return Beside(step.display_name, step.package, action, merged)


def _is_same(record: DeploymentRecord, asked: ChainletPatch) -> bool:
    former = record.package(asked.manifest.spec.display_name)
    return former == asked.manifest and asked.action is Action.UNCHANGED


def _step(state: State, record: DeploymentRecord, asked: ChainletPatch) -> InPlace | Beside:
    package, name = asked.manifest, asked.manifest.spec.display_name
    if asked.action not in (Action.UNCHANGED, *_IN_PLACE):
        return Beside(name, package, asked.action, asked.reasons)
    member = record.member(name)
    found = state.sets.get(member.set_id) if member is not None else None
    why: str | None = None
    action = Action.RESTARTED
    if found is None:
        why, action = "it is new", Action.REDEPLOYED
    elif found.package.environment != package.environment:
        why, action = "its environment changed", Action.REBUILT
    elif found.settings != settings_key(package, found.environment):
        why = "its settings changed"
    elif not state.ready_replicas(found.id):
        why = "no replica of it is ready"
    if found is None or why is not None:
        return Beside(name, package, action, (*asked.reasons, why or ""))
    # bytes that differ have to get there, even where nothing of them is code
    asked_action = Action.PATCHED.at_least(asked.action)
    return InPlace(name, found.id, found.package.digest, package, asked_action, asked.reasons, asked.judged)


def _stale(message: str, chainlet: str | None = None) -> Diagnostic:
    return Diagnostic(
        code=Code.STALE_BASE,
        message=message,
        help="someone else changed it first: read what runs and make the patch again",
        chainlet=chainlet,
    )


__all__ = ["Beside", "InPlace", "PatchPlan", "find_conflicts", "heavier", "make_plan", "next_packages"]
