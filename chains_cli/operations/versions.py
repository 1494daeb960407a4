"""Versions of a development deployment: go back to an earlier one, or publish the one that runs.

Both need no workspace: the platform keeps the packages of every version.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from chains_cli import events
from chains_cli.events import Report
from chains_cli.exits import Exit
from chains_cli.operations.push import PushOptions, PushResult, follow_deployment
from chains_cli.packaging.package import Package
from chains_cli.planning.plan import KeepChainlet, Plan, StartChainlet
from chains_cli.planning.planner import ChainletChange
from chains_cli.remotes.remote import DEVELOPMENT, Remote
from chains_cli.watching.decide import package_reasons
from chains_protocol.control import (
    DeployAction,
    DeploymentKind,
    DeployRequest,
    PackageReply,
    PlannedChainlet,
    PlanRequest,
    VersionInfo,
    VersionList,
)
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Severity
from chains_protocol.manifest import ChainManifest, PackageManifest
from chains_protocol.patch import Action, ChainletOutcome, ChainletPatch, PatchOutcome, PatchRequest


@dataclass(frozen=True, slots=True)
class UndoResult:
    """What is true now. `restored` is the earlier version whose packages `version` runs."""

    chain: str
    deployment: str
    version: int
    restored: int
    chainlets: tuple[ChainletOutcome, ...] = ()
    elapsed_ms: float = 0.0
    diagnostics: tuple[Diagnostic, ...] = ()
    exit_code: int = Exit.OK


def undo(remote: Remote, chain: str, to: int | None = None) -> UndoResult:
    """Bring the development deployment back to its previous version, or to version `to`.

    A new version with the former packages: requests stay with the version they began with.
    Repeated, it walks further back.

    Raises:
        DiagnosticsError: CH303, CH304 (also if there is nothing to go back to), CH305 if
            somebody else changed it meanwhile.
    """
    running = remote.manifest(chain, DEVELOPMENT)
    known = remote.versions(chain, DEVELOPMENT)
    target = previous_version(known, running) if to is None else _resolve(known, to)
    if target is None:
        raise DiagnosticsError([_nothing(chain, running)])
    wanted = remote.manifest(chain, DEVELOPMENT, target)
    if wanted.manifest == running.manifest:
        return UndoResult(chain, running.deployment, running.version, target)
    outcome = remote.patch(chain, undo_request(running, wanted))
    return _undone(chain, running, target, outcome)


def previous_version(known: VersionList, running: PackageReply) -> int | None:
    """The version before the one that runs; None if there is none.

    A version that brought an earlier one back counts as that one, and versions with equal
    packages as one: each step back changes what runs.
    """
    current = {p.spec.display_name: p.digest for p in running.manifest.packages}
    entrypoint = running.manifest.entrypoint
    before = _resolve(known, running.version)
    if before is None:
        return None
    for version in known.versions:
        is_same = version.packages == current and version.entrypoint == entrypoint
        if version.version < before and not is_same:
            return _resolve(known, version.version)
    return None


def _resolve(known: VersionList, number: int) -> int | None:
    """The version whose packages `number` runs: itself, or the one it brought back."""
    by_number: Mapping[int, VersionInfo] = {v.version: v for v in known.versions}
    while (found := by_number.get(number)) is not None:
        if found.restores is None or found.restores not in by_number:
            return number
        number = found.restores
    return number


def undo_request(running: PackageReply, wanted: PackageReply) -> PatchRequest:
    """The patch from what runs to an earlier version; what its code needs is judged by the replicas."""
    now = {p.spec.display_name: p for p in running.manifest.packages}
    packages = wanted.manifest.packages
    changed = [p for p in packages if now.get(p.spec.display_name) != p]
    names = {p.spec.display_name for p in packages}
    return PatchRequest(
        deployment=running.deployment,
        base_version=running.version,
        base={name: p.digest for name, p in now.items()},
        entrypoint=wanted.manifest.entrypoint,
        chainlets=tuple(_patch(now.get(p.spec.display_name), p, wanted.version) for p in changed),
        removed=tuple(name for name in now if name not in names),
        restores=wanted.version,
    )


def _patch(before: PackageManifest | None, after: PackageManifest, version: int) -> ChainletPatch:
    text = f"back to version {version}"
    if before is None:
        change = ChainletChange(Action.REDEPLOYED, (text,))
    else:
        reasons = tuple(package_reasons(Package({}, before), Package({}, after)))
        action = Action.PATCHED
        for reason in reasons:
            action = action.at_least(reason.action)
        change = ChainletChange(action, (text, *(reason.text for reason in reasons)))
    return ChainletPatch(manifest=after, action=change.action, reasons=change.reasons)


def _undone(chain: str, running: PackageReply, target: int, outcome: PatchOutcome) -> UndoResult:
    return UndoResult(
        chain,
        running.deployment,
        outcome.version,
        target,
        outcome.chainlets,
        outcome.elapsed_ms,
        outcome.diagnostics,
        exit_code=Exit.OK if outcome.committed else Exit.DEPLOY_FAILED,
    )


def _nothing(chain: str, running: PackageReply) -> Diagnostic:
    return Diagnostic(
        code=Code.UNKNOWN_DEPLOYMENT,
        message=f"version {running.version} of the development deployment of `{chain}` has none before it",
        help=f"`chains history {chain}` lists the versions",
    )


def publish(
    remote: Remote,
    chain: str,
    *,
    options: PushOptions,
    report: Report,
    clock: Callable[[], float] = time.monotonic,
) -> PushResult:
    """Make a published deployment of exactly what the development deployment runs.

    Raises:
        DiagnosticsError: CH303, CH304, or what keeps the remote from running it.
    """
    running = remote.manifest(chain, DEVELOPMENT)
    missing = options.allow_missing or running.allow_missing
    reply = remote.plan(chain, PlanRequest(manifest=running.manifest, allow_missing=missing))
    errors = tuple(d for d in reply.diagnostics if d.severity is Severity.ERROR)
    if errors:
        raise DiagnosticsError(errors)
    for diagnostic in reply.diagnostics:
        report(events.Found(diagnostic))
    for line in _plan_lines(reply.chainlets):
        report(line)
    request = DeployRequest(
        manifest=running.manifest,
        kind=DeploymentKind.PUBLISHED,
        deployment_name=options.deployment_name,
        environment=options.target_environment,
        allow_missing=missing,
        user_root=running.user_root,
    )
    deployment = remote.deploy(chain, request)
    is_old = reply.unchanged and deployment.id == reply.current_deployment
    plan = Plan(chain, tuple(_steps(running.manifest, reply.chainlets)), reply.current_deployment)
    result = PushResult(chain, plan=plan, unchanged=is_old, waited=options.wait)
    return follow_deployment(result, deployment, options, remote=remote, report=report, clock=clock)


def _plan_lines(planned: tuple[PlannedChainlet, ...]) -> Iterator[events.PlanLine]:
    for chainlet in planned:
        yield events.PlanLine(
            chainlet.display_name, chainlet.action.value, chainlet.reason.value, detail=True
        )


def _steps(
    manifest: ChainManifest, planned: tuple[PlannedChainlet, ...]
) -> Iterator[KeepChainlet | StartChainlet]:
    names = {p.spec.display_name for p in manifest.packages}
    for chainlet in planned:
        if chainlet.display_name in names:
            kind = KeepChainlet if chainlet.action is DeployAction.KEEP else StartChainlet
            yield kind(chainlet.display_name, chainlet.reason, chainlet.package_digest)


__all__ = ["UndoResult", "previous_version", "publish", "undo", "undo_request"]
