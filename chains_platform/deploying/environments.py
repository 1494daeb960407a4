"""Promote and roll back: where environments point."""

from collections.abc import Callable
from dataclasses import replace

from chains_platform import changes
from chains_platform.deploying.deployments import Deployments, begun
from chains_platform.deploying.rollout import Rollout
from chains_platform.parts import Parts
from chains_platform.patches.switching import Switch, without_superseded
from chains_platform.refusals import bad_request, unknown_chain, unknown_environment
from chains_platform.state import DeploymentRecord, State
from chains_protocol.control import DeploymentState, EventKind


class Environments:
    """Moves environments between deployments, start-before-stop."""

    def __init__(self, parts: Parts, deployments: Deployments, rollout: Rollout, switch: Switch) -> None:
        self._ledger = parts.ledger
        self._events = parts.events
        self._clock = parts.clock
        self._deployments = deployments
        self._rollout = rollout
        self._switch = switch

    async def promote(self, chain: str, environment: str, deployment: str) -> DeploymentRecord:
        """Let an environment point at a deployment; one that was stopped is started first."""
        record = self._deployments.find(chain, deployment)
        if record.is_development:
            raise bad_request(
                "a development deployment can't be promoted",
                "publish it: `chains push` without `--development`",
            )
        return await self._move(
            record, lambda s: changes.point(s, chain, environment, record.id, self._clock())
        )

    async def rollback(self, chain: str, environment: str) -> DeploymentRecord:
        """Let an environment point at what it pointed at before."""
        if chain not in self._ledger.state.chains:
            raise unknown_chain(chain)
        found = self._ledger.state.environments.get(f"{chain}/{environment}")
        if found is None or found.deployment is None:
            raise unknown_environment(chain, environment)
        if found.former is None:
            raise unknown_environment(
                chain, environment, f"environment `{environment}` of `{chain}` pointed at nothing before"
            )
        record = self._deployments.find(chain, found.former)
        return await self._move(record, lambda s: changes.point_back(s, chain, environment))

    async def _move(self, record: DeploymentRecord, change: Callable[[State], State]) -> DeploymentRecord:
        if not record.is_live:
            if record.state is not DeploymentState.INACTIVE:
                raise bad_request(f"deployment `{record.id}` is {record.state.value}, not active")
            await self._revive(record)
        await self._switch(lambda s: without_superseded(change(s), record.chain))
        self._events.add(EventKind.PROMOTED, record.chain, deployment=record.id)
        self._switch.release_superseded(record.chain)
        return self._ledger.state.deployments[record.id]

    async def _revive(self, record: DeploymentRecord) -> None:
        """Start a deployment that was stopped; returns when it could serve."""
        async with self._deployments.lock(record.id):
            kept = self._deployments.kept(record, record.manifest, None)
            new = [p for p in record.packages if p.spec.display_name not in kept]
            fresh = replace(record, members=(), edges=(), state=DeploymentState.STARTING)
            self._ledger.apply(lambda s: begun(s, fresh, record.packages, kept, record.version))
            try:
                await self._rollout.build(record, new)
                sets = {p.spec.display_name: self._rollout.new_set(record, p, record.version) for p in new}
                await self._rollout.start(record.id, record.version, record.packages, sets)
            except BaseException:
                self._ledger.apply(lambda s: changes.release(s, record.id))
                self._deployments.set_state(record.id, DeploymentState.INACTIVE)
                raise
            self._ledger.apply(
                lambda s: s.with_deployment(
                    replace(s.deployments[record.id], state=DeploymentState.ACTIVE, is_live=True)
                )
            )


__all__ = ["Environments"]
