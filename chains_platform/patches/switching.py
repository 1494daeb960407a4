"""The moment at which a change becomes visible, and what follows from it."""

import asyncio
from collections.abc import Callable
from typing import Final

from chains_platform import changes
from chains_platform.parts import Parts
from chains_platform.patches.retirement import Retirement
from chains_platform.replicas.distribution import LOST
from chains_platform.state import DeploymentRecord, State
from chains_protocol.control import DeploymentState, EventKind

_GATEWAY_WAIT_S: Final = 15.0
_GATEWAY_AGAIN_S: Final = 0.2


class Switch:
    """Changes what the gateway serves."""

    def __init__(self, parts: Parts, retirement: Retirement) -> None:
        self._ledger = parts.ledger
        self._distribution = parts.distribution
        self._events = parts.events
        self._retirement = retirement

    async def __call__(self, change: Callable[[State], State]) -> None:
        """Make a change visible; the gateway may be starting again just now.

        Raises:
            ConnectionError, OSError, DiagnosticsError: it can't be reached; nothing changed.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _GATEWAY_WAIT_S
        while True:
            try:
                await self._distribution.switch(change)
                break
            except LOST:
                if loop.time() > deadline:
                    raise
                await asyncio.sleep(_GATEWAY_AGAIN_S)
        await self._ledger.saved()

    def release_superseded(self, chain: str) -> None:
        """Let the deployments that serve no more end, each when its last request did."""
        for record in self._ledger.state.deployments_of(chain):
            if record.state is DeploymentState.INACTIVE and record.members:
                self.report(record, DeploymentState.INACTIVE)
                self._retirement.release_later(record.id)

    def report(self, record: DeploymentRecord, state: DeploymentState, message: str = "") -> None:
        """Add the event that tells a deployment's state."""
        self._events.add(
            EventKind.DEPLOYMENT_STATE,
            record.chain,
            deployment=record.id,
            message=message,
            state=state.value,
            version=record.version,
        )


def without_superseded(state: State, chain: str) -> State:
    """Deployments that no longer have to run serve no new request."""
    for deployment_id in changes.superseded(state, chain):
        state = changes.deactivate(state, deployment_id, DeploymentState.INACTIVE)
    return state


__all__ = ["Switch", "without_superseded"]
