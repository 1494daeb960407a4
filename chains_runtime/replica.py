"""A replica's life: starting, loading, ready, draining; its generations and who runs on which.

Comes in: a launch and a package. Goes out: the generation for each request, and a status.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from chains_protocol.errors import Diagnostic
from chains_protocol.replica import ReplicaLaunch, ReplicaState, ReplicaStatus
from chains_protocol.routes import ReplicaRoutes
from chains_protocol.rpc import Revision
from chains_runtime.collecting import IdleCollection
from chains_runtime.failures import UserPaths, load_failure
from chains_runtime.generation import Generation
from chains_runtime.guard import CallWatch
from chains_runtime.hotswap.modules import ModuleTable
from chains_runtime.hotswap.space import ModuleSpace
from chains_runtime.loading import Loader
from chains_runtime.outbound import WAIT_S, Outbound
from chains_runtime.package import OpenPackage, offer_data
from chains_runtime.request_context import current_call
from chains_runtime.route_table import RouteTable, TokenSet
from chains_runtime.siblings import Siblings
from chains_runtime.slots import Slots
from chains_runtime.stubs import Binding
from chains_runtime.transport import Client

DEFAULT_QUEUE_LIMIT = 1024


class Replica:
    """One Chainlet in this process. Its methods belong to the event loop that it was made on.

    Args:
        launch: what the platform told.
        package: the Chainlet to run.
        work_dir: the process's working directory, where files for the user's code may lie.
        queue_limit: calls that may wait for a slot; more are answered 503.
        callee_wait_s: how long a call of ours waits for a dependency's replica that is starting.
        report: is told why a start failed before anybody can ask, since who asks may end us at once.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        launch: ReplicaLaunch,
        package: OpenPackage,
        *,
        work_dir: Path,
        queue_limit: int = DEFAULT_QUEUE_LIMIT,
        callee_wait_s: float = WAIT_S,
        report: Callable[[tuple[Diagnostic, ...]], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.launch = launch
        self.package = package
        self._work_dir = work_dir
        self.state = ReplicaState.STARTING
        self.diagnostics: tuple[Diagnostic, ...] = ()
        self.routes = RouteTable(launch.routes, launch.deployment)
        self.admin = TokenSet((launch.admin_token,))
        self.slots = Slots(package.spec.compute.predict_concurrency, queue_limit)
        self.watch = CallWatch()
        self._collection = IdleCollection(lambda: self.in_flight == 0)
        self.paths = UserPaths(_author_root(launch.user_root, package))
        self.space = ModuleSpace(_running_table)
        self.outbound = Outbound(lambda: self.routes, Client(), asyncio.get_running_loop(), callee_wait_s)
        self.siblings = Siblings(lambda: self.routes, self._own_revision, work_dir, os.environ)
        self.loader = Loader(launch, self.space, self.outbound, self._bindings, self.pool, self.siblings)
        self.generations: tuple[Generation, ...] = ()
        """Committed ones, by `since`."""
        self.prepared: Generation | None = None
        """Loaded beside; serves only requests of its own version, until it is committed."""
        self.load_count = 0
        self.load_time_s: float | None = None
        self.requests_total = 0
        self.errors_total = 0
        self.in_flight = 0
        self.finished: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Gets the exit code when the process should end."""
        self._report = report
        self._clock = clock
        self._pool: ThreadPoolExecutor | None = None
        self._next_number = 1
        self._loading: Generation | None = None
        self._quiet: asyncio.Future[None] | None = None
        self._draining: asyncio.Task[None] | None = None

    # --- loading -----------------------------------------------------------------------------------

    async def load(self) -> None:
        """Load the first generation; on failure the replica ends with exit code 1."""
        self.state = ReplicaState.LOADING
        self.space.install()
        generation = self.loader.blank(
            self.package,
            number=self.take_number(),
            since=self.launch.since,
            digest=self.launch.package_digest,
        )
        self.space.publish(generation.table)
        self._loading = generation
        started = self._clock()
        try:
            await asyncio.to_thread(self._load_first, generation)
        except BaseException as error:  # whatever user code raises at import, `SystemExit` among it
            if isinstance(error, asyncio.CancelledError):
                raise
            self.fail(error, generation)
            return
        self.load_time_s = self._clock() - started
        generation.committed = True
        self.generations = (generation,)
        self._loading = None
        if self.state is ReplicaState.LOADING:
            self.state = ReplicaState.READY

    def _load_first(self, generation: Generation) -> None:
        if self.package.is_auto_mock:
            self.loader.finish_mock(generation)
            return
        if generation.package.wrapped is not None:
            offer_data(generation.package, self._work_dir)
        self.loader.load_code(generation)
        self.load_count += 1
        self.loader.finish(generation, self.loader.construct(generation))

    def _own_revision(self) -> Revision:
        since = self.newest.since if self.is_loaded else self.launch.since
        return Revision(self.launch.deployment, since)

    def fail(self, error: BaseException, generation: Generation) -> None:
        """Keep what is wrong and ask the process to end."""
        self.diagnostics = load_failure(
            error,
            chainlet=self.package.spec.display_name,
            paths=self.paths,
            roots=[generation.package.source_root],
        )
        self._report(self.diagnostics)
        self.state = ReplicaState.FAILED
        self.end(1)

    def take_number(self) -> int:
        number, self._next_number = self._next_number, self._next_number + 1
        return number

    # --- serving -----------------------------------------------------------------------------------

    @property
    def newest(self) -> Generation:
        """The newest committed generation; only once the replica has loaded."""
        return self.generations[-1]

    @property
    def is_loaded(self) -> bool:
        return bool(self.generations)

    def choose(self, revision: Revision | None) -> Generation:
        """The generation for a request: the latest whose `since` is not after its version.

        A prepared one serves its own version already: nobody has that version before the
        commit but the platform's trial call.
        """
        if revision is None or (len(self.generations) == 1 and self.prepared is None):
            return self.newest
        chosen = self.generations[0]
        for generation in self.generations:
            if generation.since <= revision.version:
                chosen = generation
        if self.prepared is not None and self.prepared.since <= revision.version:
            chosen = self.prepared
        return chosen

    def enter(self, generation: Generation) -> None:
        """A call begins."""
        generation.in_flight += 1
        self.in_flight += 1
        self.requests_total += 1

    def leave(self, generation: Generation) -> None:
        """A call, stream or websocket has ended."""
        generation.in_flight -= 1
        self.in_flight -= 1
        if generation.retiring and generation.in_flight == 0:
            self.drop(generation)
        if self.in_flight == 0 and self._quiet is not None and not self._quiet.done():
            self._quiet.set_result(None)

    def drop(self, generation: Generation) -> None:
        """Free a generation that nothing runs on and nobody asks for."""
        position = self.generations.index(generation)
        following = self.generations[position + 1]
        self.generations = self.generations[:position] + self.generations[position + 1 :]
        generation.table.forward_to(following.table)
        self._collection.ask()

    def pool(self) -> Executor:
        """Threads for sync methods (R-07), started with the first of them."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.slots.limit, thread_name_prefix="chainlet")
        return self._pool

    def _bindings(self) -> Mapping[str, Binding]:
        call = current_call()
        if call is not None:
            return call.generation.bindings
        if self.generations:
            return self.newest.bindings
        # A thread that `__init__` has started.
        return {} if self._loading is None else self._loading.bindings

    # --- administration ----------------------------------------------------------------------------

    def set_routes(self, routes: ReplicaRoutes) -> None:
        """Replace the whole table in one assignment."""
        self.routes = RouteTable(routes, self.launch.deployment)
        self.outbound.client.keep_only(set(self.routes.addresses()))

    def source_roots(self) -> list[Path]:
        """Where live code comes from, so that paths can be shown as the author's."""
        live = [*self.generations, *(g for g in (self.prepared, self._loading) if g is not None)]
        return sorted({root for generation in live for root in generation.table.roots()})

    def status(self) -> ReplicaStatus:
        generations = [*self.generations, *((self.prepared,) if self.prepared is not None else ())]
        return ReplicaStatus(
            replica_id=self.launch.replica_id,
            pid=os.getpid(),
            state=self.state,
            package_digest=self.newest.package_digest if self.is_loaded else self.launch.package_digest,
            generations=tuple(generation.status() for generation in generations),
            load_count=self.load_count,
            in_flight=self.in_flight,
            queued=self.slots.queued,
            requests_total=self.requests_total,
            errors_total=self.errors_total,
            load_time_s=self.load_time_s,
            diagnostics=self.diagnostics,
        )

    # --- ending ------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Refuse new work, let what runs finish (bounded), then end with exit code 0 (R-07)."""
        if self._draining is not None or self.finished.done():
            return
        self.state = ReplicaState.DRAINING
        self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        self._quiet = asyncio.get_running_loop().create_future()
        if self.in_flight:
            await asyncio.wait([self._quiet], timeout=self.launch.drain_timeout_s)
        self.state = ReplicaState.STOPPED
        self.end(0)

    def end(self, exit_code: int) -> None:
        if not self.finished.done():
            self.finished.set_result(exit_code)

    def close(self) -> None:
        """Take the replica out of this interpreter."""
        self.watch.close()
        self._collection.close()
        self.siblings.close()
        self.outbound.close()
        self.space.close()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _author_root(user_root: str, package: OpenPackage) -> str:
    """The author's directory of what runs; empty if it is not known."""
    if package.wrapped is None:
        return user_root
    below = package.wrapped.directory
    return f"{user_root.rstrip('/')}/{below}" if user_root and below else ""


def _running_table() -> ModuleTable | None:
    call = current_call()
    return None if call is None else call.generation.table


__all__ = ["DEFAULT_QUEUE_LIMIT", "Replica"]
