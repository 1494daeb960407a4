"""Manifest and state -> what a deployment would do, with reasons. Pure."""

from collections.abc import Callable, Iterable
from typing import Final

from chains_platform.state import DeploymentRecord, SetRecord, State, settings_key
from chains_protocol.control import (
    DeployAction,
    DeploymentKind,
    DeployReason,
    PlannedChainlet,
    PlanReply,
)
from chains_protocol.errors import Diagnostic
from chains_protocol.manifest import SPEC_FILE, ChainManifest, EnvironmentSpec, PackageManifest
from chains_protocol.replica import ReplicaState

_RENDERED: Final = (SPEC_FILE, "config.yaml")
"""Files that hold the settings, so that they change with them."""


def reusable_set(
    state: State, package: PackageManifest, environment: str | None, current: DeploymentRecord | None = None
) -> SetRecord | None:
    """A running set that would serve this package just so.

    Published deployments share any set of their own kind; a development deployment
    (`current`) only keeps its own.
    """
    owner = current.id if current is not None and current.is_development else None
    wanted = settings_key(package, environment)
    for found in state.sets.values():
        if found.owner != owner or found.package.digest != package.digest or found.settings != wanted:
            continue
        if owner is not None and not _serves_now(current, found.id):
            continue
        if found.display_name == package.spec.display_name and _is_running(state, found):
            return found
    return None


def _serves_now(current: DeploymentRecord | None, set_id: str) -> bool:
    return current is not None and any(m.set_id == set_id and m.until is None for m in current.members)


def _is_running(state: State, record: SetRecord) -> bool:
    """Ready, or about to be: another deployment may be starting it right now."""
    replicas = state.replicas_of(record.id)
    return record.id in state.referenced_sets() and not any(r.state is ReplicaState.FAILED for r in replicas)


def current_deployment(state: State, chain: str, kind: DeploymentKind) -> DeploymentRecord | None:
    """What a new deployment of that kind is compared with."""
    if kind is DeploymentKind.DEVELOPMENT:
        return state.development_of(chain)
    return state.newest_active(chain)


def is_unchanged(state: State, manifest: ChainManifest, current: DeploymentRecord | None) -> bool:
    """Whether `current` serves exactly this manifest already."""
    if current is None or not current.is_live or current.entrypoint != manifest.entrypoint:
        return False
    if {p.spec.display_name for p in manifest.packages} != {p.spec.display_name for p in current.packages}:
        return False
    for package in manifest.packages:
        member = current.member(package.spec.display_name)
        found = state.sets.get(member.set_id) if member else None
        if found is None or not _is_running(state, found) or found.package.digest != package.digest:
            return False
        if found.settings != settings_key(package, current.environment):
            return False
    return True


def plan(
    state: State,
    manifest: ChainManifest,
    kind: DeploymentKind,
    *,
    missing_blobs: Iterable[str] = (),
    environment_ready: Callable[[EnvironmentSpec], bool] = lambda _: True,
    diagnostics: tuple[Diagnostic, ...] = (),
    environment: str | None = None,
) -> PlanReply:
    """What pushing this manifest would do now."""
    current = current_deployment(state, manifest.chain_name, kind)
    if current is not None:
        environment = environment if environment is not None else current.environment
    planned = [
        _planned(
            state,
            package,
            kind=kind,
            current=current,
            environment=environment,
            environment_ready=environment_ready,
        )
        for package in manifest.packages
    ]
    kept = {p.display_name for p in planned}
    former = current.packages if current is not None and current.is_live else ()
    planned += [_stopped(p) for p in former if p.spec.display_name not in kept]
    return PlanReply(
        chainlets=tuple(planned),
        missing_blobs=tuple(sorted(set(missing_blobs))),
        current_deployment=current.id if current is not None and current.is_live else None,
        unchanged=is_unchanged(state, manifest, current),
        diagnostics=diagnostics,
    )


def _stopped(package: PackageManifest) -> PlannedChainlet:
    return PlannedChainlet(
        display_name=package.spec.display_name,
        action=DeployAction.STOP,
        reason=DeployReason.REMOVED,
        package_digest=package.digest,
    )


def _planned(
    state: State,
    package: PackageManifest,
    *,
    kind: DeploymentKind,
    current: DeploymentRecord | None,
    environment: str | None,
    environment_ready: Callable[[EnvironmentSpec], bool],
) -> PlannedChainlet:
    # a development deployment only keeps what it has itself; without one nothing is kept
    can_keep = kind is DeploymentKind.PUBLISHED or current is not None
    found = reusable_set(state, package, environment, current) if can_keep else None
    if found is not None:
        action, reason = DeployAction.KEEP, DeployReason.SAME_DIGEST
    else:
        action, reason = DeployAction.START, _start_reason(state, package, kind, current)
    return PlannedChainlet(
        display_name=package.spec.display_name,
        action=action,
        reason=reason,
        package_digest=package.digest,
        environment_ready=found is not None or environment_ready(package.environment),
    )


def _start_reason(
    state: State, package: PackageManifest, kind: DeploymentKind, current: DeploymentRecord | None
) -> DeployReason:
    if current is None or not current.is_live:
        development = kind is DeploymentKind.DEVELOPMENT
        return DeployReason.DEVELOPMENT if development else DeployReason.NEW
    former = current.package(package.spec.display_name)
    if former is None:
        return DeployReason.NEW
    if former.digest == package.digest and former.environment == package.environment:
        member = current.member(package.spec.display_name)
        found = state.sets.get(member.set_id) if member else None
        runs = found is not None and _is_running(state, found)
        return DeployReason.SETTINGS_CHANGED if runs else DeployReason.NOT_RUNNING
    return DeployReason.SETTINGS_CHANGED if _same_content(former, package) else DeployReason.PACKAGE_CHANGED


def _same_content(former: PackageManifest, package: PackageManifest) -> bool:
    """Whether all files are equal but those that are rendered from the settings."""

    def content(manifest: PackageManifest) -> dict[str, str]:
        return {f.path: f.digest for f in manifest.files if f.path not in _RENDERED}

    return content(former) == content(package)


__all__ = ["current_deployment", "is_unchanged", "plan", "reusable_set"]
