"""One patch under way: what it prepared so far, and what it came to."""

import asyncio
import os
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from chains_platform.patches.planning import Beside, InPlace, PatchPlan
from chains_platform.state import DeploymentRecord, ReplicaRecord, SetRecord
from chains_protocol.patch import Action, ChainletOutcome, PatchOutcome
from chains_protocol.replica import ReplicaStatus

T = TypeVar("T")


@dataclass
class PatchRun:
    """What has to be undone if it fails, and what is told if it does not.

    `began` is a time of the event loop. `prepared` are replicas that hold the next code, by
    id; `sets` the new ones, by display name; `done` how each Chainlet got its package.
    """

    record: DeploymentRecord
    plan: PatchPlan
    began: float
    transaction: str
    restores: int | None = None
    prepared: dict[str, tuple[ReplicaRecord, InPlace]] = field(default_factory=dict)
    sets: dict[str, SetRecord] = field(default_factory=dict)
    done: dict[str, InPlace | Beside] = field(default_factory=dict)
    elapsed_ms: dict[str, float] = field(default_factory=dict)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_loading_at_once()))
    """Of Chainlets that load edited code; one processor is left to requests, which would all be held up."""
    is_added: bool = False
    """Members or edges of the next version are in the state."""


def _loading_at_once() -> int:
    return max(1, (os.cpu_count() or 1) - 1)


def committed(run: PatchRun, statuses: Mapping[str, ReplicaStatus], elapsed_ms: float) -> PatchOutcome:
    """What is true after the switch; `statuses` is what patched replicas say, by id."""
    chainlets = [_outcome(run, p.spec.display_name, p.digest, statuses) for p in run.plan.packages]
    chainlets += [
        ChainletOutcome(
            display_name=p.spec.display_name,
            action=Action.REDEPLOYED,
            package_digest=p.digest,
            reasons=("it is no longer part of the chain",),
        )
        for p in run.plan.removed
    ]
    return PatchOutcome(
        committed=True, version=run.plan.version, chainlets=tuple(chainlets), elapsed_ms=elapsed_ms
    )


def _outcome(run: PatchRun, name: str, digest: str, statuses: Mapping[str, ReplicaStatus]) -> ChainletOutcome:
    step = run.done.get(name)
    if step is None:
        return ChainletOutcome(display_name=name, action=Action.UNCHANGED, package_digest=digest)
    replicas = [r for r, s in run.prepared.values() if s.display_name == name]
    on_old = sum(
        generation.in_flight
        for replica in replicas
        if replica.id in statuses
        for generation in statuses[replica.id].generations
        if generation.since < run.plan.version
    )
    return ChainletOutcome(
        display_name=name,
        action=step.action,
        package_digest=digest,
        reasons=step.reasons,
        elapsed_ms=round(run.elapsed_ms.get(name, 0.0), 3),
        calls_on_old=on_old,
    )


async def settle(work: Iterable[Awaitable[T]]) -> list[T]:
    """All results; if any failed, the first failure, raised when all have ended."""
    results = await asyncio.gather(*work, return_exceptions=True)
    found: list[T] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        found.append(result)
    return found


__all__ = ["PatchRun", "committed", "settle"]
