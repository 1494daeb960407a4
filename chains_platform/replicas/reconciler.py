"""Carries out what `reconcile` decides, and watches every replica's process."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from chains_platform.engines.engine import ReplicaHandle, StartRequest
from chains_platform.parts import Parts
from chains_platform.replicas import reconcile
from chains_platform.replicas.announcing import Announcer
from chains_platform.state import LogSource, ReplicaRecord, SetRecord, State
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.manifest import PackageManifest
from chains_protocol.replica import ReplicaLaunch, ReplicaState

_GATEWAY_CHECK_S: Final = 1.0
_STEADY_S: Final = 60.0
"""A replica that was ready this long is no longer in a row of crashes."""

_log = logging.getLogger(__name__)


class Reconciler:
    """The loop between the ledger and the engine."""

    def __init__(
        self, parts: Parts, *, admin_token: Callable[[str], str], log_dir: Callable[[str], Path]
    ) -> None:
        self._ledger = parts.ledger
        self._engine = parts.engine
        self._blobs = parts.blobs
        self._secrets = parts.secrets
        self._announcer = Announcer(parts.events)
        self._distribution = parts.distribution
        self._admin_token = admin_token
        self._log_dir = log_dir
        self._new_id = parts.new_id
        self._clock = parts.clock
        self._timeouts = parts.timeouts
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._launches: dict[str, asyncio.Task[None]] = {}
        self._is_stopping = False
        parts.ledger.listen(lambda _: self._wake.set())

    # --- the loop

    def start(self) -> None:
        self._spawn(self._run())
        self._spawn(self._watch_gateway())

    async def close(self) -> None:
        """Stop deciding and watching; what runs goes on running."""
        self._is_stopping = True
        for task in [*self._tasks, *self._watches.values()]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._watches.values(), return_exceptions=True)

    async def _run(self) -> None:
        while not self._is_stopping:
            self._wake.clear()
            decision = reconcile.reconcile(self._ledger.state, self._clock())
            for action in decision.actions:
                self._carry_out(action)
            delay = None
            if decision.look_again_at is not None:
                delay = max(0.0, decision.look_again_at - self._clock()) + 0.001
            try:
                async with asyncio.timeout(delay):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _watch_gateway(self) -> None:
        while True:
            await self._distribution.check_gateway()
            await asyncio.sleep(_GATEWAY_CHECK_S)

    def _carry_out(self, action: reconcile.Action) -> None:
        state = self._ledger.state
        match action:
            case reconcile.Forget(set_id):
                self._ledger.apply(lambda s: s.without_sets([set_id]))
            case reconcile.Launch(set_id):
                record = state.sets[set_id]
                replica = ReplicaRecord(
                    id=self._new_id(),
                    set_id=set_id,
                    state=ReplicaState.STARTING,
                    package_digest=record.package.digest,
                )
                self._begin(replica, record)
            case reconcile.Relaunch(replica_id):
                replica = state.replicas[replica_id]
                record = state.sets[replica.set_id]
                again = replace(
                    replica,
                    state=ReplicaState.STARTING,
                    retry_at=None,
                    restarts=replica.restarts + 1,
                    package_digest=record.package.digest,
                )
                self._begin(again, record)
            case reconcile.Stop(replica_id, again):
                self._change(replica_id, state=ReplicaState.DRAINING, retry_at=None)
                self._spawn(self._stop(replica_id, self._timeouts.drain_s, again))

    def _begin(self, replica: ReplicaRecord, record: SetRecord) -> None:
        users = tuple(d.id for d in self._ledger.state.users_of(record.id))
        source = LogSource(replica.id, record.id, record.chain, record.display_name, users, self._clock())
        self._ledger.apply(lambda s: s.with_replicas(replica).with_log_source(source))
        self._announcer.replica(self._ledger.state, replica.id)
        task = self._spawn(self._launch(replica.id))
        if task is not None:
            self._launches[replica.id] = task
            task.add_done_callback(lambda _: self._launches.pop(replica.id, None))

    # --- one replica's life

    async def _launch(self, replica_id: str) -> None:
        """Start a replica and wait until it is ready; cancelled by `_stop`."""
        handle: ReplicaHandle | None = None
        try:
            handle = await self._start_process(replica_id)
            alive = handle
            client = self._distribution.client(self._ledger.state.replicas[replica_id])
            limit_s = start_limit_s(self._package_of(replica_id), self._timeouts.start_s)
            status = await client.wait_ready(lambda: self._engine.is_alive(alive), limit_s)
        except Exception as error:  # whatever it is, the replica may not stay "starting" for ever
            if not isinstance(error, (OSError, DiagnosticsError)):
                _log.exception("replica %s could not be started", replica_id)
            await self._start_failed(replica_id, handle, error)
            return
        self._ledger.apply(lambda s: _ready(s, replica_id, self._clock(), status.load_count))
        self._announcer.replica(self._ledger.state, replica_id)
        self._watch(handle)
        await self._distribution.sync()

    async def _start_process(self, replica_id: str) -> ReplicaHandle:
        replica = self._ledger.state.replicas[replica_id]
        request = await self._request(replica, self._ledger.state.sets[replica.set_id])
        # not to be interrupted: a process that nobody knows would stay behind
        starting = asyncio.ensure_future(self._engine.start(request))
        try:
            handle = await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._record_process(await starting, request)
            raise
        self._record_process(handle, request)
        return handle

    def _record_process(self, handle: ReplicaHandle, request: StartRequest) -> None:
        self._distribution.launched_with(handle.replica_id, handle.pid, request.launch.routes)
        self._change(
            handle.replica_id, pid=handle.pid, process_started=handle.started_at, address=handle.address
        )

    async def _request(self, replica: ReplicaRecord, record: SetRecord) -> StartRequest:
        package = record.package
        python = await self._engine.ensure_environment(package.environment, lambda _: None)
        package_dir = await asyncio.to_thread(self._blobs.materialise, package)
        owner = self._ledger.state.deployments.get(record.owner or "")
        is_first = not record.is_established
        launch = ReplicaLaunch(
            replica_id=replica.id,
            deployment=record.deployment,
            # one that was patched since starts with the committed package, as of now
            since=record.since if owner is None or is_first else max(owner.version, record.since),
            admin_token=self._admin_token(replica.id),
            package_digest=package.digest,
            secrets=await self._secrets.of(package.spec),
            environment=record.environment,
            user_root=record.user_root,
            drain_timeout_s=self._timeouts.drain_s,
            routes=self._distribution.table_of(record.id),
        )
        return StartRequest(
            replica_id=replica.id,
            package_dir=package_dir,
            python=python,
            launch=launch,
            log_dir=self._log_dir(replica.id),
            env_variables=package.spec.options.env_variables,
            cpu_count=package.spec.compute.cpu_count,
        )

    async def _start_failed(self, replica_id: str, handle: ReplicaHandle | None, error: Exception) -> None:
        diagnostics = await self._why(replica_id, handle, error)
        await self._distribution.forget(replica_id, handle.pid if handle is not None else None)
        replica = self._ledger.state.replicas.get(replica_id)
        if replica is None or replica.state is ReplicaState.DRAINING:
            return
        record = self._ledger.state.sets[replica.set_id]
        named = tuple(
            d if d.chainlet else d.model_copy(update={"chainlet": record.display_name}) for d in diagnostics
        )
        retry_at = reconcile.after_failed_start(record, replica, self._clock())
        self._change(
            replica_id,
            pid=None,
            state=ReplicaState.FAILED if retry_at is None else ReplicaState.UNHEALTHY,
            failures=replica.failures + 1,
            retry_at=retry_at,
            diagnostics=named,
        )
        self._announcer.replica(self._ledger.state, replica_id)

    async def _why(
        self, replica_id: str, handle: ReplicaHandle | None, error: Exception
    ) -> tuple[Diagnostic, ...]:
        """The best reason there is; nothing of the process remains after."""
        own = error.diagnostics if isinstance(error, DiagnosticsError) else ()
        if handle is None:
            return own or (_internal(error),)
        told = any(d.code not in (Code.REPLICA_CRASHED, Code.NOT_READY) for d in own)
        if not told and not self._engine.is_alive(handle):
            own = self._engine.failure(handle, self._log_dir(replica_id)) or own
        await self._engine.stop(handle, 0.0)
        return own or (_internal(error),)

    def _watch(self, handle: ReplicaHandle) -> None:
        async def watch() -> None:
            await self._engine.wait_exit(handle)
            await self._lost(handle)

        task = asyncio.get_running_loop().create_task(watch())
        self._watches[handle.replica_id] = task
        task.add_done_callback(_complain)

    async def _lost(self, handle: ReplicaHandle) -> None:
        """A process that was ready is gone."""
        replica_id = handle.replica_id
        replica = self._ledger.state.replicas.get(replica_id)
        if replica is None or replica.pid != handle.pid or replica.state is ReplicaState.DRAINING:
            return
        now = self._clock()
        steady = replica.started_at is not None and now - replica.started_at > _STEADY_S
        before = replace(replica, crashes=0 if steady else replica.crashes)
        self._change(
            replica_id,
            pid=None,
            state=ReplicaState.UNHEALTHY,
            crashes=before.crashes + 1,
            retry_at=reconcile.after_crash(before, now),
            diagnostics=self._engine.failure(handle, self._log_dir(replica_id)),
        )
        self._announcer.replica(self._ledger.state, replica_id)
        await self._distribution.forget(replica_id, handle.pid)
        await self._distribution.sync()

    async def _stop(self, replica_id: str, drain_s: float, again: bool) -> None:
        launch = self._launches.get(replica_id)
        if launch is not None:
            launch.cancel()
            await asyncio.wait([launch])
            drain_s = 0.0
        replica = self._ledger.state.replicas.get(replica_id)
        if replica is None:  # all of them were stopped meanwhile
            return
        await self._distribution.sync()  # nobody is sent to it any more
        handle = handle_of(replica)
        if handle is not None:
            await self._engine.stop(handle, drain_s)
        await self._distribution.forget(replica_id, replica.pid)
        self._unwatch(replica_id)
        if again and self._is_known(replica_id):
            self._change(replica_id, state=ReplicaState.UNHEALTHY, pid=None, retry_at=self._clock())
            return
        self._ledger.apply(lambda s: s.without_replicas([replica_id]))

    # --- for others

    def wake(self) -> None:
        """Look again now: time may have passed in another way than by waiting."""
        self._wake.set()

    def mark(self, replica_id: str, state: ReplicaState, why: tuple[Diagnostic, ...]) -> None:
        """A running replica is to be sent requests (`READY`), or not (`UNHEALTHY`)."""
        self._change(replica_id, state=state, diagnostics=why)
        self._announcer.replica(self._ledger.state, replica_id)

    def restart(self, replica_id: str, why: Diagnostic) -> None:
        """End a running replica and start it anew."""
        self._change(replica_id, state=ReplicaState.DRAINING, diagnostics=(why,))
        self._announcer.replica(self._ledger.state, replica_id)
        self._spawn(self._stop(replica_id, self._timeouts.delete_s, again=True))

    def adopt(self, replica: ReplicaRecord, load_count: int) -> None:
        """Go on with a replica that an earlier control plane started and that still serves."""
        handle = ReplicaHandle(replica.id, replica.pid or 0, replica.process_started, replica.address)
        started = replica.started_at or self._clock()
        self._change(
            replica.id, state=ReplicaState.READY, started_at=started, load_count=load_count, retry_at=None
        )
        self._watch(handle)

    async def stop_all(self) -> None:
        """Drain and end every replica, for good: the records say so, and a next start begins anew."""
        self._is_stopping = True
        launches = tuple(self._launches.values())
        for launch in launches:
            launch.cancel()
        await asyncio.gather(*launches, return_exceptions=True)  # now every process is in the records
        found = [r for r in self._ledger.state.replicas.values() if handle_of(r) is not None]
        for replica in found:
            self._change(replica.id, state=ReplicaState.DRAINING)
        handles = [h for h in map(handle_of, found) if h is not None]
        await asyncio.gather(*(self._engine.stop(h, self._timeouts.shutdown_s) for h in handles))
        for handle in handles:
            self._unwatch(handle.replica_id)
        self._ledger.apply(lambda s: s.without_replicas(s.replicas))

    def _package_of(self, replica_id: str) -> PackageManifest:
        state = self._ledger.state
        return state.sets[state.replicas[replica_id].set_id].package

    def _is_known(self, replica_id: str) -> bool:
        replica = self._ledger.state.replicas.get(replica_id)
        return replica is not None and replica.set_id in self._ledger.state.sets

    def _change(self, replica_id: str, **fields: Any) -> None:  # fields of ReplicaRecord, of whatever type
        def change(state: State) -> State:
            found = state.replicas.get(replica_id)
            return state if found is None else state.with_replicas(replace(found, **fields))

        self._ledger.apply(change)

    def _unwatch(self, replica_id: str) -> None:
        task = self._watches.pop(replica_id, None)
        if task is not None:
            task.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        if self._is_stopping:
            work.close()
            return None
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_complain)
        return task


def handle_of(replica: ReplicaRecord) -> ReplicaHandle | None:
    """The engine's handle of a replica; None while it has no process."""
    if replica.pid is None:
        return None
    return ReplicaHandle(replica.id, replica.pid, replica.process_started, replica.address)


def start_limit_s(package: PackageManifest, default_s: float) -> float:
    """How long a start may take: what the Chainlet's `HealthChecks` say, else `default_s`."""
    chosen = package.spec.options.health_checks.get("startup_threshold_seconds")
    return default_s if chosen is None else float(chosen)


def _ready(state: State, replica_id: str, now: float, load_count: int) -> State:
    replica = state.replicas[replica_id]
    ready = replace(
        replica,
        state=ReplicaState.READY,
        started_at=now,
        failures=0,
        load_count=load_count,
        diagnostics=(),
    )
    record = replace(state.sets[replica.set_id], is_established=True)
    return state.with_replicas(ready).with_sets([record])


def _complain(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("a task of the reconciler failed", exc_info=task.exception())


def _internal(error: Exception) -> Diagnostic:
    return Diagnostic(
        code=Code.REPLICA_CRASHED,
        message=f"the replica could not be started: {error}",
        help="look at its log",
    )


__all__ = ["Reconciler", "handle_of", "start_limit_s"]
