"""A hot patch of a development deployment: prepare everywhere, then switch in one step, or not at all."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from chains_platform import changes
from chains_platform.deploying.deployments import Deployments
from chains_platform.deploying.rollout import Rollout
from chains_platform.deploying.validation import require_manifest
from chains_platform.parts import Parts
from chains_platform.patches.planning import (
    Beside,
    InPlace,
    find_conflicts,
    heavier,
    make_plan,
    next_packages,
)
from chains_platform.patches.retirement import Retirement
from chains_platform.patches.run import PatchRun, committed, settle
from chains_platform.patches.smoke import SmokeCall
from chains_platform.patches.wanted import Wanted, while_wanted
from chains_platform.refusals import Refusal, bad_request, conflict
from chains_platform.replicas.distribution import LOST
from chains_platform.replicas.routing import GATEWAY, TokenOf
from chains_platform.state import DeploymentRecord, Edge, ReplicaRecord, State
from chains_protocol.control import EventKind
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Severity
from chains_protocol.manifest import ChainManifest
from chains_protocol.patch import Action, PatchOutcome, PatchRequest
from chains_protocol.replica import PrepareReply, PrepareRequest, ReplicaState, ReplicaStatus
from chains_protocol.rpc import Revision

_CLEAN_S = 60.0
_FEW_FILES = 40

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Patches:
    """Patches development deployments, one at a time each."""

    def __init__(
        self,
        parts: Parts,
        deployments: Deployments,
        rollout: Rollout,
        retirement: Retirement,
        *,
        token_of: TokenOf,
        smoke_call: SmokeCall,
    ) -> None:
        self._deployments = deployments
        self._ledger = parts.ledger
        self._clock = parts.clock
        self._blobs = parts.blobs
        self._events = parts.events
        self._distribution = parts.distribution
        self._rollout = rollout
        self._retirement = retirement
        self._token_of = token_of
        self._smoke_call = smoke_call
        self.wanted = Wanted()

    async def patch(
        self, chain: str, request: PatchRequest, unwanted: asyncio.Event | None = None
    ) -> PatchOutcome:
        """Carry out a patch, all or nothing.

        Args:
            chain: the Chain's name.
            request: what shall run.
            unwanted: set if nobody waits any more: what is not switched yet is given up.

        Returns:
            What is true now. Not committed: the former version never stopped serving.

        Raises:
            Refusal: 404 no such deployment, 409 (CH305) another base, 400 a request that can't be.
        """
        began = asyncio.get_running_loop().time()
        record = self._find(chain, request)
        async with self._deployments.lock(record.id):
            record = self._find(chain, request)
            conflicts = find_conflicts(record, request)
            if conflicts:
                raise Refusal(409, conflicts)
            packages = next_packages(record, request)
            manifest = ChainManifest(chain_name=chain, entrypoint=request.entrypoint, packages=packages)
            require_manifest(manifest, chain)
            plan = make_plan(self._ledger.state, record, request, packages)
            await self._store_blobs(request)
            run = PatchRun(record, plan, began, secrets.token_hex(8), restores=request.restores)
            try:
                await while_wanted(self._prepare_and_try(run, request), unwanted or asyncio.Event())
                statuses = await self._commit(run)
            except (DiagnosticsError, ConnectionError, OSError) as error:
                await self._abort(run)
                return self._refused(run, error)
            except BaseException:
                await self._abort(run)
                raise
            await self._ledger.saved()
            return self._committed(run, statuses)

    def _find(self, chain: str, request: PatchRequest) -> DeploymentRecord:
        record = self._deployments.find(chain, request.deployment)
        if not record.is_development:
            raise Refusal(400, [_not_development(record)])
        if not record.is_live:
            raise conflict(
                f"deployment `{record.id}` is {record.state.value}: there is nothing to patch",
                "push it again with `chains push --development`",
            )
        return record

    async def _store_blobs(self, request: PatchRequest) -> None:
        packages = [c.manifest for c in request.chainlets]

        def store() -> tuple[str, ...]:
            self._blobs.put_all(request.blobs)
            return self._blobs.missing(packages)

        missing = await _run_files(sum(len(p.files) for p in packages), store)
        if missing:
            raise bad_request(f"{len(missing)} blobs of the patch are not here", "send them, then patch")

    # --- prepare

    async def _prepare_and_try(self, run: PatchRun, request: PatchRequest) -> None:
        await self._prepare(run)
        if request.smoke is not None:
            await self._smoke(run, request.smoke)

    async def _prepare(self, run: PatchRun) -> None:
        beside = list(run.plan.beside)
        if beside:
            await self._check_engine(run, beside)
        escalated = await self._prepare_in_place(run)
        beside += escalated
        run.done |= {step.display_name: step for step in beside}
        if beside:
            await self._start_beside(run, beside)
        elif self._edges_change(run):
            run.is_added = True
            self._ledger.apply(
                lambda s: changes.prepare_version(s, run.record.id, run.plan.version, run.plan.packages, {})
            )
            await self._distribution.sync_replicas()

    async def _check_engine(self, run: PatchRun, beside: Iterable[Beside]) -> None:
        found = await self._deployments.check(tuple(b.package for b in beside), run.record.allow_missing)
        errors = [d for d in found if d.severity is Severity.ERROR]
        if errors:
            raise DiagnosticsError(errors)

    async def _prepare_in_place(self, run: PatchRun) -> list[Beside]:
        """Every in-place step, all at once; those that turned out to need new replicas."""
        if not run.plan.in_place:
            return []
        results = await settle(self._prepare_set(run, step) for step in run.plan.in_place)
        for step in results:
            run.done[step.display_name] = step
        return [step for step in results if isinstance(step, Beside)]

    async def _prepare_set(self, run: PatchRun, step: InPlace) -> InPlace | Beside:
        began = asyncio.get_running_loop().time()
        package = step.package
        made = await _run_files(len(package.files), lambda: self._blobs.materialise(package))
        package_dir = str(made)
        current: InPlace | Beside = step
        while isinstance(current, InPlace):
            replies = await self._ask_replicas(run, current, package_dir)
            required = _required(current, replies)
            if required is None:
                break
            await self._abort_set(run, current.set_id)
            reasons = tuple(r for reply in replies for r in reply.reasons)
            current = heavier(current, required, reasons)
        run.elapsed_ms[step.display_name] = (asyncio.get_running_loop().time() - began) * 1000
        if isinstance(current, InPlace):
            for reply in replies:
                grown = heavier(current, reply.action, reply.reasons)
                current = grown if isinstance(grown, InPlace) else current
        return current

    async def _ask_replicas(self, run: PatchRun, step: InPlace, package_dir: str) -> list[PrepareReply]:
        message = PrepareRequest(
            transaction=run.transaction,
            since=run.plan.version,
            base_digest=step.base_digest,
            package_digest=step.package.digest,
            package_dir=package_dir,
            action=step.action,
            judged=step.judged,
        )
        found = self._ledger.state.ready_replicas(step.set_id)
        if not found:
            return [PrepareReply(ok=False, action=step.action, required=Action.RESTARTED)]
        for replica in found:
            run.prepared[replica.id] = (replica, step)
        asked = (self._distribution.client(r).prepare(message) for r in found)
        if step.action is not Action.PATCHED:
            return await settle(asked)  # `__init__` may load a model: nobody waits for another one's
        async with run.turns:
            return await settle(asked)

    async def _start_beside(self, run: PatchRun, beside: Iterable[Beside]) -> None:
        began = asyncio.get_running_loop().time()
        packages = [step.package for step in beside]
        await self._rollout.build(run.record, packages)
        for package in packages:
            found = self._rollout.new_set(run.record, package, run.plan.version)
            run.sets[package.spec.display_name] = found
        run.is_added = True
        await self._rollout.start(run.record.id, run.plan.version, run.plan.packages, run.sets)
        elapsed = (asyncio.get_running_loop().time() - began) * 1000
        for name in run.sets:
            run.elapsed_ms[name] = run.elapsed_ms.get(name, 0.0) + elapsed

    def _edges_change(self, run: PatchRun) -> bool:
        def ends(edges: Iterable[Edge]) -> set[tuple[object, ...]]:
            return {(e.caller, e.class_name, e.callee, e.options) for e in edges}

        current = ends(e for e in run.record.edges if e.until is None)
        return bool(ends(changes.edges_of(run.plan.packages, run.plan.version)) - current)

    async def _smoke(self, run: PatchRun, body: dict[str, object]) -> None:
        record = self._ledger.state.deployments[run.record.id]
        member = record.member(run.plan.entrypoint, run.plan.version)
        replicas = self._ledger.state.ready_replicas(member.set_id) if member is not None else ()
        if member is None or not replicas:
            raise DiagnosticsError([_failed("no replica of the entrypoint is ready")])
        token = self._token_of(member.set_id, GATEWAY)
        revision = Revision(record.id, run.plan.version)
        await self._smoke_call(replicas[0].address, token, revision, body)

    # --- the switch

    async def _commit(self, run: PatchRun) -> dict[str, ReplicaStatus]:
        """Make the version visible; what the patched replicas say after it, by id."""
        self._check_prepared(run)
        in_place = {step.set_id: step.package for _, step in run.prepared.values()}

        def change(state: State) -> State:
            state = changes.commit_version(
                state,
                run.record.id,
                run.plan.version,
                run.plan.entrypoint,
                run.plan.packages,
                in_place=in_place,
                patched_replicas=run.prepared,
            )
            return changes.remember_version(state, run.record.id, self._clock(), run.restores)

        await self._distribution.switch(change)
        statuses = await self._commit_replicas(run)
        await self._distribution.sync_replicas()
        self._retirement.retire_later(run.record.id, run.plan.version)
        return statuses

    def _check_prepared(self, run: PatchRun) -> None:
        """A replica that was restarted meanwhile has lost what it prepared."""
        for replica_id, (before, step) in run.prepared.items():
            now = self._ledger.state.replicas.get(replica_id)
            if now is None or now.state is not ReplicaState.READY or now.pid != before.pid:
                raise DiagnosticsError([_failed("a replica was lost while it prepared", step.display_name)])

    async def _commit_replicas(self, run: PatchRun) -> dict[str, ReplicaStatus]:
        """The switch is done; a replica that can't follow is started anew by the reconciler."""

        async def commit(replica: ReplicaRecord) -> ReplicaStatus | None:
            try:
                return await self._distribution.client(replica).commit(run.transaction)
            except LOST as error:
                _log.warning("replica %s did not commit: %s", replica.id, error)
                self._ledger.apply(lambda s: _stale(s, replica.id))
                return None

        found = await asyncio.gather(*(commit(replica) for replica, _ in run.prepared.values()))
        return {s.replica_id: s for s in found if s is not None}

    # --- the way back

    async def _abort(self, run: PatchRun) -> None:
        """Leave no trace: generations, members, edges and new replicas go."""
        for set_id in {step.set_id for _, step in run.prepared.values()}:
            await self._abort_set(run, set_id)
        if not run.is_added:
            return
        self._ledger.apply(lambda s: changes.drop_version(s, run.record.id, run.plan.version))
        await self._distribution.sync_replicas()
        new = {s.id for s in run.sets.values()}
        try:
            await self._ledger.wait(lambda s: True if not new & s.sets.keys() else None, _CLEAN_S)
        except TimeoutError:
            _log.warning("replicas of an aborted patch still end: %s", sorted(new))

    async def _abort_set(self, run: PatchRun, set_id: str) -> None:
        found = [r for r, step in run.prepared.values() if step.set_id == set_id]

        async def abort(replica: ReplicaRecord) -> None:
            try:
                await self._distribution.client(replica).abort(run.transaction)
            except LOST as error:
                _log.warning("replica %s did not abort: %s", replica.id, error)

        await asyncio.gather(*map(abort, found))
        for replica in found:
            run.prepared.pop(replica.id, None)

    # --- what came of it

    def _refused(self, run: PatchRun, error: Exception) -> PatchOutcome:
        diagnostics = error.diagnostics if isinstance(error, DiagnosticsError) else (_failed(str(error)),)
        outcome = PatchOutcome(
            committed=False,
            version=run.record.version,
            diagnostics=diagnostics,
            elapsed_ms=self._now_ms(run),
        )
        self._report(run, outcome, diagnostics[0].message if diagnostics else "")
        return outcome

    def _committed(self, run: PatchRun, statuses: dict[str, ReplicaStatus]) -> PatchOutcome:
        outcome = committed(run, statuses, self._now_ms(run))
        self._report(run, outcome, "")
        return outcome

    def _now_ms(self, run: PatchRun) -> float:
        return round((asyncio.get_running_loop().time() - run.began) * 1000, 3)

    def _report(self, run: PatchRun, outcome: PatchOutcome, message: str) -> None:
        self._events.add(
            EventKind.PATCH,
            run.record.chain,
            deployment=run.record.id,
            message=message,
            outcome=outcome.model_dump(mode="json"),
            restores=run.restores,
        )


async def _run_files(count: int, work: Callable[[], T]) -> T:
    """Work on that many files: a few are done before a thread would have begun."""
    return work() if count <= _FEW_FILES else await asyncio.to_thread(work)


def _required(step: InPlace, replies: list[PrepareReply]) -> Action | None:
    """The heavier action that replicas ask for; None if all did what was asked.

    Raises:
        DiagnosticsError: a replica could not load the code, and no other action would help.
    """
    required: Action | None = None
    for reply in replies:
        if reply.ok:
            continue
        if reply.required is None or reply.required.weight <= step.action.weight:
            diagnostics = reply.diagnostics or (_failed("a replica refused it", step.display_name),)
            raise DiagnosticsError(
                d if d.chainlet else d.model_copy(update={"chainlet": step.display_name}) for d in diagnostics
            )
        required = reply.required if required is None else required.at_least(reply.required)
    return required


def _stale(state: State, replica_id: str) -> State:
    """Its code is not what its set is meant to serve."""
    replica = state.replicas.get(replica_id)
    return state if replica is None else state.with_replicas(replace(replica, package_digest=""))


def _failed(why: str, chainlet: str | None = None) -> Diagnostic:
    return Diagnostic(
        code=Code.PATCH_FAILED,
        message=f"the patch was not applied: {why}",
        help="the former version goes on serving; save again, or push",
        chainlet=chainlet,
    )


def _not_development(record: DeploymentRecord) -> Diagnostic:
    return Diagnostic(
        code=Code.NOT_DEVELOPMENT,
        message=f"deployment `{record.id}` is published: its code never changes",
        help="push a development deployment with `chains push --development`, and patch that",
    )


__all__ = ["Patches", "settle"]
