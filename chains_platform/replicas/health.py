"""Asks Chainlets that define `is_healthy` how they are, and acts on a lasting no.

Only the answer of the Chainlet itself counts here; a process that is gone is the
reconciler's business.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chains_platform.net.http1 import Client, request_head
from chains_platform.parts import Parts
from chains_platform.replicas.distribution import Distribution
from chains_platform.replicas.reconciler import Reconciler
from chains_platform.rounds import Rounds
from chains_platform.state import ReplicaRecord, State
from chains_protocol.errors import Code, Diagnostic
from chains_protocol.replica import ReplicaState
from chains_protocol.rpc import READY_PATH
from chains_protocol.spec import ChainletSpec

_EVERY_S: Final = 5.0
_ANSWER_S: Final = 5.0

DEFAULT_STOP_TRAFFIC_S: Final = 30.0
DEFAULT_RESTART_S: Final = 120.0

_log = logging.getLogger(__name__)

Probe = Callable[[str], Awaitable[bool]]
"""Whether the replica at an address says that it is healthy."""


@dataclass(frozen=True)
class Thresholds:
    """Seconds that a Chainlet may be unhealthy before it gets no more requests, or is restarted.

    `delay_s` after its start nothing is held against it.
    """

    delay_s: float = 0.0
    stop_traffic_s: float = DEFAULT_STOP_TRAFFIC_S
    restart_s: float = DEFAULT_RESTART_S

    @classmethod
    def of(cls, spec: ChainletSpec) -> "Thresholds":
        """What the Chainlet's `HealthChecks` say, else our own choice."""
        chosen = spec.options.health_checks

        def seconds(name: str, default: float) -> float:
            value = chosen.get(name)
            return default if value is None else float(value)

        return cls(
            delay_s=seconds("restart_check_delay_seconds", 0.0),
            stop_traffic_s=seconds("stop_traffic_threshold_seconds", DEFAULT_STOP_TRAFFIC_S),
            restart_s=seconds("restart_threshold_seconds", DEFAULT_RESTART_S),
        )


class Verdict(StrEnum):
    SERVE = "serve"
    HOLD = "hold"
    """Send it no requests."""
    RESTART = "restart"


def judge(thresholds: Thresholds, started_at: float, unhealthy_since: float | None, now: float) -> Verdict:
    """What to do with a replica that is unhealthy since then; None: it is healthy. Pure."""
    if unhealthy_since is None:
        return Verdict.SERVE
    since = max(unhealthy_since, started_at + thresholds.delay_s)
    if now - since >= thresholds.restart_s:
        return Verdict.RESTART
    return Verdict.HOLD if now - unhealthy_since >= thresholds.stop_traffic_s else Verdict.SERVE


class HealthWatch:
    """Asks; `rounds` does so over and over."""

    def __init__(
        self, parts: Parts, distribution: Distribution, reconciler: Reconciler, probe: Probe
    ) -> None:
        self._ledger = parts.ledger
        self._clock = parts.clock
        self._distribution = distribution
        self._reconciler = reconciler
        self._probe = probe
        self._unhealthy: dict[tuple[str, int], float] = {}
        """Since when, by replica and its process."""
        self.rounds = Rounds(self.look, _EVERY_S)

    async def look(self) -> None:
        """Ask every replica that has an opinion, and act."""
        found = list(_asked(self._ledger.state))
        answers = await asyncio.gather(*(self._probe(r.address) for r, _ in found))
        known = {(r.id, r.pid or 0) for r, _ in found}
        self._unhealthy = {k: v for k, v in self._unhealthy.items() if k in known}
        changed = False
        for (replica, spec), healthy in zip(found, answers, strict=True):
            changed = self._act(replica, spec, healthy) or changed
        if changed:
            await self._distribution.sync()

    def _act(self, replica: ReplicaRecord, spec: ChainletSpec, healthy: bool) -> bool:
        now, key = self._clock(), (replica.id, replica.pid or 0)
        if healthy:
            self._unhealthy.pop(key, None)
        else:
            self._unhealthy.setdefault(key, now)
        thresholds, started = Thresholds.of(spec), replica.started_at or now
        verdict = judge(thresholds, started, self._unhealthy.get(key), now)
        if verdict is Verdict.RESTART:
            _log.warning("replica %s of %s is unhealthy for too long", replica.id, spec.display_name)
            self._reconciler.restart(replica.id, _reason(spec))
            return False
        wanted = ReplicaState.READY if verdict is Verdict.SERVE else ReplicaState.UNHEALTHY
        if replica.state is wanted:
            return False
        self._reconciler.mark(replica.id, wanted, () if wanted is ReplicaState.READY else (_reason(spec),))
        return True


def _asked(state: State) -> Iterator[tuple[ReplicaRecord, ChainletSpec]]:
    for replica in state.replicas.values():
        record = state.sets.get(replica.set_id)
        if record is None or replica.pid is None or not record.package.spec.endpoint.has_health_check:
            continue
        if replica.state in (ReplicaState.READY, ReplicaState.UNHEALTHY):
            yield replica, record.package.spec


def _reason(spec: ChainletSpec) -> Diagnostic:
    return Diagnostic(
        code=Code.NOT_READY,
        message=f"`is_healthy` of `{spec.display_name}` says that it is not",
        help="look at its log",
        chainlet=spec.display_name,
    )


async def probe(address: str) -> bool:
    """Ask a replica; silence and a lost connection mean no."""
    client = Client()
    try:
        async with asyncio.timeout(_ANSWER_S):
            answer = await client.send(address, request_head("GET", READY_PATH, [(b"host", b"localhost")]))
            await answer.read()
    except (TimeoutError, OSError):
        return False
    finally:
        client.close()
    return answer.status == 200


__all__ = [
    "DEFAULT_RESTART_S",
    "DEFAULT_STOP_TRAFFIC_S",
    "HealthWatch",
    "Probe",
    "Thresholds",
    "Verdict",
    "judge",
    "probe",
]
