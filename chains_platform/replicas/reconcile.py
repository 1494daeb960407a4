"""Wanted state and actual state -> actions. Pure.

Wanted is what deployments refer to; actual are the replica records, which the reconciler
keeps current. The same call twice gives the same actions: carrying one out changes the
records first, so it is not given again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chains_platform.state import ReplicaRecord, SetRecord, State
from chains_protocol.errors import Code, Diagnostic
from chains_protocol.replica import ReplicaState

MAX_FAILED_STARTS: Final = 3
"""Starts in a row of a set that has served before; a new one gets a single try."""

_FIRST_BACKOFF_S: Final = 0.5
_MAX_BACKOFF_S: Final = 60.0


@dataclass(frozen=True)
class Launch:
    """Start a new replica of that set."""

    set_id: str


@dataclass(frozen=True)
class Relaunch:
    """Start a replica again whose process is gone."""

    replica_id: str


@dataclass(frozen=True)
class Stop:
    """Drain and end a replica; `again` starts it anew afterwards, with what its set holds now."""

    replica_id: str
    again: bool = False


@dataclass(frozen=True)
class Forget:
    """Drop the record of a set that nobody needs and that has no replica left."""

    set_id: str


Action = Launch | Relaunch | Stop | Forget


@dataclass(frozen=True)
class Decision:
    """What to do now, and when to look again at the latest (Unix seconds) if nothing happens before."""

    actions: tuple[Action, ...] = ()
    look_again_at: float | None = None


def reconcile(state: State, now: float) -> Decision:
    """What brings the replicas to what the deployments need."""
    needed = state.referenced_sets()
    actions: list[Action] = []
    due: list[float] = []
    for record in state.sets.values():
        replicas = state.replicas_of(record.id)
        if record.id not in needed:
            actions += _remove(record, replicas)
            continue
        actions += _repair(record, replicas, now)
        due += [r.retry_at for r in replicas if r.retry_at is not None and r.retry_at > now]
        if len(replicas) < record.wanted and _may_start(state, record):
            actions += [Launch(record.id)] * (record.wanted - len(replicas))
    return Decision(tuple(actions), min(due, default=None))


def _remove(record: SetRecord, replicas: tuple[ReplicaRecord, ...]) -> Iterator[Action]:
    if not replicas:
        yield Forget(record.id)
    for replica in replicas:
        if replica.state is not ReplicaState.DRAINING:
            yield Stop(replica.id)


def _repair(record: SetRecord, replicas: tuple[ReplicaRecord, ...], now: float) -> Iterator[Action]:
    surplus = len(replicas) - record.wanted
    # those that serve longest go last
    order = sorted(replicas, key=lambda r: (r.state is ReplicaState.READY, -(r.started_at or 0.0)))
    for replica in order:
        if surplus > 0 and replica.state is not ReplicaState.DRAINING:
            surplus -= 1
            yield Stop(replica.id)
        elif replica.retry_at is not None and replica.retry_at <= now:
            yield Relaunch(replica.id)
        elif replica.state is ReplicaState.READY and replica.package_digest != record.package.digest:
            yield Stop(replica.id, again=True)


def _may_start(state: State, record: SetRecord) -> bool:
    """A new set waits for what it depends on; one that served before never waits."""
    if record.is_established:
        return True
    for deployment in state.users_of(record.id):
        called = {e.callee for e in deployment.edges if e.caller == record.display_name and e.until is None}
        for member in deployment.members:
            if member.display_name in called and member.until is None:
                callee = state.sets.get(member.set_id)
                if callee is not None and not callee.is_established:
                    return False
    return True


def after_failed_start(record: SetRecord, replica: ReplicaRecord, now: float) -> float | None:
    """When to try again after one more failed start; None: it is to be given up."""
    failures = replica.failures + 1
    if not record.is_established or failures >= MAX_FAILED_STARTS:
        return None
    return now + _backoff_s(failures)


def after_crash(replica: ReplicaRecord, now: float) -> float:
    """When to start a replica again that was ready: at once the first time, later each time after."""
    return now if replica.crashes == 0 else now + _backoff_s(replica.crashes)


def describe_failure(record: SetRecord, replica: ReplicaRecord) -> tuple[Diagnostic, ...]:
    """Why a replica was given up, never nothing."""
    if replica.diagnostics:
        return replica.diagnostics
    message = f"a replica of `{record.display_name}` did not start"
    return (Diagnostic(code=Code.REPLICA_CRASHED, message=message, chainlet=record.display_name),)


def _backoff_s(attempt: int) -> float:
    return min(_MAX_BACKOFF_S, _FIRST_BACKOFF_S * float(2 ** (min(attempt, 10) - 1)))


__all__ = [
    "MAX_FAILED_STARTS",
    "Action",
    "Decision",
    "Forget",
    "Launch",
    "Relaunch",
    "Stop",
    "after_crash",
    "after_failed_start",
    "describe_failure",
    "reconcile",
]
