"""State -> next state, for everything that happens to deployments. Pure.

A version is added to a deployment in three steps: `prepare_version` adds its members and
edges beside the current ones (nobody stamps the new version yet), then `commit_version`
makes it current or `drop_version` removes every trace. `retire` forgets what older
versions needed.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from chains_platform.state import (
    Edge,
    EnvironmentMove,
    EnvironmentRecord,
    LogSource,
    Member,
    SetRecord,
    State,
    VersionRecord,
    settings_key,
)
from chains_protocol.control import DeploymentState
from chains_protocol.errors import Diagnostic
from chains_protocol.manifest import PackageManifest

_KEPT_MOVES = 50
_KEPT_VERSIONS = 50


def edges_of(packages: Iterable[PackageManifest], since: int) -> tuple[Edge, ...]:
    """The graph of these packages, as edges that begin with version `since`."""
    return tuple(
        Edge(
            caller=package.spec.display_name,
            class_name=dependency.class_name,
            callee=dependency.display_name,
            options=dependency.options,
            since=since,
        )
        for package in packages
        for dependency in package.spec.dependencies
    )


def prepare_version(
    state: State,
    deployment_id: str,
    version: int,
    packages: Iterable[PackageManifest],
    sets: Mapping[str, SetRecord],
) -> State:
    """Add the sets (by display name) and edges that `version` has and the current one has not."""
    record = state.deployments[deployment_id]
    known = {_ends(e) for e in record.edges if e.until is None}
    edges = tuple(e for e in edges_of(packages, version) if _ends(e) not in known)
    members = tuple(Member(name, found.id, since=version) for name, found in sets.items())
    changed = replace(record, members=record.members + members, edges=record.edges + edges)
    new = [s for s in sets.values() if s.id not in state.sets]
    return state.with_sets(new).with_deployment(changed)


def drop_version(state: State, deployment_id: str, version: int) -> State:
    """Undo `prepare_version`; its sets are no longer referred to, so their replicas stop."""
    record = state.deployments[deployment_id]
    changed = replace(
        record,
        members=tuple(m for m in record.members if m.since < version),
        edges=tuple(e for e in record.edges if e.since < version),
    )
    return state.with_deployment(changed)


def commit_version(
    state: State,
    deployment_id: str,
    version: int,
    entrypoint: str,
    packages: tuple[PackageManifest, ...],
    *,
    in_place: Mapping[str, PackageManifest] | None = None,
    patched_replicas: Iterable[str] = (),
) -> State:
    """Make the prepared version the current one.

    Args:
        state: holds the result of `prepare_version`.
        deployment_id: which deployment.
        version: the one that becomes current.
        entrypoint: display name of its entrypoint.
        packages: its packages, dependencies first.
        in_place: sets whose replicas took the new package themselves.
        patched_replicas: the replicas that did.
    """
    record = state.deployments[deployment_id]
    names = {p.spec.display_name for p in packages}
    replaced = {m.display_name for m in record.members if m.since == version and version > 1}
    wanted = {_ends(e) for e in edges_of(packages, version)}
    changed = replace(
        record,
        state=DeploymentState.ACTIVE,
        is_live=True,
        version=version,
        entrypoint=entrypoint,
        packages=packages,
        diagnostics=(),
        members=tuple(
            replace(m, until=version)
            if m.until is None
            and m.since < version
            and (m.display_name in replaced or m.display_name not in names)
            else m
            for m in record.members
        ),
        edges=tuple(
            replace(e, until=version) if e.until is None and _ends(e) not in wanted else e
            for e in record.edges
        ),
    )
    state = _repackage(state, in_place or {}, frozenset(patched_replicas))
    return state.with_deployment(changed)


def remember_version(state: State, deployment_id: str, at: float, restores: int | None = None) -> State:
    """Keep the current version of a development deployment among those it can go back to."""
    record = state.deployments[deployment_id]
    if not record.is_development:
        return state
    current = VersionRecord(record.version, at, record.entrypoint, record.packages, restores)
    earlier = tuple(v for v in record.versions if v.version < record.version)
    return state.with_deployment(replace(record, versions=(*earlier, current)[-_KEPT_VERSIONS:]))


def _repackage(state: State, in_place: Mapping[str, PackageManifest], patched: frozenset[str]) -> State:
    sets = [
        replace(state.sets[k], package=p, settings=settings_key(p, state.sets[k].environment))
        for k, p in in_place.items()
    ]
    replicas = [
        replace(r, package_digest=in_place[r.set_id].digest)
        for r in state.replicas.values()
        if r.id in patched and r.set_id in in_place
    ]
    return state.with_sets(sets).with_replicas(*replicas)


def retire(state: State, deployment_id: str, below: int, open_versions: Collection[int] = ()) -> State:
    """Forget what only versions below `below` used, but for those that are still open."""

    def is_needed(part: Member | Edge) -> bool:
        until = part.until
        if until is None or until > below:
            return True
        return any(part.since <= version < until for version in open_versions)

    record = state.deployments.get(deployment_id)
    if record is None:
        return state
    changed = replace(
        record,
        members=tuple(m for m in record.members if is_needed(m)),
        edges=tuple(e for e in record.edges if is_needed(e)),
    )
    return state if changed == record else state.with_deployment(changed)


def release(state: State, deployment_id: str) -> State:
    """Forget all members of a deployment that serves nobody any more."""
    record = state.deployments.get(deployment_id)
    if record is None:
        return state
    return state.with_deployment(replace(record, members=(), edges=()))


def fail(state: State, deployment_id: str, version: int, diagnostics: tuple[Diagnostic, ...]) -> State:
    """A start went wrong: drop what it prepared, keep the reason and whatever served before."""
    state = drop_version(state, deployment_id, version)
    record = state.deployments[deployment_id]
    return state.with_deployment(
        replace(record, state=DeploymentState.FAILED, diagnostics=record.diagnostics + diagnostics)
    )


def deactivate(state: State, deployment_id: str, final: DeploymentState) -> State:
    """Serve no new request; its members stay until those in flight ended."""
    record = state.deployments[deployment_id]
    return state.with_deployment(replace(record, state=final, is_live=False))


def point(state: State, chain: str, environment: str, deployment_id: str, at: float) -> State:
    """Let an environment point at a deployment."""
    record = state.environments.get(f"{chain}/{environment}") or EnvironmentRecord(chain, environment)
    if record.deployment == deployment_id:
        return state
    history = (*record.history, EnvironmentMove(deployment_id, at))[-_KEPT_MOVES:]
    return state.with_environment(replace(record, history=history, left=record.deployment))


def point_back(state: State, chain: str, environment: str) -> State:
    """Let an environment point at what it pointed at before; needs a `former`."""
    record = state.environments[f"{chain}/{environment}"]
    return state.with_environment(replace(record, history=record.history[:-1], left=record.deployment))


def superseded(state: State, chain: str) -> tuple[str, ...]:
    """Published deployments that no longer have to run: older than the newest active one, and
    neither pointed at by an environment nor just before."""
    newest = state.newest_active(chain)
    if newest is None:
        return ()
    kept = {newest.id}
    for environment in state.environments_of(chain):
        kept |= {d for d in (environment.deployment, environment.former, environment.left) if d}
    return tuple(
        d.id for d in state.deployments_of(chain) if d.is_live and not d.is_development and d.id not in kept
    )


def forget_deployment(state: State, deployment_id: str) -> State:
    """Mark a deployment deleted and take it out of every environment's history."""
    state = deactivate(state, deployment_id, DeploymentState.DELETED)
    for environment in state.environments.values():
        if any(m.deployment == deployment_id for m in environment.history):
            history = tuple(m for m in environment.history if m.deployment != deployment_id)
            left = None if environment.left == deployment_id else environment.left
            state = state.with_environment(replace(environment, history=history, left=left))
    return state


def purge(state: State, deployment_id: str) -> State:
    """Forget a deleted deployment altogether; logs that were only its own go with it."""
    return replace(
        state,
        deployments={k: v for k, v in state.deployments.items() if k != deployment_id},
        log_sources={k: v for k, v in state.log_sources.items() if v.deployments != (deployment_id,)},
    )


def forget_chain(state: State, chain: str) -> State:
    """Forget a chain that has no deployments any more, and its environments."""
    return replace(
        state,
        chains={k: v for k, v in state.chains.items() if k != chain},
        environments={k: v for k, v in state.environments.items() if v.chain != chain},
    )


def surplus_log_sources(state: State, kept: int) -> tuple[str, ...]:
    """Replicas that are gone and whose logs are not among the newest `kept` of any deployment."""
    by_deployment: dict[str, list[LogSource]] = {}
    for source in state.log_sources.values():
        for deployment in source.deployments:
            if deployment in state.deployments:
                by_deployment.setdefault(deployment, []).append(source)
    wanted = set(state.replicas)
    for sources in by_deployment.values():
        sources.sort(key=lambda s: s.created_at, reverse=True)
        wanted |= {s.replica_id for s in sources[:kept]}
    return tuple(k for k in state.log_sources if k not in wanted)


def _ends(edge: Edge) -> tuple[object, ...]:
    return (edge.caller, edge.class_name, edge.callee, edge.options)


__all__ = [
    "commit_version",
    "deactivate",
    "drop_version",
    "edges_of",
    "fail",
    "forget_chain",
    "forget_deployment",
    "point",
    "point_back",
    "prepare_version",
    "purge",
    "release",
    "remember_version",
    "retire",
    "superseded",
    "surplus_log_sources",
]
