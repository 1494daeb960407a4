"""What the in-memory remote remembers, as frozen records and pure functions over them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from chains_protocol.control import (
    ChainletStatus,
    DeployAction,
    DeploymentInfo,
    DeploymentKind,
    DeploymentState,
    DeployReason,
    PlannedChainlet,
    VersionInfo,
    VersionList,
)
from chains_protocol.errors import Diagnostic
from chains_protocol.manifest import ChainManifest, PackageManifest
from chains_protocol.patch import Action, ChainletOutcome, ChainletPatch, PatchRequest
from chains_protocol.replica import ReplicaState

BASE_URL = "memory://gateway"

_REPLICA_STATES = {
    DeploymentState.ACTIVE: ReplicaState.READY,
    DeploymentState.FAILED: ReplicaState.FAILED,
    DeploymentState.INACTIVE: ReplicaState.STOPPED,
    DeploymentState.DELETED: ReplicaState.STOPPED,
}


@dataclass(frozen=True, slots=True)
class Version:
    """What one version of a development deployment was."""

    version: int
    at: float
    manifest: ChainManifest
    restores: int | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment; `environments` are those that point at it."""

    id: str
    kind: DeploymentKind
    state: DeploymentState
    manifest: ChainManifest
    created_at: float
    name: str | None = None
    version: int = 1
    diagnostics: tuple[Diagnostic, ...] = ()
    versions: tuple[Version, ...] = ()

    @property
    def is_active(self) -> bool:
        return self.state is DeploymentState.ACTIVE

    def remembering(self, at: float, restores: int | None = None) -> "Deployment":
        """The same, its current version among those it can go back to."""
        if self.kind is not DeploymentKind.DEVELOPMENT:
            return self
        earlier = tuple(v for v in self.versions if v.version < self.version)
        return replace(self, versions=(*earlier, Version(self.version, at, self.manifest, restores)))

    def package(self, display_name: str) -> PackageManifest | None:
        return next((p for p in self.manifest.packages if p.spec.display_name == display_name), None)


@dataclass(frozen=True, slots=True)
class Chain:
    """Deployments oldest first; `pointers` maps an environment to what it pointed at, newest last."""

    name: str
    created_at: float
    deployments: tuple[Deployment, ...] = ()
    pointers: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def find(self, selector: str) -> Deployment | None:
        """By id, `development` or `latest`."""
        live = [d for d in self.deployments if d.state is not DeploymentState.DELETED]
        if selector == "development":
            return next((d for d in live if d.kind is DeploymentKind.DEVELOPMENT), None)
        if selector == "latest":
            active = [d for d in live if d.kind is DeploymentKind.PUBLISHED and d.is_active]
            return active[-1] if active else None
        return next((d for d in live if d.id == selector), None)

    def current(self, kind: DeploymentKind) -> Deployment | None:
        """What a new deployment of that kind is compared with."""
        return self.find("development" if kind is DeploymentKind.DEVELOPMENT else "latest")

    def environments_of(self, deployment: str) -> tuple[str, ...]:
        return tuple(sorted(name for name, history in self.pointers.items() if history[-1] == deployment))

    def with_deployment(self, changed: Deployment) -> "Chain":
        """The chain with that deployment replaced, or added as the newest."""
        known = any(d.id == changed.id for d in self.deployments)
        replaced = tuple(changed if d.id == changed.id else d for d in self.deployments)
        return replace(self, deployments=replaced if known else (*self.deployments, changed))

    def pointing(self, environment: str, deployment: str) -> "Chain":
        """The chain with the environment pointing there."""
        history = self.pointers.get(environment, ())
        if history and history[-1] == deployment:
            return self
        return replace(self, pointers={**self.pointers, environment: (*history, deployment)})

    def without_superseded(self) -> "Chain":
        """Published deployments that are not the newest, and that no environment needs, are inactive."""
        newest = self.find("latest")
        needed = {d for history in self.pointers.values() for d in history[-2:]}
        kept = tuple(
            replace(d, state=DeploymentState.INACTIVE)
            if d.is_active
            and d.kind is DeploymentKind.PUBLISHED
            and d.id not in needed
            and newest is not None
            and d.id != newest.id
            else d
            for d in self.deployments
        )
        return replace(self, deployments=kept)


def plan_chainlets(
    manifest: ChainManifest, current: Deployment | None, kind: DeploymentKind
) -> tuple[PlannedChainlet, ...]:
    """What a deployment of `manifest` would do, Chainlet by Chainlet."""
    live = current if current is not None and current.is_active else None
    names = {p.spec.display_name for p in manifest.packages}
    removed = (p for p in (live.manifest.packages if live else ()) if p.spec.display_name not in names)
    return (
        *(_planned(package, live, kind) for package in manifest.packages),
        *(_removed(package) for package in removed),
    )


def _removed(package: PackageManifest) -> PlannedChainlet:
    return PlannedChainlet(
        display_name=package.spec.display_name,
        action=DeployAction.STOP,
        reason=DeployReason.REMOVED,
        package_digest=package.digest,
    )


def _planned(package: PackageManifest, current: Deployment | None, kind: DeploymentKind) -> PlannedChainlet:
    former = current.package(package.spec.display_name) if current is not None else None
    action = DeployAction.START
    if former is None:
        is_first = kind is DeploymentKind.DEVELOPMENT and current is None
        reason = DeployReason.DEVELOPMENT if is_first else DeployReason.NEW
    elif former == package:
        action, reason = DeployAction.KEEP, DeployReason.SAME_DIGEST
    elif former.digest == package.digest:
        reason = DeployReason.SETTINGS_CHANGED
    else:
        reason = DeployReason.PACKAGE_CHANGED
    return PlannedChainlet(
        display_name=package.spec.display_name, action=action, reason=reason, package_digest=package.digest
    )


def is_same(current: Deployment | None, manifest: ChainManifest) -> bool:
    """Whether `current` serves exactly this manifest."""
    return current is not None and current.is_active and current.manifest == manifest


def missing_blobs(packages: Iterable[PackageManifest], known: Iterable[str]) -> tuple[str, ...]:
    """Digests that are named but not stored, sorted."""
    wanted = {entry.digest for package in packages for entry in package.files}
    return tuple(sorted(wanted - set(known)))


def next_packages(current: Deployment, request: PatchRequest) -> tuple[PackageManifest, ...]:
    """The packages after a patch."""
    gone = set(request.removed)
    packages = {p.spec.display_name: p for p in current.manifest.packages if p.spec.display_name not in gone}
    packages |= {c.manifest.spec.display_name: c.manifest for c in request.chainlets}
    return tuple(packages.values())


def outcomes(request: PatchRequest, packages: Iterable[PackageManifest]) -> tuple[ChainletOutcome, ...]:
    """What a patch did to each Chainlet: what was asked for, else nothing."""
    changed = {c.manifest.spec.display_name: c for c in request.chainlets}
    return tuple(_outcome(package, changed.get(package.spec.display_name)) for package in packages)


def _outcome(package: PackageManifest, patch: ChainletPatch | None) -> ChainletOutcome:
    return ChainletOutcome(
        display_name=package.spec.display_name,
        action=patch.action if patch else Action.UNCHANGED,
        package_digest=package.digest,
        reasons=patch.reasons if patch else (),
    )


def info(chain: Chain, deployment: Deployment) -> DeploymentInfo:
    """The deployment as a control plane shows it."""
    manifest = deployment.manifest
    endpoint = manifest.package(manifest.entrypoint).spec.endpoint
    method = "websocket" if endpoint.is_websocket else "run_remote"
    is_development = deployment.kind is DeploymentKind.DEVELOPMENT
    selector = "development" if is_development else f"deployment/{deployment.id}"
    environments = chain.environments_of(deployment.id)
    base = f"{BASE_URL}/chains/{chain.name}"
    named = ["production" if e == "production" else f"environments/{e}" for e in environments]
    return DeploymentInfo(
        id=deployment.id,
        chain_name=chain.name,
        name=deployment.name,
        kind=deployment.kind,
        state=deployment.state,
        version=deployment.version,
        entrypoint=manifest.entrypoint,
        created_at=deployment.created_at,
        environments=environments,
        chainlets=tuple(_status(deployment, package) for package in manifest.packages),
        run_remote_url=f"{base}/{selector}/{method}",
        environment_url=f"{base}/{named[0]}/{method}" if named else "",
        is_websocket=endpoint.is_websocket,
        is_streaming=endpoint.is_streaming,
        input_schema=endpoint.input_schema,
        diagnostics=deployment.diagnostics,
    )


def _status(deployment: Deployment, package: PackageManifest) -> ChainletStatus:
    failed = deployment.state is DeploymentState.FAILED
    return ChainletStatus(
        display_name=package.spec.display_name,
        class_name=package.spec.class_name,
        is_entrypoint=package.spec.display_name == deployment.manifest.entrypoint,
        package_digest=package.digest,
        state=_REPLICA_STATES.get(deployment.state, ReplicaState.STARTING),
        reason=deployment.diagnostics[0].message if failed and deployment.diagnostics else "",
    )


def version_list(deployment: Deployment) -> VersionList:
    """The versions of a deployment, newest first."""
    versions = tuple(
        VersionInfo(
            version=v.version,
            at=v.at,
            entrypoint=v.manifest.entrypoint,
            packages={p.spec.display_name: p.digest for p in v.manifest.packages},
            restores=v.restores,
        )
        for v in reversed(deployment.versions)
    )
    return VersionList(deployment=deployment.id, versions=versions)


__all__ = [
    "Chain",
    "Deployment",
    "Version",
    "info",
    "is_same",
    "missing_blobs",
    "next_packages",
    "outcomes",
    "plan_chainlets",
    "version_list",
]
