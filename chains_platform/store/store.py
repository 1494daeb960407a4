"""The database behind a few verbs: load, save differences, events, secrets.

Synchronous and used from one thread only (`store.writer`), which is what SQLite likes and
what keeps writes in order.
"""

import secrets as randomness
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Table, create_engine, delete, event, func, insert, select
from sqlalchemy.pool import StaticPool

from chains_platform.state import (
    ChainRecord,
    DeploymentRecord,
    EnvironmentRecord,
    LogSource,
    ReplicaRecord,
    SetRecord,
    State,
    VersionRecord,
)
from chains_platform.store import rows, schema
from chains_protocol.control import Event
from chains_protocol.digest import bytes_digest
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.manifest import PackageManifest

T = TypeVar("T")
Record = ChainRecord | DeploymentRecord | SetRecord | ReplicaRecord | EnvironmentRecord | LogSource

FIELDS: Final = ("chains", "sets", "deployments", "replicas", "environments", "log_sources")
_KEYS_KEPT: Final = 2000


@dataclass(frozen=True)
class Difference:
    """One record that changed: the field of `State`, its key, and the record; None if it is gone."""

    field: str
    key: str
    record: Record | None


def differences(before: State, after: State) -> tuple[Difference, ...]:
    """What has to be written so that a stored `before` becomes `after`."""
    found: list[Difference] = []
    for field in FIELDS:
        old, new = getattr(before, field), getattr(after, field)
        if old is new:
            continue
        found += [Difference(field, k, r) for k, r in new.items() if old.get(k) is not r]
        found += [Difference(field, k, None) for k in old if k not in new]
    return tuple(found)


class Store:
    """One database. Made and used in one thread."""

    def __init__(self, url: str) -> None:
        self._engine = _open_engine(url)
        self._keys: OrderedDict[int, tuple[PackageManifest, str]] = OrderedDict()
        self._stored: set[str] = set()
        """Keys of packages that have a row."""
        # differences are made by field, so each function gets the records of its own field
        self._write: dict[str, Callable[[Connection, str, Any], None]] = {
            "chains": self._save_chain,
            "deployments": self._save_deployment,
            "sets": self._save_set,
            "replicas": self._save_replica,
            "environments": self._save_environment,
            "log_sources": self._save_log_source,
        }
        with self._engine.begin() as connection:
            schema.metadata.create_all(connection)
            self.instance = _identify(connection)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All or nothing."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except BaseException:
            self._stored.clear()  # what was noted may not have been written
            raise

    # --- state

    def load(self) -> State:
        """Everything, as it was last saved."""
        with self._engine.begin() as connection:
            return _load(connection)

    def save(self, connection: Connection, changes: Iterable[Difference]) -> None:
        """Write differences, within a transaction."""
        for change in changes:
            self._write[change.field](connection, change.key, change.record)

    def _key_of(self, package: PackageManifest) -> str:
        """The key of a package's row; remembered, because a manifest may list thousands of files."""
        known = self._keys.get(id(package))
        if known is not None and known[0] is package:
            return known[1]
        key = bytes_digest(package.model_dump_json().encode())
        self._keys[id(package)] = (package, key)
        if len(self._keys) > _KEYS_KEPT:
            self._keys.popitem(last=False)
        return key

    def _save_packages(self, connection: Connection, packages: Iterable[PackageManifest]) -> None:
        wanted = {k: p for p in packages if (k := self._key_of(p)) not in self._stored}
        if not wanted:
            return
        table = schema.packages
        known = set(connection.scalars(select(table.c.key).where(table.c.key.in_(wanted))))
        new = [
            {"key": k, "digest": p.digest, "manifest": p.model_dump_json()}
            for k, p in wanted.items()
            if k not in known
        ]
        if new:
            connection.execute(insert(table), new)
        self._stored |= wanted.keys()

    def _save_chain(self, connection: Connection, key: str, record: ChainRecord | None) -> None:
        _replace(connection, schema.chains, "name", key, [rows.chain_row(record)] if record else [])

    def _save_deployment(self, connection: Connection, key: str, record: DeploymentRecord | None) -> None:
        if record is not None:
            self._save_packages(connection, record.packages)
        found = [record] if record else []
        chainlets = [row for r in found for row in rows.chainlet_rows(r, self._key_of)]
        members = [row for r in found for row in rows.member_rows(r)]
        _replace(connection, schema.deployments, "id", key, [rows.deployment_row(r) for r in found])
        _replace(connection, schema.deployment_chainlets, "deployment", key, chainlets)
        _replace(connection, schema.deployment_sets, "deployment", key, members)
        self._save_versions(connection, key, record)

    def _save_versions(self, connection: Connection, key: str, record: DeploymentRecord | None) -> None:
        """Versions never change: add those that are new, delete those that are no longer kept."""
        table = schema.deployment_versions
        wanted = {v.version: v for v in record.versions} if record is not None else {}
        known = set(connection.scalars(select(table.c.version).where(table.c.deployment == key)))
        if gone := known - wanted.keys():
            connection.execute(delete(table).where(table.c.deployment == key, table.c.version.in_(gone)))
        new = [v for n, v in wanted.items() if n not in known]
        if new:
            self._save_packages(connection, (p for v in new for p in v.packages))
            connection.execute(insert(table), [rows.version_row(key, v, self._key_of) for v in new])

    def _save_set(self, connection: Connection, key: str, record: SetRecord | None) -> None:
        if record is not None:
            self._save_packages(connection, [record.package])
        found = [rows.set_row(record, self._key_of)] if record else []
        _replace(connection, schema.replica_sets, "id", key, found)

    def _save_replica(self, connection: Connection, key: str, record: ReplicaRecord | None) -> None:
        _replace(connection, schema.replicas, "id", key, [rows.replica_row(record)] if record else [])

    def _save_environment(self, connection: Connection, key: str, record: EnvironmentRecord | None) -> None:
        found = [record] if record else []
        moves = [row for r in found for row in rows.move_rows(r)]
        _replace(connection, schema.environments, "key", key, [rows.environment_row(r) for r in found])
        _replace(connection, schema.environment_moves, "environment", key, moves)

    def _save_log_source(self, connection: Connection, key: str, record: LogSource | None) -> None:
        found = [rows.log_source_row(record)] if record else []
        _replace(connection, schema.log_sources, "replica_id", key, found)

    # --- events

    def last_event_id(self) -> int:
        with self._engine.begin() as connection:
            return connection.scalar(select(func.max(schema.events.c.id))) or 0

    def add_events(self, connection: Connection, events: Iterable[Event]) -> None:
        found = [rows.event_row(e) for e in events]
        if found:
            connection.execute(insert(schema.events), found)

    def events(self, deployment: str, after: int, limit: int) -> tuple[Event, ...]:
        """Those of one deployment with larger ids than `after`, oldest first."""
        table = schema.events
        query = (
            select(table)
            .where(table.c.deployment == deployment, table.c.id > after)
            .order_by(table.c.id)
            .limit(limit)
        )
        with self._engine.begin() as connection:
            return tuple(rows.event_of(r) for r in connection.execute(query).mappings())

    def prune_events(self, keep: int) -> None:
        """Delete all but the newest `keep` events."""
        newest = self.last_event_id()
        with self._engine.begin() as connection:
            connection.execute(delete(schema.events).where(schema.events.c.id <= newest - keep))

    def prune_packages(self) -> int:
        """Delete manifests that no deployment and no replica set refers to; how many."""
        table = schema.packages
        used = select(schema.deployment_chainlets.c.package).union(select(schema.replica_sets.c.package))
        with self._engine.begin() as connection:
            earlier = connection.execute(select(schema.deployment_versions)).mappings()
            kept = {key for row in earlier for key in rows.version_keys(row)}
            unused = set(connection.scalars(select(table.c.key).where(table.c.key.not_in(used)))) - kept
            for key in unused:
                connection.execute(delete(table).where(table.c.key == key))
            self._stored.clear()
            return len(unused)

    # --- secrets (already encrypted)

    def put_secret(self, name: str, value: bytes, at: float) -> None:
        row = {"name": name, "value": value, "updated_at": at}
        with self._engine.begin() as connection:
            _replace(connection, schema.secrets, "name", name, [row])

    def delete_secret(self, name: str) -> bool:
        table = schema.secrets
        with self._engine.begin() as connection:
            return bool(connection.execute(delete(table).where(table.c.name == name)).rowcount)

    def secrets(self) -> dict[str, bytes]:
        with self._engine.begin() as connection:
            table = schema.secrets
            return {n: v for n, v in connection.execute(select(table.c.name, table.c.value))}  # noqa: C416


def _open_engine(url: str) -> Any:  # sqlalchemy.Engine; its listeners are untyped
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    # one thread, one connection: also what an in-memory database needs
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})

    def configure(connection: Any, _record: object) -> None:  # the driver's own connection
        connection.execute("PRAGMA journal_mode=WAL")
        # a commit survives the process; only a power cut may lose the last ones, never corrupt
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA busy_timeout=5000")

    event.listen(engine, "connect", configure)
    return engine


def _identify(connection: Connection) -> str:
    """Check the schema's version; the instance's id, made on first use."""
    known = {r["name"]: r["value"] for r in connection.execute(select(schema.meta)).mappings()}
    version = known.get("schema")
    if version is not None and version != str(schema.SCHEMA_VERSION):
        raise DiagnosticsError(
            [
                Diagnostic(
                    code=Code.PLATFORM_START_FAILED,
                    message=f"the state was written by another version of Chains (schema {version}, "
                    f"this one reads {schema.SCHEMA_VERSION})",
                    help="use that version, or another `CHAINS_HOME`",
                )
            ]
        )
    if version is None:
        known["instance"] = randomness.token_hex(8)
        connection.execute(
            insert(schema.meta),
            [
                {"name": "schema", "value": str(schema.SCHEMA_VERSION)},
                {"name": "instance", "value": known["instance"]},
            ],
        )
    return str(known["instance"])


def _replace(connection: Connection, table: Table, column: str, key: str, new: list[rows.Row]) -> None:
    """Delete and insert: the one form of an upsert that every database has."""
    connection.execute(delete(table).where(table.c[column] == key))
    if new:
        connection.execute(insert(table), new)


def _load(connection: Connection) -> State:
    def read(table: Table, *order: str) -> list[rows.AnyRow]:
        query = select(table).order_by(*(table.c[o] for o in order))
        return [dict(r) for r in connection.execute(query).mappings()]

    def grouped(table: Table, column: str) -> dict[str, list[rows.AnyRow]]:
        groups: dict[str, list[rows.AnyRow]] = defaultdict(list)
        for row in read(table, column, "position"):
            groups[row[column]].append(row)
        return groups

    packages = {r["key"]: PackageManifest.model_validate_json(r["manifest"]) for r in read(schema.packages)}
    chainlets = grouped(schema.deployment_chainlets, "deployment")
    members = grouped(schema.deployment_sets, "deployment")
    moves = grouped(schema.environment_moves, "environment")

    versions: dict[str, list[VersionRecord]] = defaultdict(list)
    for row in read(schema.deployment_versions, "deployment", "version"):
        earlier = tuple(packages[key] for key in rows.version_keys(row))
        versions[row["deployment"]].append(rows.version_of(row, earlier))

    def deployment(row: rows.AnyRow) -> DeploymentRecord:
        found = tuple(packages[c["package"]] for c in chainlets[row["id"]])
        current = tuple(rows.member_of(m) for m in members[row["id"]])
        return rows.deployment_of(row, found, current, tuple(versions[row["id"]]))

    def environment(row: rows.AnyRow) -> EnvironmentRecord:
        return rows.environment_of(row, tuple(rows.move_of(m) for m in moves[row["key"]]))

    return State(
        chains=_by(lambda c: c.name, map(rows.chain_of, read(schema.chains))),
        deployments=_by(lambda d: d.id, map(deployment, read(schema.deployments, "created_at"))),
        sets=_by(lambda s: s.id, (rows.set_of(r, packages[r["package"]]) for r in read(schema.replica_sets))),
        replicas=_by(lambda r: r.id, map(rows.replica_of, read(schema.replicas))),
        environments=_by(lambda e: e.key, map(environment, read(schema.environments))),
        log_sources=_by(lambda s: s.replica_id, map(rows.log_source_of, read(schema.log_sources))),
    )


def _by(key: Callable[[T], str], records: Iterable[T]) -> dict[str, T]:
    return {key(r): r for r in records}


__all__ = ["Difference", "Record", "Store", "differences"]
