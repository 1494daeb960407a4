"""Delete deployments and chains."""

from dataclasses import replace

from chains_platform import changes
from chains_platform.deploying.deployments import Deployments
from chains_platform.parts import Parts
from chains_platform.patches.retirement import Retirement
from chains_platform.patches.switching import Switch
from chains_platform.refusals import bad_request, unknown_chain
from chains_platform.state import DeploymentRecord
from chains_protocol.control import DeploymentState


class Removal:
    """Stops what is to go, then forgets it."""

    def __init__(
        self, parts: Parts, deployments: Deployments, switch: Switch, retirement: Retirement
    ) -> None:
        self._ledger = parts.ledger
        self._deployments = deployments
        self._switch = switch
        self._retirement = retirement
        self._drain_s = parts.timeouts.delete_s

    async def delete(self, chain: str, deployment: str) -> DeploymentRecord:
        """Stop a deployment and forget it."""
        record = self._deployments.find(chain, deployment)
        pointing = [e.name for e in self._ledger.state.environments_of(chain) if e.deployment == record.id]
        if pointing:
            raise bad_request(
                f"environment `{pointing[0]}` points at deployment `{record.id}`",
                f"promote another deployment to `{pointing[0]}` first, or delete the chain",
            )
        await self._delete(record)
        return replace(record, state=DeploymentState.DELETED, is_live=False)

    async def delete_chain(self, chain: str) -> None:
        """Stop all deployments of a chain and forget it."""
        if chain not in self._ledger.state.chains:
            raise unknown_chain(chain)
        # again until there are none: someone may push while we wait
        while found := self._ledger.state.deployments_of(chain):
            for record in found:
                await self._delete(record)
        self._ledger.apply(lambda s: changes.forget_chain(s, chain))
        await self._ledger.saved()

    async def _delete(self, record: DeploymentRecord) -> None:
        await self._deployments.cancel(record.id)
        await self._switch(lambda s: changes.forget_deployment(s, record.id))
        self._switch.report(record, DeploymentState.DELETED)
        self._retirement.release_later(record.id, self._drain_s)


__all__ = ["Removal"]
