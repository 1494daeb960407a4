"""Events of replicas, and what they come to for the Chainlets of each deployment."""

from chains_platform.events import EventLog
from chains_platform.state import ReplicaRecord, SetRecord, State
from chains_protocol.control import EventKind
from chains_protocol.replica import ReplicaState


class Announcer:
    """Adds an event whenever a replica, or through it a Chainlet, is in another state."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._told: dict[tuple[str, str], ReplicaState] = {}

    def replica(self, state: State, replica_id: str) -> None:
        """A replica changed."""
        replica = state.replicas.get(replica_id)
        record = state.sets.get(replica.set_id) if replica is not None else None
        if replica is None or record is None:
            return
        message = replica.diagnostics[0].message if replica.diagnostics else ""
        for deployment in state.users_of(record.id):
            self._events.add(
                EventKind.REPLICA_STATE,
                record.chain,
                deployment=deployment.id,
                chainlet=record.display_name,
                message=message,
                replica_id=replica.id,
                state=replica.state.value,
                restarts=replica.restarts,
            )
            self._chainlet(deployment.id, record, set_state(state.replicas_of(record.id)), message)

    def _chainlet(self, deployment: str, record: SetRecord, state: ReplicaState, message: str) -> None:
        key = (deployment, record.id)
        if self._told.get(key) is state:
            return
        self._told[key] = state
        self._events.add(
            EventKind.CHAINLET_STATE,
            record.chain,
            deployment=deployment,
            chainlet=record.display_name,
            message=message,
            state=state.value,
        )


def set_state(replicas: tuple[ReplicaRecord, ...]) -> ReplicaState:
    """One state for all replicas of a set: it serves if any does."""
    states = {r.state for r in replicas}
    for candidate in (ReplicaState.READY, ReplicaState.FAILED, ReplicaState.UNHEALTHY, ReplicaState.DRAINING):
        if candidate in states:
            return candidate
    return ReplicaState.STARTING


__all__ = ["Announcer", "set_state"]
