"""State -> the tables of gateway and replicas. Pure.

A token opens one edge: it is derived from the callee's replica set and from who calls, the
caller's replica set or the gateway.
"""

from collections.abc import Callable, Iterable
from typing import Final

from chains_platform.state import PRODUCTION, DeploymentRecord, Edge, State
from chains_protocol.routes import (
    Callee,
    DeploymentRoutes,
    GatewayRoute,
    GatewayRoutes,
    GatewayTarget,
    ReplicaRoutes,
    ReplicaSet,
)

GATEWAY: Final = "gateway"
"""The caller that is no Chainlet."""

TokenOf = Callable[[str, str], str]
"""(callee's replica set, caller) -> the token of that edge."""


def replica_routes(state: State, set_id: str, token_of: TokenOf) -> ReplicaRoutes:
    """What every replica of that set may call and whom it lets in."""
    deployments: list[DeploymentRoutes] = []
    callers = {GATEWAY}
    for deployment in sorted(state.users_of(set_id), key=lambda d: d.id):
        names = {m.display_name for m in deployment.members if m.set_id == set_id}
        calling = [e for e in deployment.edges if e.caller in names]
        if calling:
            callees = tuple(
                _callee(
                    state, deployment, [e for e in calling if e.class_name == class_name], set_id, token_of
                )
                for class_name in sorted({e.class_name for e in calling})
            )
            deployments.append(DeploymentRoutes(deployment=deployment.id, callees=callees))
        called_by = {e.caller for e in deployment.edges if e.callee in names}
        callers |= {m.set_id for m in deployment.members if m.display_name in called_by}
    accepts = tuple(token_of(set_id, caller) for caller in sorted(callers))
    return ReplicaRoutes(deployments=tuple(deployments), accepts=accepts)


def _callee(
    state: State, deployment: DeploymentRecord, edges: list[Edge], caller: str, token_of: TokenOf
) -> Callee:
    """One dependency over all versions that are still or will be served; `edges` are of one class name."""
    newest = max(edges, key=lambda e: e.since)
    sets = [s for edge in edges for s in _sets_of_edge(state, deployment, edge, caller, token_of)]
    return Callee(
        class_name=newest.class_name,
        display_name=newest.callee,
        options=newest.options,
        sets=tuple(sorted(sets, key=lambda s: s.since)),
    )


def _sets_of_edge(
    state: State, deployment: DeploymentRecord, edge: Edge, caller: str, token_of: TokenOf
) -> Iterable[ReplicaSet]:
    for member in deployment.members:
        if member.display_name != edge.callee:
            continue
        if edge.until is not None and member.since >= edge.until:
            continue
        yield _wire_set(state, member.set_id, max(member.since, edge.since), token_of(member.set_id, caller))


def _wire_set(state: State, set_id: str, since: int, token: str) -> ReplicaSet:
    addresses = tuple(sorted(r.address for r in state.ready_replicas(set_id)))
    return ReplicaSet(since=since, addresses=addresses, token=token)


def gateway_routes(state: State, serial: int, token_of: TokenOf) -> GatewayRoutes:
    """The gateway's whole table: every deployment that serves, under all its selectors."""
    live = sorted((d for d in state.deployments.values() if d.is_live), key=lambda d: d.id)
    return GatewayRoutes(
        serial=serial,
        targets=tuple(_target(state, d, token_of) for d in live),
        routes=tuple(_selectors(state, live)),
    )


def _target(state: State, deployment: DeploymentRecord, token_of: TokenOf) -> GatewayTarget:
    package = deployment.package(deployment.entrypoint)
    endpoint = package.spec.endpoint if package else None
    sets = (
        _wire_set(state, m.set_id, m.since, token_of(m.set_id, GATEWAY))
        for m in deployment.members
        if m.display_name == deployment.entrypoint
    )
    return GatewayTarget(
        deployment=deployment.id,
        version=deployment.version,
        entrypoint=deployment.entrypoint,
        is_websocket=endpoint is not None and endpoint.is_websocket,
        is_streaming=endpoint is not None and endpoint.is_streaming,
        sets=tuple(sorted(sets, key=lambda s: s.since)),
    )


def _selectors(state: State, live: list[DeploymentRecord]) -> Iterable[GatewayRoute]:
    ids = {d.id for d in live}
    for deployment in live:
        selector = "development" if deployment.is_development else None
        if selector:
            yield GatewayRoute(chain=deployment.chain, selector=selector, deployment=deployment.id)
        yield GatewayRoute(
            chain=deployment.chain, selector=f"deployment/{deployment.id}", deployment=deployment.id
        )
    for environment in sorted(state.environments.values(), key=lambda e: e.key):
        target = environment.deployment
        if target is None or target not in ids:
            continue
        selectors = [f"environments/{environment.name}"]
        selectors += [PRODUCTION] if environment.name == PRODUCTION else []
        for selector in selectors:
            yield GatewayRoute(chain=environment.chain, selector=selector, deployment=target)
    for chain in sorted({d.chain for d in live}):
        newest = state.newest_active(chain)
        if newest is not None and newest.id in ids:
            yield GatewayRoute(chain=chain, selector="latest", deployment=newest.id)


__all__ = ["GATEWAY", "TokenOf", "gateway_routes", "replica_routes"]
