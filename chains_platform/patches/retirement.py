"""Lets go of what only old requests still use, once the gateway says that they ended."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from chains_platform import changes
from chains_platform.ledger import Ledger
from chains_platform.replicas.distribution import LOST, Distribution
from chains_platform.state import DeploymentRecord
from chains_protocol.control import DeploymentState
from chains_protocol.replica import ReplicaState
from chains_protocol.rpc import Revision

_AGAIN_S: Final = 0.5
_EVER: Final = 2**31 - 1

_log = logging.getLogger(__name__)


class Retirement:
    """Background waits, at most one a deployment and purpose."""

    def __init__(self, ledger: Ledger, distribution: Distribution, drain_s: float) -> None:
        self._ledger = ledger
        self._distribution = distribution
        self._drain_s = drain_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._retiring: dict[str, asyncio.Task[None]] = {}

    def retire_later(self, deployment_id: str, below: int) -> None:
        """Drop older generations and members that no open request has; the rest when they ended.

        A later version's wait takes the place of an earlier one's.
        """
        former = self._retiring.get(deployment_id)
        if former is not None:
            former.cancel()
        task = self._retiring[deployment_id] = self._spawn(self._retire(deployment_id, below))
        task.add_done_callback(lambda done: self._retired(deployment_id, done))

    def release_later(self, deployment_id: str, drain_s: float | None = None) -> None:
        """Drop all members of a deployment that serves no new request, when the last one ended.

        One that was deleted is forgotten then.
        """
        self._spawn(self._release(deployment_id, self._drain_s if drain_s is None else drain_s))

    def resume(self) -> None:
        """After a restart: go on waiting where an earlier control plane did."""
        for record in self._ledger.state.deployments.values():
            if not record.is_live and (record.members or record.state is DeploymentState.DELETED):
                self.release_later(record.id)
            elif any(m.until is not None for m in record.members):
                self.retire_later(record.id, record.version)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _retire(self, deployment_id: str, below: int) -> None:
        still_open = await self._open_versions(deployment_id, below)
        if still_open is not None:
            await self._let_go(deployment_id, below, still_open)
        if still_open != ():
            await self._drained(deployment_id, below, self._drain_s)
            await self._let_go(deployment_id, below, ())

    async def _open_versions(self, deployment_id: str, below: int) -> tuple[int, ...] | None:
        """The older versions that requests still have; None if the gateway can't say."""
        try:
            status = await self._distribution.gateway.status()
        except LOST:
            return None
        found = (Revision.parse(text) for text in status.in_flight)
        return tuple(sorted(r.version for r in found if r.deployment == deployment_id and r.version < below))

    async def _let_go(self, deployment_id: str, below: int, still_open: tuple[int, ...]) -> None:
        record = self._ledger.state.deployments.get(deployment_id)
        if record is None:
            return
        await asyncio.gather(*(self._tell(record, set_id, below, still_open) for set_id in _sets(record)))
        self._ledger.apply(lambda s: changes.retire(s, deployment_id, below, still_open))
        await self._distribution.sync_replicas()

    async def _tell(
        self, record: DeploymentRecord, set_id: str, below: int, still_open: tuple[int, ...]
    ) -> None:
        """Generations are of development deployments: nobody else's version counts for their replicas."""
        if not record.is_development:
            return
        for replica in self._ledger.state.replicas_of(set_id):
            if replica.state is ReplicaState.READY:
                try:
                    await self._distribution.client(replica).retire(below, still_open)
                except LOST as error:
                    _log.warning("replica %s did not retire old code: %s", replica.id, error)

    async def _release(self, deployment_id: str, drain_s: float) -> None:
        await self._drained(deployment_id, _EVER, drain_s)
        record = self._ledger.state.deployments.get(deployment_id)
        if record is None or record.is_live or not record.state.is_settled:
            return  # it was promoted meanwhile, and serves again or is about to
        gone = record.state is DeploymentState.DELETED
        change = changes.purge if gone else changes.release
        self._ledger.apply(lambda s: change(s, deployment_id))
        await self._distribution.sync_replicas()

    async def _drained(self, deployment_id: str, below: int, within_s: float) -> None:
        """Return when the requests ended, or after `within_s`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while (rest := deadline - loop.time()) > 0:
            try:
                if await self._distribution.gateway.wait_drained(deployment_id, below, rest):
                    return
            except LOST:
                await asyncio.sleep(min(_AGAIN_S, rest))  # it is being restarted

    def _retired(self, deployment_id: str, task: asyncio.Task[None]) -> None:
        if self._retiring.get(deployment_id) is task:
            del self._retiring[deployment_id]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("letting go of an old version failed", exc_info=task.exception())


def _sets(record: DeploymentRecord) -> set[str]:
    return {m.set_id for m in record.members}


__all__ = ["Retirement"]
