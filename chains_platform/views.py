"""State -> what the API answers. Pure."""

from collections.abc import Mapping

from chains_platform.replicas.announcing import set_state
from chains_platform.state import PRODUCTION, DeploymentRecord, ReplicaRecord, SetRecord, State
from chains_protocol.control import (
    ChainInfo,
    ChainletStatus,
    DeploymentInfo,
    DeploymentState,
    ReplicaInfo,
    VersionInfo,
    VersionList,
)
from chains_protocol.manifest import PackageManifest
from chains_protocol.replica import ReplicaState, ReplicaStatus


def chain_info(state: State, chain: str, gateway_url: str) -> ChainInfo:
    """A chain with all its deployments, newest first."""
    deployments = (deployment_info(state, d, gateway_url) for d in state.deployments_of(chain))
    return ChainInfo(name=chain, created_at=state.chains[chain].created_at, deployments=tuple(deployments))


def deployment_info(
    state: State,
    record: DeploymentRecord,
    gateway_url: str,
    live: Mapping[str, ReplicaStatus] | None = None,
) -> DeploymentInfo:
    """A deployment; `live` holds what its replicas say of themselves right now, by id."""
    environments = tuple(
        sorted(e.name for e in state.environments_of(record.chain) if e.deployment == record.id)
    )
    package = record.package(record.entrypoint)
    endpoint = package.spec.endpoint if package is not None else None
    is_websocket = endpoint is not None and endpoint.is_websocket
    method = "websocket" if is_websocket else "run_remote"
    base = f"{gateway_url}/chains/{record.chain}"
    selector = "development" if record.is_development else f"deployment/{record.id}"
    return DeploymentInfo(
        id=record.id,
        chain_name=record.chain,
        name=record.name,
        kind=record.kind,
        state=record.state,
        version=record.version,
        entrypoint=record.entrypoint,
        created_at=record.created_at,
        environments=environments,
        chainlets=tuple(_chainlet(state, record, p, live or {}) for p in record.packages),
        run_remote_url=f"{base}/{selector}/{method}" if gateway_url else "",
        environment_url=_environment_url(base, environments, method) if gateway_url else "",
        is_websocket=is_websocket,
        is_streaming=endpoint is not None and endpoint.is_streaming,
        input_schema=endpoint.input_schema if endpoint is not None else {},
        diagnostics=record.diagnostics,
    )


def version_list(record: DeploymentRecord) -> VersionList:
    """The versions a deployment can go back to, newest first."""
    versions = tuple(
        VersionInfo(
            version=v.version,
            at=v.at,
            entrypoint=v.entrypoint,
            packages={p.spec.display_name: p.digest for p in v.packages},
            restores=v.restores,
        )
        for v in reversed(record.versions)
    )
    return VersionList(deployment=record.id, versions=versions)


def _environment_url(base: str, environments: tuple[str, ...], method: str) -> str:
    if not environments:
        return ""
    if PRODUCTION in environments:
        return f"{base}/{PRODUCTION}/{method}"
    return f"{base}/environments/{environments[0]}/{method}"


def chainlet_state(state: State, record: DeploymentRecord, name: str) -> tuple[ReplicaState, str]:
    """How a Chainlet of a deployment is, and why it is not ready."""
    found = _set_of(state, record, name)
    if found is None:
        failed = next((d for d in record.diagnostics), None)
        if record.state is DeploymentState.FAILED:
            return ReplicaState.FAILED, failed.message if failed else ""
        is_over = record.state in (DeploymentState.INACTIVE, DeploymentState.DELETED)
        return (ReplicaState.STOPPED if is_over else ReplicaState.STARTING), ""
    replicas = state.replicas_of(found.id)
    reason = next((d.message for r in replicas for d in r.diagnostics), "")
    return set_state(replicas), reason


def _set_of(state: State, record: DeploymentRecord, name: str) -> SetRecord | None:
    member = record.member(name)
    return state.sets.get(member.set_id) if member is not None else None


def _chainlet(
    state: State, record: DeploymentRecord, package: PackageManifest, live: Mapping[str, ReplicaStatus]
) -> ChainletStatus:
    name = package.spec.display_name
    found = _set_of(state, record, name)
    current, reason = chainlet_state(state, record, name)
    others = state.users_of(found.id) if found is not None else ()
    replicas = state.replicas_of(found.id) if found is not None else ()
    return ChainletStatus(
        display_name=name,
        class_name=package.spec.class_name,
        is_entrypoint=name == record.entrypoint,
        package_digest=package.digest,
        state=current,
        reason=reason,
        replicas=tuple(_replica(r, live.get(r.id)) for r in replicas),
        shared_with=tuple(sorted(d.id for d in others if d.id != record.id)),
    )


def _replica(record: ReplicaRecord, live: ReplicaStatus | None) -> ReplicaInfo:
    on_old = 0
    if live is not None and live.generations:
        newest = max((g.since for g in live.generations if g.committed), default=0)
        on_old = sum(g.in_flight for g in live.generations if g.since < newest)
    return ReplicaInfo(
        replica_id=record.id,
        pid=record.pid,
        state=record.state,
        started_at=record.started_at,
        restarts=record.restarts,
        load_count=live.load_count if live is not None else record.load_count,
        in_flight=live.in_flight if live is not None else 0,
        calls_on_old=on_old,
    )


__all__ = ["chain_info", "chainlet_state", "deployment_info", "version_list"]
