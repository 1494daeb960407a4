"""States for tests of pure functions."""

from dataclasses import replace
from typing import Any

from chains_platform import changes
from chains_platform.state import (
    ChainRecord,
    DeploymentRecord,
    ReplicaRecord,
    SetRecord,
    State,
    settings_key,
)
from chains_protocol.control import DeploymentKind, DeploymentState
from chains_protocol.manifest import PackageManifest
from chains_protocol.replica import ReplicaState

DEVELOPMENT = DeploymentKind.DEVELOPMENT
PUBLISHED = DeploymentKind.PUBLISHED


def token(set_id: str, caller: str) -> str:
    return f"{caller}>{set_id}"


def with_replicas(state: State, record: SetRecord, **fields: Any) -> State:
    """Ready replicas for a set."""
    replicas = [
        ReplicaRecord(
            **{
                "id": f"r-{record.id}-{n}",
                "set_id": record.id,
                "state": ReplicaState.READY,
                "package_digest": record.package.digest,
                "pid": 1,
                "address": f"unix:/{record.id}/{n}",
                **fields,
            }
        )
        for n in range(record.wanted)
    ]
    return state.with_replicas(*replicas)


def deployed(
    state: State,
    *packages: PackageManifest,
    id: str = "d1",
    kind: DeploymentKind = PUBLISHED,
    at: float = 1.0,
    environment: str | None = None,
    shared: dict[str, str] | None = None,
) -> State:
    """An active deployment with a ready set for every package; `shared` names sets that exist."""
    record = DeploymentRecord(
        id=id,
        chain="poems",
        kind=kind,
        state=DeploymentState.ACTIVE,
        entrypoint=packages[-1].spec.display_name,
        created_at=at,
        packages=packages,
        is_live=True,
        environment=environment,
    )
    state = state.with_chain(ChainRecord("poems", 0.0)).with_deployment(record)
    sets = {
        p.spec.display_name: state.sets[(shared or {})[p.spec.display_name]]
        if p.spec.display_name in (shared or {})
        else SetRecord(
            id=f"{id}-{p.spec.display_name}",
            chain="poems",
            package=p,
            settings=settings_key(p, environment),
            deployment=id,
            owner=id if kind is DEVELOPMENT else None,
            wanted=p.spec.autoscaling.min_replicas,
            is_established=True,
            environment=environment,
        )
        for p in packages
    }
    state = changes.prepare_version(state, id, 1, packages, sets)
    for record_ in sets.values():
        if not state.replicas_of(record_.id):
            state = with_replicas(state, record_)
    return state


def changed(before: State, deployment: str, /, **fields: Any) -> State:
    return before.with_deployment(replace(before.deployments[deployment], **fields))


def set_replica(before: State, replica_id: str, /, **fields: Any) -> State:
    return before.with_replicas(replace(before.replicas[replica_id], **fields))
