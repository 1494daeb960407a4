"""The steps that every new version takes: environments, packages, replica sets, ready.

Used by deployments and by the heavier part of a patch.
"""

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial

from chains_platform import changes
from chains_platform.parts import Parts
from chains_platform.replicas.reconcile import describe_failure
from chains_platform.replicas.reconciler import start_limit_s
from chains_platform.state import DeploymentRecord, SetRecord, State, settings_key
from chains_protocol.control import EventKind
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.manifest import EnvironmentSpec, PackageManifest
from chains_protocol.replica import ReplicaState


class Rollout:
    """Prepares a version of a deployment beside what runs; makes nothing visible."""

    def __init__(self, parts: Parts) -> None:
        self._ledger = parts.ledger
        self._engine = parts.engine
        self._blobs = parts.blobs
        self._events = parts.events
        self._distribution = parts.distribution
        self._new_id = parts.new_id
        self._start_timeout_s = parts.timeouts.start_s

    def new_set(self, record: DeploymentRecord, package: PackageManifest, version: int) -> SetRecord:
        """A replica set for that package; only data, nothing starts."""
        return SetRecord(
            id=self._new_id(),
            chain=record.chain,
            package=package,
            settings=settings_key(package, record.environment),
            deployment=record.id,
            owner=record.id if record.is_development else None,
            since=version if record.is_development else 1,
            wanted=max(1, package.spec.autoscaling.min_replicas),
            environment=record.environment,
            user_root=record.user_root,
        )

    async def build(self, record: DeploymentRecord, packages: Iterable[PackageManifest]) -> None:
        """Environments and package directories.

        Raises:
            DiagnosticsError: CH312, CH318, CH507.
        """
        found = list(packages)
        for package in found:
            await self._build_environment(record, package)
        await asyncio.to_thread(lambda: [self._blobs.materialise(p) for p in found])

    async def _build_environment(self, record: DeploymentRecord, package: PackageManifest) -> None:
        spec = package.environment
        if await asyncio.to_thread(self._engine.environment_ready, spec):
            return
        name = package.spec.display_name
        add = partial(self._events.add, chain=record.chain, deployment=record.id, chainlet=name)
        add(EventKind.BUILD_STARTED, message=_requirements(spec))
        try:
            await self._engine.ensure_environment(
                spec, lambda line: void(add(EventKind.BUILD_OUTPUT, message=line))
            )
        except DiagnosticsError as error:
            add(EventKind.BUILD_FINISHED, message=error.diagnostics[0].message, ok=False)
            named = (d.model_copy(update={"chainlet": d.chainlet or name}) for d in error.diagnostics)
            raise DiagnosticsError(named) from error
        add(EventKind.BUILD_FINISHED, ok=True)

    async def start(
        self,
        deployment_id: str,
        version: int,
        packages: tuple[PackageManifest, ...],
        sets: Mapping[str, SetRecord],
    ) -> None:
        """Add the sets as members `since version` and wait until the whole version could serve.

        Raises:
            DiagnosticsError: why a replica did not start; CH503 after the start timeout.
        """
        self._ledger.apply(lambda s: changes.prepare_version(s, deployment_id, version, packages, sets))
        names = [p.spec.display_name for p in packages]
        limit_s = max(start_limit_s(p, self._start_timeout_s) for p in packages)
        try:
            problems = await self._ledger.wait(lambda s: readiness(s, deployment_id, version, names), limit_s)
        except TimeoutError:
            waiting = not_ready(self._ledger.state, deployment_id, version, names)
            raise DiagnosticsError([_late(waiting, limit_s)]) from None
        if problems:
            raise DiagnosticsError(problems)
        await self._distribution.sync_replicas()


def readiness(
    state: State, deployment_id: str, version: int, names: Iterable[str]
) -> tuple[Diagnostic, ...] | None:
    """None while some Chainlet is not ready yet, empty when all are, else why one never will be."""
    record = state.deployments.get(deployment_id)
    if record is None:
        return (_gone(),)
    is_ready = True
    for name in names:
        member = record.member(name, version)
        found = state.sets.get(member.set_id) if member is not None else None
        if found is None:
            return (_gone(),)
        for replica in state.replicas_of(found.id):
            if replica.state is ReplicaState.FAILED:
                return describe_failure(found, replica)
        is_ready = is_ready and len(state.ready_replicas(found.id)) >= found.wanted
    return () if is_ready else None


def not_ready(state: State, deployment_id: str, version: int, names: Iterable[str]) -> list[str]:
    """The Chainlets that could not serve that version."""
    record = state.deployments[deployment_id]
    members = {name: record.member(name, version) for name in names}
    return [n for n, m in members.items() if m is None or not state.ready_replicas(m.set_id)]


def void(_: object) -> None:
    """Make an expression a statement."""


def _requirements(spec: EnvironmentSpec) -> str:
    return f"Python {spec.python_version}, {len(spec.requirements)} requirements"


def _late(names: list[str], timeout_s: float) -> Diagnostic:
    listed = ", ".join(f"`{n}`" for n in names)
    return Diagnostic(
        code=Code.REPLICA_START_TIMED_OUT,
        message=f"not ready after {timeout_s:g} s: {listed}",
        help="look at the logs; what `__init__` loads may need longer than the start timeout",
        chainlet=names[0] if len(names) == 1 else None,
    )


def _gone() -> Diagnostic:
    return Diagnostic(code=Code.UNKNOWN_DEPLOYMENT, message="the deployment was deleted meanwhile")


__all__ = ["Rollout", "not_ready", "readiness"]
