"""All that the control plane knows, as frozen records in one immutable `State`.

Decisions (`planning`, `reconcile`, `routing`) read a `State`; changes return a new one. The
`Ledger` holds the current one and writes every difference to the store.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from chains_protocol.control import DeploymentKind, DeploymentState
from chains_protocol.digest import bytes_digest
from chains_protocol.errors import Diagnostic
from chains_protocol.manifest import ChainManifest, PackageManifest
from chains_protocol.replica import ReplicaState
from chains_protocol.spec import RPCOptions

PRODUCTION: Final = "production"


@dataclass(frozen=True)
class ChainRecord:
    name: str
    created_at: float


@dataclass(frozen=True)
class Member:
    """A replica set serves one Chainlet of a deployment from version `since` until before `until`."""

    display_name: str
    set_id: str
    since: int = 1
    until: int | None = None


@dataclass(frozen=True)
class Edge:
    """One Chainlet of a deployment may call another, from version `since` until before `until`."""

    caller: str
    class_name: str
    callee: str
    options: RPCOptions = field(default_factory=RPCOptions)
    since: int = 1
    until: int | None = None


@dataclass(frozen=True)
class VersionRecord:
    """What one version of a development deployment was; `restores` is the one it brought back."""

    version: int
    at: float
    entrypoint: str
    packages: tuple[PackageManifest, ...]
    restores: int | None = None


@dataclass(frozen=True)
class DeploymentRecord:
    """A deployment. `is_live`: its version serves requests, whatever a later push became.

    `environment` is the wish of its push, `packages` are those of `version`. `members` and
    `edges` also hold those of the next version while it is prepared and of former ones
    while they drain. `versions` are those a development deployment can go back to, oldest first.
    """

    id: str
    chain: str
    kind: DeploymentKind
    state: DeploymentState
    entrypoint: str
    created_at: float
    packages: tuple[PackageManifest, ...]
    version: int = 1
    is_live: bool = False
    name: str | None = None
    environment: str | None = None
    allow_missing: tuple[str, ...] = ()
    user_root: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()
    members: tuple[Member, ...] = ()
    edges: tuple[Edge, ...] = ()
    versions: tuple[VersionRecord, ...] = ()

    @property
    def is_development(self) -> bool:
        return self.kind is DeploymentKind.DEVELOPMENT

    @property
    def manifest(self) -> ChainManifest:
        return ChainManifest(chain_name=self.chain, entrypoint=self.entrypoint, packages=self.packages)

    def package(self, display_name: str) -> PackageManifest | None:
        """The package of that Chainlet in the current version."""
        return next((p for p in self.packages if p.spec.display_name == display_name), None)

    def member(self, display_name: str, version: int | None = None) -> Member | None:
        """The replica set that serves that Chainlet in `version`, else in the current one."""
        at = self.version if version is None else version
        fitting = [m for m in self.members if m.display_name == display_name and m.since <= at]
        found = max(fitting, key=lambda m: m.since, default=None)
        return None if found is None or (found.until is not None and found.until <= at) else found


@dataclass(frozen=True)
class SetRecord:
    """A replica set: equal replicas of one package.

    `owner` is the development deployment it belongs to, None if published deployments share
    it. `deployment` is the one it was made for. `is_established` once a replica was ready.
    """

    id: str
    chain: str
    package: PackageManifest
    settings: str
    deployment: str
    owner: str | None = None
    since: int = 1
    wanted: int = 1
    is_established: bool = False
    environment: str | None = None
    user_root: str = ""

    @property
    def display_name(self) -> str:
        return self.package.spec.display_name


@dataclass(frozen=True)
class ReplicaRecord:
    """One replica, over all its restarts. `process_started` tells its process from a later one.

    `failures` counts starts in a row that did not become ready, `crashes` the losses in a row
    of a replica that was; `retry_at` is when the next start is due, None if none is.
    """

    id: str
    set_id: str
    state: ReplicaState
    package_digest: str
    pid: int | None = None
    process_started: float = 0.0
    address: str = ""
    started_at: float | None = None
    restarts: int = 0
    failures: int = 0
    crashes: int = 0
    load_count: int = 0
    retry_at: float | None = None
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True)
class EnvironmentMove:
    deployment: str
    at: float


@dataclass(frozen=True)
class EnvironmentRecord:
    """A name that points at a deployment: the last of `history`. `left` is what it pointed to just before."""

    chain: str
    name: str
    history: tuple[EnvironmentMove, ...] = ()
    left: str | None = None

    @property
    def deployment(self) -> str | None:
        return self.history[-1].deployment if self.history else None

    @property
    def former(self) -> str | None:
        """Where a rollback leads."""
        return self.history[-2].deployment if len(self.history) > 1 else None

    @property
    def key(self) -> str:
        return f"{self.chain}/{self.name}"


@dataclass(frozen=True)
class LogSource:
    """Whose logs a replica's directory holds; outlives the replica, so that a failed start can be read."""

    replica_id: str
    set_id: str
    chain: str
    display_name: str
    deployments: tuple[str, ...]
    created_at: float


@dataclass(frozen=True)
class State:
    """Everything, by key: names of chains, ids, `chain/name` of environments."""

    chains: Mapping[str, ChainRecord] = field(default_factory=dict)
    deployments: Mapping[str, DeploymentRecord] = field(default_factory=dict)
    sets: Mapping[str, SetRecord] = field(default_factory=dict)
    replicas: Mapping[str, ReplicaRecord] = field(default_factory=dict)
    environments: Mapping[str, EnvironmentRecord] = field(default_factory=dict)
    log_sources: Mapping[str, LogSource] = field(default_factory=dict)

    def with_chain(self, record: ChainRecord) -> "State":
        return replace(self, chains={**self.chains, record.name: record})

    def with_deployment(self, record: DeploymentRecord) -> "State":
        return replace(self, deployments={**self.deployments, record.id: record})

    def with_sets(self, records: Iterable[SetRecord]) -> "State":
        return replace(self, sets={**self.sets, **{r.id: r for r in records}})

    def with_replicas(self, *records: ReplicaRecord) -> "State":
        return replace(self, replicas={**self.replicas, **{r.id: r for r in records}})

    def with_environment(self, record: EnvironmentRecord) -> "State":
        return replace(self, environments={**self.environments, record.key: record})

    def with_log_source(self, record: LogSource) -> "State":
        return replace(self, log_sources={**self.log_sources, record.replica_id: record})

    def without_log_sources(self, ids: Iterable[str]) -> "State":
        gone = set(ids)
        if not gone:
            return self
        return replace(self, log_sources={k: v for k, v in self.log_sources.items() if k not in gone})

    def without_replicas(self, ids: Iterable[str]) -> "State":
        gone = set(ids)
        return replace(self, replicas={k: v for k, v in self.replicas.items() if k not in gone})

    def without_sets(self, ids: Iterable[str]) -> "State":
        gone = set(ids)
        return replace(self, sets={k: v for k, v in self.sets.items() if k not in gone})

    def replicas_of(self, set_id: str) -> tuple[ReplicaRecord, ...]:
        return tuple(r for r in self.replicas.values() if r.set_id == set_id)

    def ready_replicas(self, set_id: str) -> tuple[ReplicaRecord, ...]:
        """Those that serve exactly what the set is meant to serve."""
        record = self.sets.get(set_id)
        if record is None:
            return ()
        return tuple(
            r
            for r in self.replicas_of(set_id)
            if r.state is ReplicaState.READY and r.package_digest == record.package.digest
        )

    def deployments_of(self, chain: str) -> tuple[DeploymentRecord, ...]:
        """Newest first; deleted ones are not among them."""
        found = (
            d
            for d in self.deployments.values()
            if d.chain == chain and d.state is not DeploymentState.DELETED
        )
        return tuple(sorted(found, key=lambda d: (d.created_at, d.id), reverse=True))

    def development_of(self, chain: str) -> DeploymentRecord | None:
        """The chain's development deployment, also one whose first start failed."""
        return next((d for d in self.deployments_of(chain) if d.is_development), None)

    def newest_active(self, chain: str) -> DeploymentRecord | None:
        """The newest published deployment that serves."""
        return next(
            (
                d
                for d in self.deployments_of(chain)
                if not d.is_development and d.state is DeploymentState.ACTIVE
            ),
            None,
        )

    def environments_of(self, chain: str) -> tuple[EnvironmentRecord, ...]:
        return tuple(e for e in self.environments.values() if e.chain == chain)

    def referenced_sets(self) -> set[str]:
        """The sets that some deployment still needs; replicas of others are to stop."""
        return {m.set_id for d in self.deployments.values() for m in d.members}

    def users_of(self, set_id: str) -> tuple[DeploymentRecord, ...]:
        """The deployments with that set among their members."""
        return tuple(d for d in self.deployments.values() if any(m.set_id == set_id for m in d.members))


def settings_key(package: PackageManifest, environment: str | None) -> str:
    """A digest of all that a running replica depends on besides its package's files.

    The environment's name counts only where the Chainlet can see it, in its context.
    """
    spec = package.spec
    seen_environment = environment if spec.takes_context else None
    parts = (
        package.environment.model_dump_json(),
        spec.compute.model_dump_json(),
        repr(sorted(spec.options.env_variables.items())),
        repr(sorted(spec.assets.secret_keys)),
        spec.autoscaling.model_dump_json(),
        repr(seen_environment),
    )
    return bytes_digest("\n".join(parts).encode())


__all__ = [
    "PRODUCTION",
    "ChainRecord",
    "DeploymentRecord",
    "Edge",
    "EnvironmentMove",
    "EnvironmentRecord",
    "LogSource",
    "Member",
    "ReplicaRecord",
    "SetRecord",
    "State",
    "VersionRecord",
    "settings_key",
]
