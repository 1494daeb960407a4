"""Records <-> rows. One function a direction and record; no SQL."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from pydantic import TypeAdapter

from chains_platform.state import (
    ChainRecord,
    DeploymentRecord,
    Edge,
    EnvironmentMove,
    EnvironmentRecord,
    LogSource,
    Member,
    ReplicaRecord,
    SetRecord,
    VersionRecord,
)
from chains_protocol.control import DeploymentKind, DeploymentState, Event, EventKind
from chains_protocol.errors import Diagnostic
from chains_protocol.manifest import PackageManifest
from chains_protocol.replica import ReplicaState

Row = dict[str, Any]  # column -> value, of whatever type the column has
AnyRow = Mapping[str, Any]  # the same, as read
PackageKey = Callable[[PackageManifest], str]

_DIAGNOSTICS: Final = TypeAdapter(tuple[Diagnostic, ...])
_EDGES: Final = TypeAdapter(tuple[Edge, ...])
_TEXTS: Final = TypeAdapter(tuple[str, ...])
_DATA: Final = TypeAdapter(dict[str, Any])


def _json(adapter: TypeAdapter[Any], value: object) -> str:
    return adapter.dump_json(value).decode()


def chain_row(record: ChainRecord) -> Row:
    return asdict(record)


def chain_of(row: AnyRow) -> ChainRecord:
    return ChainRecord(name=row["name"], created_at=row["created_at"])


def deployment_row(record: DeploymentRecord) -> Row:
    return {
        "id": record.id,
        "chain": record.chain,
        "kind": record.kind.value,
        "state": record.state.value,
        "entrypoint": record.entrypoint,
        "created_at": record.created_at,
        "version": record.version,
        "is_live": record.is_live,
        "name": record.name,
        "environment": record.environment,
        "allow_missing": _json(_TEXTS, record.allow_missing),
        "user_root": record.user_root,
        "diagnostics": _json(_DIAGNOSTICS, record.diagnostics),
        "edges": _json(_EDGES, record.edges),
    }


def deployment_of(
    row: AnyRow,
    packages: tuple[PackageManifest, ...],
    members: tuple[Member, ...],
    versions: tuple[VersionRecord, ...],
) -> DeploymentRecord:
    return DeploymentRecord(
        id=row["id"],
        chain=row["chain"],
        kind=DeploymentKind(row["kind"]),
        state=DeploymentState(row["state"]),
        entrypoint=row["entrypoint"],
        created_at=row["created_at"],
        packages=packages,
        version=row["version"],
        is_live=row["is_live"],
        name=row["name"],
        environment=row["environment"],
        allow_missing=_TEXTS.validate_json(row["allow_missing"]),
        user_root=row["user_root"],
        diagnostics=_DIAGNOSTICS.validate_json(row["diagnostics"]),
        members=members,
        edges=_EDGES.validate_json(row["edges"]),
        versions=versions,
    )


def chainlet_rows(record: DeploymentRecord, key_of: PackageKey) -> list[Row]:
    return [
        {
            "deployment": record.id,
            "position": position,
            "display_name": package.spec.display_name,
            "package": key_of(package),
        }
        for position, package in enumerate(record.packages)
    ]


def member_rows(record: DeploymentRecord) -> list[Row]:
    return [
        {
            "deployment": record.id,
            "position": position,
            "set_id": member.set_id,
            "display_name": member.display_name,
            "since": member.since,
            "until": member.until,
        }
        for position, member in enumerate(record.members)
    ]


def version_row(deployment: str, record: VersionRecord, key_of: PackageKey) -> Row:
    return {
        "deployment": deployment,
        "version": record.version,
        "at": record.at,
        "entrypoint": record.entrypoint,
        "restores": record.restores,
        "packages": _json(_TEXTS, tuple(key_of(p) for p in record.packages)),
    }


def version_keys(row: AnyRow) -> tuple[str, ...]:
    """The keys of a version's packages."""
    found: tuple[str, ...] = _TEXTS.validate_json(row["packages"])
    return found


def version_of(row: AnyRow, packages: tuple[PackageManifest, ...]) -> VersionRecord:
    return VersionRecord(row["version"], row["at"], row["entrypoint"], packages, row["restores"])


def member_of(row: AnyRow) -> Member:
    return Member(row["display_name"], row["set_id"], row["since"], row["until"])


def set_row(record: SetRecord, key_of: PackageKey) -> Row:
    return {
        "id": record.id,
        "chain": record.chain,
        "package": key_of(record.package),
        "settings": record.settings,
        "deployment": record.deployment,
        "owner": record.owner,
        "since": record.since,
        "wanted": record.wanted,
        "is_established": record.is_established,
        "environment": record.environment,
        "user_root": record.user_root,
    }


def set_of(row: AnyRow, package: PackageManifest) -> SetRecord:
    return SetRecord(**{**row, "package": package})


def replica_row(record: ReplicaRecord) -> Row:
    row = dict(vars(record))
    row["state"] = record.state.value
    row["diagnostics"] = _json(_DIAGNOSTICS, record.diagnostics)
    return row


def replica_of(row: AnyRow) -> ReplicaRecord:
    diagnostics = _DIAGNOSTICS.validate_json(row["diagnostics"])
    return ReplicaRecord(**{**row, "state": ReplicaState(row["state"]), "diagnostics": diagnostics})


def environment_row(record: EnvironmentRecord) -> Row:
    return {
        "key": record.key,
        "chain": record.chain,
        "name": record.name,
        "left_deployment": record.left,
    }


def move_rows(record: EnvironmentRecord) -> list[Row]:
    return [
        {"environment": record.key, "position": n, "deployment": move.deployment, "at": move.at}
        for n, move in enumerate(record.history)
    ]


def move_of(row: AnyRow) -> EnvironmentMove:
    return EnvironmentMove(row["deployment"], row["at"])


def environment_of(row: AnyRow, history: tuple[EnvironmentMove, ...]) -> EnvironmentRecord:
    return EnvironmentRecord(row["chain"], row["name"], history, row["left_deployment"])


def log_source_row(record: LogSource) -> Row:
    return {**vars(record), "deployments": _json(_TEXTS, record.deployments)}


def log_source_of(row: AnyRow) -> LogSource:
    return LogSource(**{**row, "deployments": _TEXTS.validate_json(row["deployments"])})


def event_row(event: Event) -> Row:
    return {
        "id": event.id,
        "kind": event.kind.value,
        "at": event.at,
        "chain": event.chain_name,
        "deployment": event.deployment,
        "chainlet": event.chainlet,
        "message": event.message,
        "data": _json(_DATA, event.data),
    }


def event_of(row: AnyRow) -> Event:
    return Event(
        id=row["id"],
        kind=EventKind(row["kind"]),
        at=row["at"],
        chain_name=row["chain"],
        deployment=row["deployment"],
        chainlet=row["chainlet"],
        message=row["message"],
        data=_DATA.validate_json(row["data"]),
    )


__all__ = [
    "AnyRow",
    "Row",
    "chain_of",
    "chain_row",
    "chainlet_rows",
    "deployment_of",
    "deployment_row",
    "environment_of",
    "environment_row",
    "event_of",
    "event_row",
    "log_source_of",
    "log_source_row",
    "member_of",
    "member_rows",
    "move_of",
    "move_rows",
    "replica_of",
    "replica_row",
    "set_of",
    "set_row",
    "version_keys",
    "version_of",
    "version_row",
]
