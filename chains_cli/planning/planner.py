"""Packages and the remote's answer -> `Plan`. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chains_cli.packaging.package import ChainPackages, Package
from chains_cli.planning.plan import (
    Deploy,
    KeepChainlet,
    Patch,
    PatchChainlet,
    Plan,
    Promote,
    StartChainlet,
    Step,
    StopChainlet,
    UploadBlobs,
)
from chains_protocol.control import (
    DeployAction,
    DeploymentKind,
    DeployReason,
    DeployRequest,
    PackageReply,
    PlannedChainlet,
    PlanReply,
    PlanRequest,
)
from chains_protocol.errors import Code, Diagnostic, Severity
from chains_protocol.patch import Action, ChainletPatch, JudgedStep, PatchRequest

INLINE_BLOB_BYTES = 256 * 1024
"""A patch carries smaller contents itself; larger ones are uploaded before."""


@dataclass(frozen=True, slots=True)
class DeployWish:
    """What the author asks of a deployment besides its packages (see `DeployRequest`).

    `strict_target`: what the target cannot honour (CH311) refuses the deployment.
    """

    kind: DeploymentKind = DeploymentKind.PUBLISHED
    deployment_name: str | None = None
    environment: str | None = None
    allow_missing: tuple[str, ...] = ()
    strict_target: bool = False
    user_root: str = ""


@dataclass(frozen=True, slots=True)
class ChainletChange:
    """What watch decided for one Chainlet: the action and why, and what that was judged by."""

    action: Action
    reasons: tuple[str, ...] = ()
    judged: JudgedStep | None = None


def plan_request(packages: ChainPackages, wish: DeployWish) -> PlanRequest:
    """What to ask the remote before a deployment."""
    return PlanRequest(manifest=packages.manifest, kind=wish.kind, allow_missing=wish.allow_missing)


def make_plan(packages: ChainPackages, reply: PlanReply, wish: DeployWish | None = None) -> Plan:
    """Plan a deployment. A plan with error diagnostics has no steps: the remote would refuse it."""
    wish = wish or DeployWish()
    diagnostics = _as_refusals(reply.diagnostics) if wish.strict_target else reply.diagnostics
    refused = any(d.severity is Severity.ERROR for d in diagnostics)
    unchanged = not refused and _is_true_already(reply, wish)
    steps: tuple[Step, ...] = ()
    if not refused:
        chainlets = tuple(_chainlet_step(planned) for planned in reply.chainlets)
        closing = () if unchanged else _closing(packages, wish)
        steps = (*_uploads(packages, reply.missing_blobs), *chainlets, *closing)
    return Plan(
        chain_name=packages.chain_name,
        steps=steps,
        current_deployment=reply.current_deployment,
        current=reply.current,
        unchanged=unchanged,
        diagnostics=diagnostics,
    )


def _as_refusals(diagnostics: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """The same, where what the target cannot honour is an error."""
    return tuple(
        d.model_copy(update={"severity": Severity.ERROR}) if d.code is Code.TARGET_MISMATCH else d
        for d in diagnostics
    )


def make_patch_plan(
    packages: ChainPackages,
    base: PackageReply,
    changes: Mapping[str, ChainletChange],
    *,
    smoke: Mapping[str, object] | None = None,
    attempt: str = "",
) -> Plan:
    """Plan a patch of the development deployment that runs `base`.

    Args:
        packages: the Chain as it shall be.
        base: what runs, as the remote told it.
        changes: by display name; a Chainlet that is missing here and whose package differs
            is restarted, one that is new is redeployed.
        smoke: the entrypoint's input for a call before the new version becomes visible.
        attempt: what the patch is called if it is to be given up.
    """
    running = {p.spec.display_name: p for p in base.manifest.packages}
    patches = tuple(
        _patch(package, running.get(package.display_name) is None, changes.get(package.display_name))
        for package in packages
        if _differs(package, base)
    )
    wanted = {package.display_name for package in packages}
    removed = tuple(name for name in running if name not in wanted)
    inline, large = _new_blobs(packages, base)
    request = PatchRequest(
        deployment=base.deployment,
        base_version=base.version,
        base={name: manifest.digest for name, manifest in running.items()},
        entrypoint=packages.entrypoint,
        chainlets=patches,
        removed=removed,
        blobs=inline,
        smoke=dict(smoke) if smoke is not None else None,
        attempt=attempt,
    )
    changed = {patch.manifest.spec.display_name: patch for patch in patches}
    steps: tuple[Step, ...] = (
        *_uploads(packages, tuple(large)),
        *(_patch_step(package, changed.get(package.display_name)) for package in packages),
        *(StopChainlet(name, DeployReason.REMOVED, running[name].digest) for name in removed),
    )
    unchanged = not patches and not removed and packages.entrypoint == base.manifest.entrypoint
    if not unchanged:
        steps = (*steps, Patch(packages.chain_name, request))
    return Plan(packages.chain_name, steps, base.deployment, unchanged=unchanged)


def _chainlet_step(planned: PlannedChainlet) -> Step:
    name, reason, digest = planned.display_name, planned.reason, planned.package_digest
    match planned.action:
        case DeployAction.KEEP:
            return KeepChainlet(name, reason, digest)
        case DeployAction.START:
            return StartChainlet(name, reason, digest, builds_environment=not planned.environment_ready)
        case DeployAction.STOP:
            return StopChainlet(name, reason, digest)


def _uploads(packages: ChainPackages, missing: Sequence[str]) -> tuple[UploadBlobs, ...]:
    digests = tuple(dict.fromkeys(missing))
    if not digests:
        return ()
    return (UploadBlobs(digests, sum(packages.sizes(digests).values())),)


def _closing(packages: ChainPackages, wish: DeployWish) -> tuple[Step, ...]:
    """The step that makes it so, and what the remote does once it is."""
    chain = packages.chain_name
    request = DeployRequest(
        manifest=packages.manifest,
        kind=wish.kind,
        deployment_name=wish.deployment_name,
        environment=wish.environment,
        allow_missing=wish.allow_missing,
        user_root=wish.user_root,
    )
    promote = (Promote(chain, wish.environment),) if wish.environment else ()
    return (Deploy(chain, request), *promote)


def _is_true_already(reply: PlanReply, wish: DeployWish) -> bool:
    """Whether nothing is left to ask for: the same packages run, in the wished environment if any."""
    if not reply.unchanged:
        return False
    environments = reply.current.environments if reply.current is not None else ()
    return wish.environment is None or wish.environment in environments


def _differs(package: Package, base: PackageReply) -> bool:
    """Whether the package, or a setting that its files do not show, is not what runs."""
    try:
        running = base.manifest.package(package.display_name)
    except KeyError:
        return True
    return running != package.manifest


def _patch(package: Package, is_new: bool, change: ChainletChange | None) -> ChainletPatch:
    if is_new:
        change = ChainletChange(Action.REDEPLOYED, ("it is new",))
    elif change is None or change.action is Action.UNCHANGED:
        change = ChainletChange(Action.RESTARTED, ("its package differs from what runs",))
    return ChainletPatch(
        manifest=package.manifest, action=change.action, reasons=change.reasons, judged=change.judged
    )


def _patch_step(package: Package, patch: ChainletPatch | None) -> Step:
    name, digest = package.display_name, package.manifest.digest
    if patch is None:
        return KeepChainlet(name, DeployReason.SAME_DIGEST, digest)
    return PatchChainlet(name, patch.action, patch.reasons, digest)


def _new_blobs(packages: ChainPackages, base: PackageReply) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Contents that `base` does not have: those small enough to travel in the patch, and the others."""
    known = {entry.digest for manifest in base.manifest.packages for entry in manifest.files}
    inline: dict[str, bytes] = {}
    large: dict[str, bytes] = {}
    for package in packages:
        for entry in package.manifest.files:
            if entry.digest not in known:
                chosen = inline if entry.size_bytes <= INLINE_BLOB_BYTES else large
                chosen[entry.digest] = package.files[entry.path]
    return inline, large


__all__ = [
    "INLINE_BLOB_BYTES",
    "ChainletChange",
    "DeployWish",
    "make_patch_plan",
    "make_plan",
    "plan_request",
]
