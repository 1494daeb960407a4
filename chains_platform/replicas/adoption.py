"""On start: which replicas of an earlier control plane still serve, and what has to be repaired."""

import asyncio
from dataclasses import replace

from chains_platform import changes
from chains_platform.engines.engine import Engine
from chains_platform.ledger import Ledger
from chains_platform.replicas.distribution import LOST, Distribution
from chains_platform.replicas.reconciler import Reconciler, handle_of
from chains_platform.state import DeploymentRecord, ReplicaRecord, State
from chains_protocol.control import DeploymentState
from chains_protocol.errors import Code, Diagnostic
from chains_protocol.replica import ReplicaState, ReplicaStatus


async def adopt(ledger: Ledger, engine: Engine, distribution: Distribution, reconciler: Reconciler) -> None:
    """Take over replicas that live, note those that don't, fail deployments that were being made.

    Deployments come first: replicas of those that failed are stopped by the reconciler like
    any others that nobody needs.
    """
    ledger.apply(fail_unfinished)
    found = list(ledger.state.replicas.values())
    await asyncio.gather(*(_look_at(r, ledger, engine, distribution, reconciler) for r in found))
    await engine.stop_strays([h for h in map(handle_of, ledger.state.replicas.values()) if h is not None])


async def _look_at(
    replica: ReplicaRecord,
    ledger: Ledger,
    engine: Engine,
    distribution: Distribution,
    reconciler: Reconciler,
) -> None:
    handle = handle_of(replica)
    status: ReplicaStatus | None = None
    if handle is not None and engine.is_alive(handle):
        try:
            status = await distribution.client(replica).status()
        except LOST:
            status = None
        if status is None or status.state not in (ReplicaState.READY, ReplicaState.UNHEALTHY):
            await engine.stop(handle, 0.0)
            status = None
    if status is None:
        await distribution.forget(replica.id, replica.pid)
        ledger.apply(lambda s: _lost(s, replica.id))
        return
    # what the replica says it serves is the truth: the last patch may not have been written
    serving = replace(replica, package_digest=status.package_digest)
    ledger.apply(lambda s: s.with_replicas(serving))
    reconciler.adopt(serving, status.load_count)


def _lost(state: State, replica_id: str) -> State:
    """No process any more: one that was being stopped is gone, another is due to start at once."""
    replica = state.replicas[replica_id]
    if replica.state is ReplicaState.DRAINING or replica.set_id not in state.sets:
        return state.without_replicas([replica_id])
    if replica.state is ReplicaState.FAILED:
        return state.with_replicas(replace(replica, pid=None))
    return state.with_replicas(replace(replica, pid=None, state=ReplicaState.UNHEALTHY, retry_at=0.0))


def fail_unfinished(state: State) -> State:
    """Deployments that an earlier control plane was making when it ended. Pure."""
    for record in state.deployments.values():
        if record.state.is_settled:
            if record.is_live:
                state = changes.drop_version(state, record.id, record.version + 1)
            continue
        version = record.version + 1 if record.is_live else record.version
        state = changes.fail(state, record.id, version, (_interrupted(record),))
    return state


def _interrupted(record: DeploymentRecord) -> Diagnostic:
    state = DeploymentState(record.state).value
    return Diagnostic(
        code=Code.PLATFORM_START_FAILED,
        message=f"the platform ended while the deployment was {state}",
        help="push again",
    )


__all__ = ["adopt", "fail_unfinished"]
