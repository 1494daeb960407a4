"""Plan and push: how deployments come to be."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any

from chains_platform import changes
from chains_platform.deploying import planning
from chains_platform.deploying.rollout import Rollout
from chains_platform.deploying.validation import check_manifest
from chains_platform.parts import Parts
from chains_platform.patches.retirement import Retirement
from chains_platform.patches.switching import Switch, without_superseded
from chains_platform.refusals import (
    Refusal,
    bad_request,
    conflict,
    unknown_chain,
    unknown_deployment,
)
from chains_platform.secrets.store import missing_secrets
from chains_platform.state import ChainRecord, DeploymentRecord, SetRecord, State
from chains_protocol.control import (
    DeploymentKind,
    DeploymentState,
    DeployRequest,
    EventKind,
    PlanReply,
    PlanRequest,
)
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Severity
from chains_protocol.manifest import ChainManifest, PackageManifest

_log = logging.getLogger(__name__)


class Deployments:
    """One object a control plane; its background tasks are bound to its loop."""

    def __init__(self, parts: Parts, rollout: Rollout, switch: Switch, retirement: Retirement) -> None:
        self._ledger = parts.ledger
        self._engine = parts.engine
        self._blobs = parts.blobs
        self._secrets = parts.secrets
        self._events = parts.events
        self._rollout = rollout
        self._switch = switch
        self._retirement = retirement
        self._new_id = parts.new_id
        self._clock = parts.clock
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def lock(self, deployment_id: str) -> asyncio.Lock:
        """Held while a new version of that deployment is made."""
        return self._locks[deployment_id]

    def find(self, chain: str, deployment: str) -> DeploymentRecord:
        """A deployment by its id, or `development`, or `latest`.

        Raises:
            Refusal: 404, CH303 or CH304.
        """
        state = self._ledger.state
        if chain not in state.chains:
            raise unknown_chain(chain)
        found: DeploymentRecord | None
        if deployment == "development":
            found = state.development_of(chain)
        elif deployment == "latest":
            found = state.newest_active(chain)
        else:
            found = state.deployments.get(deployment)
        if found is None or found.chain != chain or found.state is DeploymentState.DELETED:
            raise unknown_deployment(chain, deployment)
        return found

    # --- plan and push

    async def plan(self, chain: str, request: PlanRequest) -> PlanReply:
        """What a push would do; refusals are part of the reply."""
        wrong = check_manifest(request.manifest, chain)
        if wrong:
            raise Refusal(400, wrong)
        manifest = request.manifest
        # in a thread: the engine may have to ask an interpreter for its version
        return await asyncio.to_thread(
            planning.plan,
            self._ledger.state,
            manifest,
            request.kind,
            missing_blobs=await asyncio.to_thread(self._blobs.missing, manifest.packages),
            environment_ready=self._engine.environment_ready,
            diagnostics=await self.check(manifest.packages, request.allow_missing),
        )

    async def check(
        self, packages: tuple[PackageManifest, ...], allow_missing: tuple[str, ...]
    ) -> tuple[Diagnostic, ...]:
        """What the engine and the secrets can't give these packages; errors and warnings."""

        def ask_engine() -> list[Diagnostic]:
            return [d for p in packages for d in self._engine.check(p.spec, p.environment, allow_missing)]

        found = await asyncio.to_thread(ask_engine)
        names = await self._secrets.names()
        return (*found, *missing_secrets((p.spec for p in packages), names))

    async def deploy(self, chain: str, request: DeployRequest) -> tuple[DeploymentRecord, bool]:
        """Begin a deployment; the flag tells whether anything had to be done.

        Raises:
            Refusal: 400 a wrong manifest or missing blobs, 409 another push is running, 422
                the engine can't honour it.
        """
        manifest = request.manifest
        wrong = check_manifest(manifest, chain)
        if wrong:
            raise Refusal(400, wrong)
        missing = await asyncio.to_thread(self._blobs.missing, manifest.packages)
        if missing:
            raise bad_request(f"{len(missing)} blobs of the manifest are not here", "send them, then deploy")
        diagnostics = await self.check(manifest.packages, request.allow_missing)
        if any(d.severity is Severity.ERROR for d in diagnostics):
            raise Refusal(422, diagnostics)
        current = planning.current_deployment(self._ledger.state, chain, request.kind)
        if current is not None and self._is_done(current, request):
            return current, False
        if request.kind is DeploymentKind.DEVELOPMENT and request.environment is not None:
            raise bad_request("a development deployment can't be promoted to an environment")
        return await self._begin(chain, request, diagnostics, current), True

    def _is_done(self, current: DeploymentRecord, request: DeployRequest) -> bool:
        """Whether a push would change nothing at all, also not where its environment points."""
        state = self._ledger.state
        pointing = {e.name for e in state.environments_of(current.chain) if e.deployment == current.id}
        return (
            current.state is DeploymentState.ACTIVE
            and (request.environment is None or request.environment in pointing)
            and planning.is_unchanged(state, request.manifest, current)
        )

    async def _begin(
        self,
        chain: str,
        request: DeployRequest,
        diagnostics: tuple[Diagnostic, ...],
        current: DeploymentRecord | None,
    ) -> DeploymentRecord:
        manifest = request.manifest
        is_update = request.kind is DeploymentKind.DEVELOPMENT and current is not None
        deployment_id = current.id if is_update and current is not None else self._new_id()
        if self.lock(deployment_id).locked():
            raise conflict(
                f"another push or patch of the development deployment of `{chain}` is running",
                "wait until it has finished, then repeat the command",
            )
        await self.lock(deployment_id).acquire()
        if is_update and current is not None:
            current = self._ledger.state.deployments.get(deployment_id, current)
            record = replace(
                current,
                state=DeploymentState.QUEUED,
                user_root=request.user_root,
                allow_missing=request.allow_missing,
                name=request.deployment_name or current.name,
                diagnostics=diagnostics,
            )
            if not current.is_live:  # its first start failed: nothing of it is left
                record = replace(record, packages=manifest.packages, entrypoint=manifest.entrypoint)
        else:
            record = self._new_record(chain, request, deployment_id, diagnostics)
        version = record.version + 1 if record.is_live else record.version
        kept = self.kept(record, manifest, current if is_update else None)
        self._ledger.apply(lambda s: _with_chain(s, chain, record.created_at))
        self._ledger.apply(lambda s: begun(s, record, manifest.packages, kept, version))
        self._switch.report(record, DeploymentState.QUEUED)
        self._spawn(record.id, self._roll_out(record.id, version, manifest, kept))
        await self._ledger.saved()
        return self._ledger.state.deployments[record.id]

    def _new_record(
        self, chain: str, request: DeployRequest, deployment_id: str, diagnostics: tuple[Diagnostic, ...]
    ) -> DeploymentRecord:
        return DeploymentRecord(
            id=deployment_id,
            chain=chain,
            kind=request.kind,
            state=DeploymentState.QUEUED,
            entrypoint=request.manifest.entrypoint,
            created_at=self._clock(),
            packages=request.manifest.packages,
            name=request.deployment_name,
            environment=request.environment,
            allow_missing=request.allow_missing,
            user_root=request.user_root,
            diagnostics=diagnostics,
        )

    def kept(
        self, record: DeploymentRecord, manifest: ChainManifest, current: DeploymentRecord | None
    ) -> dict[str, SetRecord]:
        """The running sets that serve this manifest's Chainlets just so, by display name."""
        if record.is_development and (current is None or not current.is_live):
            return {}
        found = {
            p.spec.display_name: planning.reusable_set(self._ledger.state, p, record.environment, current)
            for p in manifest.packages
        }
        return {name: kept for name, kept in found.items() if kept is not None}

    # --- the background part

    async def _roll_out(
        self, deployment_id: str, version: int, manifest: ChainManifest, kept: Mapping[str, SetRecord]
    ) -> None:
        try:
            await self._start(deployment_id, version, manifest, kept)
        except (DiagnosticsError, OSError) as error:
            found = error.diagnostics if isinstance(error, DiagnosticsError) else (_internal(error),)
            self._failed(deployment_id, version, found)
        except asyncio.CancelledError:
            self._failed(deployment_id, version, (_interrupted(),))
            raise
        except Exception as error:
            _log.exception("deployment %s failed", deployment_id)
            self._failed(deployment_id, version, (_internal(error),))
        finally:
            self.lock(deployment_id).release()

    async def _start(
        self, deployment_id: str, version: int, manifest: ChainManifest, kept: Mapping[str, SetRecord]
    ) -> None:
        record = self._ledger.state.deployments[deployment_id]
        new = [p for p in manifest.packages if p.spec.display_name not in kept]
        if new:
            self.set_state(deployment_id, DeploymentState.BUILDING)
            await self._rollout.build(record, new)
        self.set_state(deployment_id, DeploymentState.STARTING)
        sets = {p.spec.display_name: self._rollout.new_set(record, p, version) for p in new}
        await self._rollout.start(deployment_id, version, manifest.packages, sets)
        await self._switch(lambda s: self._activated(s, deployment_id, version, manifest))
        self._switch.report(self._ledger.state.deployments[deployment_id], DeploymentState.ACTIVE)
        self._switch.release_superseded(record.chain)
        if record.is_live:
            self._retirement.retire_later(deployment_id, version)

    def _activated(self, state: State, deployment_id: str, version: int, manifest: ChainManifest) -> State:
        before = state.deployments[deployment_id].diagnostics
        state = changes.commit_version(state, deployment_id, version, manifest.entrypoint, manifest.packages)
        state = changes.remember_version(state, deployment_id, self._clock())
        record = state.deployments[deployment_id]
        warnings = tuple(d for d in before if d.severity is not Severity.ERROR)
        state = state.with_deployment(replace(record, diagnostics=warnings))
        if record.environment is not None:
            state = changes.point(state, record.chain, record.environment, deployment_id, self._clock())
        return without_superseded(state, record.chain)

    def _failed(self, deployment_id: str, version: int, diagnostics: tuple[Diagnostic, ...]) -> None:
        if deployment_id not in self._ledger.state.deployments:
            return
        self._ledger.apply(lambda s: changes.fail(s, deployment_id, version, diagnostics))
        record = self._ledger.state.deployments[deployment_id]
        for diagnostic in diagnostics:
            self._events.add(
                EventKind.DIAGNOSTIC,
                record.chain,
                deployment=deployment_id,
                chainlet=diagnostic.chainlet,
                message=diagnostic.message,
                diagnostic=diagnostic.model_dump(mode="json"),
            )
        self._switch.report(record, DeploymentState.FAILED, diagnostics[0].message if diagnostics else "")

    # --- ends

    async def cancel(self, deployment_id: str) -> None:
        """Stop a deployment that is being started; returns when it is recorded as failed."""
        task = self._tasks.get(deployment_id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def close(self) -> None:
        """Stop what is being started; it is recorded as failed."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- small things

    def set_state(self, deployment_id: str, state: DeploymentState) -> None:
        """Record and tell how far a deployment is."""
        self._ledger.apply(lambda s: s.with_deployment(replace(s.deployments[deployment_id], state=state)))
        self._switch.report(self._ledger.state.deployments[deployment_id], state)

    def _spawn(self, deployment_id: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[deployment_id] = task

        def finished(done: asyncio.Task[None]) -> None:
            if self._tasks.get(deployment_id) is done:
                del self._tasks[deployment_id]
            if not done.cancelled() and done.exception() is not None:
                _log.error("deployment %s was not finished", deployment_id, exc_info=done.exception())

        task.add_done_callback(finished)


def begun(
    state: State,
    record: DeploymentRecord,
    packages: tuple[PackageManifest, ...],
    kept: Mapping[str, SetRecord],
    version: int,
) -> State:
    """The deployment is known, and what it keeps is reserved for it."""
    state = state.with_deployment(record)
    held = {m.set_id for m in record.members}
    reserved = {name: found for name, found in kept.items() if found.id not in held}
    return changes.prepare_version(state, record.id, version, packages, reserved)


def _with_chain(state: State, chain: str, now: float) -> State:
    return state if chain in state.chains else state.with_chain(ChainRecord(chain, now))


def _internal(error: Exception) -> Diagnostic:
    return Diagnostic(
        code=Code.INTERNAL,
        message=f"the deployment could not be finished: {error}",
        help="look at the platform's log: `chains platform logs`",
    )


def _interrupted() -> Diagnostic:
    return Diagnostic(
        code=Code.REPLICA_START_TIMED_OUT,
        message="the platform was stopped, or the deployment deleted, while it was starting",
        help="push again",
    )


__all__ = ["Deployments", "begun"]
