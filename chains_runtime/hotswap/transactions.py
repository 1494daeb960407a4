"""Prepare, commit, abort, retire: a patch of one replica, all or nothing.

`prepare` loads a generation beside the running one and touches nothing that serves. `commit` is
one assignment. `abort` drops what was prepared. `retire` frees what nobody needs any more.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.patch import Action
from chains_protocol.replica import PrepareReply, PrepareRequest, ReplicaState
from chains_runtime.failures import load_failure
from chains_runtime.generation import Generation
from chains_runtime.hotswap.judging import Judge, Judgement, PackageJudge, handed_over
from chains_runtime.hotswap.modules import LeftModuleError
from chains_runtime.hotswap.switch import StaleCode, hand_over
from chains_runtime.package import OpenPackage, open_package
from chains_runtime.replica import Replica

MAX_GENERATIONS: Final = 64
"""Committed generations at once; more means that very old calls never end, and a restart is due."""

_SWITCH_S: Final = 0.00005


class _Refusal(Exception):
    """The replica can't do it; `required` is what would."""

    def __init__(self, required: Action, reasons: tuple[str, ...]) -> None:
        super().__init__(required)
        self.required = required
        self.reasons = reasons


@dataclass(frozen=True)
class _Prepared:
    generation: Generation
    action: Action
    reasons: tuple[str, ...]


class Patcher:
    """Carries out the platform's patch requests on one replica.

    Args:
        replica: to patch.
        judge: says how heavy the step between two packages is; the analysis by default.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        replica: Replica,
        judge: Judge | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._replica = replica
        self._judge = PackageJudge() if judge is None else judge
        self._clock = clock
        self._lock = asyncio.Lock()
        self._pending: tuple[str, PrepareReply] | None = None
        self._preparing = ""
        self._unwanted = ""
        self._committed = ""

    async def warm_up(self) -> None:
        """Do now what the first patch would have to wait for."""
        async with self._lock:
            if isinstance(self._judge, PackageJudge) and self._replica.is_loaded:
                await asyncio.to_thread(self._judge.warm_up, self._replica.newest.package)

    async def prepare(self, request: PrepareRequest) -> PrepareReply:
        """Load the package beside what runs. `ok` False: nothing was changed."""
        if self._unwanted:  # a thread can't be ended; whether this one will end is not known
            reasons = ("code of a save that was given up is still being loaded",)
            return PrepareReply(ok=False, action=request.action, required=Action.RESTARTED, reasons=reasons)
        async with self._lock:
            if self._pending is not None and self._pending[0] == request.transaction:
                return self._pending[1]  # asked again: the answer was lost on its way
            self._drop_pending()
            started = self._clock()
            self._preparing = request.transaction
            try:
                reply = await self._attempt(request)
            finally:
                self._preparing = ""
            reply = reply.model_copy(update={"elapsed_ms": (self._clock() - started) * 1000})
            if reply.ok:
                self._pending = (request.transaction, reply)
            if self._unwanted == request.transaction:
                self._unwanted = ""
                self._drop_pending()
            return reply

    async def _attempt(self, request: PrepareRequest) -> PrepareReply:
        refused = self._refusal(request)
        if refused is not None:
            return PrepareReply(ok=False, action=request.action, diagnostics=(refused,))
        stage = _Stage(self._replica, self._judge, request)
        try:
            with _serving_first():
                prepared = await asyncio.to_thread(stage.run)
        except _Refusal as refusal:
            self._clean()
            return PrepareReply(
                ok=False, action=request.action, required=refusal.required, reasons=refusal.reasons
            )
        except LeftModuleError as error:
            self._clean()
            reasons = (f"the module `{error.name}` is gone, and this process still has it",)
            return PrepareReply(ok=False, action=request.action, required=Action.RESTARTED, reasons=reasons)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # whatever user code raises, `SystemExit` among it, is the reply
            self._clean()
            return PrepareReply(ok=False, action=request.action, diagnostics=stage.diagnostics(error))
        self._replica.prepared = prepared.generation
        return PrepareReply(ok=True, action=prepared.action, reasons=prepared.reasons)

    def _refusal(self, request: PrepareRequest) -> Diagnostic | None:
        replica = self._replica
        if replica.state not in (ReplicaState.READY, ReplicaState.UNHEALTHY):
            return Diagnostic(
                code=Code.PATCH_REFUSED,
                message=f"the replica can't be patched: it is {replica.state}",
                help="restart it instead",
            )
        if request.base_digest != replica.newest.package_digest:
            return Diagnostic(
                code=Code.STALE_BASE,
                message="the patch does not start from the package that runs",
                help="read the deployment's manifest again and plan from it",
            )
        if request.since <= replica.newest.since:
            return Diagnostic(
                code=Code.BAD_REQUEST,
                message=f"version {request.since} is not after version {replica.newest.since}, which runs",
                help="use a version that was never used before",
            )
        return None

    def commit(self, transaction: str) -> None:
        """Make the prepared generation the newest one; asked again, it does nothing.

        Raises:
            DiagnosticsError: CH305, no such transaction is prepared.
        """
        replica = self._replica
        generation = replica.prepared
        if generation is None or self._pending is None or self._pending[0] != transaction:
            if transaction == self._committed:
                return
            raise DiagnosticsError(
                [
                    Diagnostic(
                        code=Code.STALE_BASE,
                        message=f"no transaction `{transaction}` is prepared",
                        help="prepare it again",
                    )
                ]
            )
        generation.committed = True
        replica.generations = (*replica.generations, generation)
        replica.prepared = None
        replica.space.publish(generation.table)
        self._pending = None
        self._committed = transaction

    async def abort(self, transaction: str) -> None:
        """Drop what that transaction prepared, or is preparing; unknown ones are none of our business."""
        if self._preparing == transaction:
            self._unwanted = transaction
        if self._unwanted:
            return  # nothing else is prepared until its thread ends
        async with self._lock:
            if self._pending is not None and self._pending[0] == transaction:
                self._drop_pending()

    def _drop_pending(self) -> None:
        self._pending = None
        if self._replica.prepared is not None:
            self._replica.prepared = None
            self._clean()

    def _clean(self) -> None:
        self._replica.space.prune([generation.table for generation in self._replica.generations])

    def retire(self, below: int, open_versions: Collection[int] = ()) -> None:
        """Free the generations that no request of version `below` or later can get.

        Args:
            below: the oldest version that new requests have.
            open_versions: older ones that are still in use; their generations stay.
        """
        generations = self._replica.generations
        for generation, following in pairwise(generations):
            is_needed = any(generation.since <= version < following.since for version in open_versions)
            if following.since <= below and not is_needed:
                generation.retiring = True
                if generation.in_flight == 0:
                    self._replica.drop(generation)


class _Stage:
    """One attempt to prepare; runs in a thread."""

    def __init__(self, replica: Replica, judge: Judge, request: PrepareRequest) -> None:
        self._replica = replica
        self._judge = judge
        self._request = request
        self._code = Code.BAD_PACKAGE
        self._package: OpenPackage | None = None

    def run(self) -> _Prepared:
        """The generation, ready to serve.

        Raises:
            _Refusal: a heavier action is needed.
            BaseException: whatever the user's code raises.
        """
        replica = self._replica
        running = replica.newest
        self._make_room()
        package = self._package = open_package(Path(self._request.package_dir))
        self._code = Code.SYNTAX_ERROR
        judgement = self._judgement(running, package)
        action = self._request.action.at_least(judgement.action).at_least(Action.PATCHED)
        if action.weight > Action.RELOADED.weight or package.is_auto_mock or running.cls is None:
            heavier = action.at_least(Action.RESTARTED)
            raise _Refusal(heavier, judgement.reasons or ("a mock's package changed",))
        generation = replica.loader.blank(
            package,
            number=replica.take_number(),
            since=self._request.since,
            digest=self._request.package_digest,
            plan=judgement.carry,
            previous=running.table,
        )
        self._code = Code.IMPORT_FAILED
        replica.loader.load_code(generation, also=sorted(running.table.modules))
        self._code = Code.INIT_FAILED
        return self._with_instance(generation, running, action, judgement)

    def _judgement(self, running: Generation, package: OpenPackage) -> Judgement:
        asked = self._request
        told = handed_over(asked.judged, running.package_digest, asked.package_digest)
        return self._judge(running.package, package) if told is None else told

    def _with_instance(
        self, generation: Generation, running: Generation, action: Action, judgement: Judgement
    ) -> _Prepared:
        loader = self._replica.loader
        reasons = judgement.reasons
        kept = StaleCode(running.table, generation.table, [running.instance]).find(_kept_values(generation))
        if kept is not None:
            raise _Refusal(Action.RESTARTED, (*reasons, kept))
        if action is Action.PATCHED:
            stale = _foreign_stub(running, generation) or StaleCode(
                running.table, generation.table, [running.instance]
            ).find(_state(running.instance))
            if stale is not None:
                action, reasons = Action.RELOADED, (*reasons, stale)
        if action is Action.PATCHED:
            instance = hand_over(running.instance, generation.code)
        else:
            self._replica.load_count += 1
            instance = loader.construct(generation)
        loader.finish(generation, instance)
        return _Prepared(generation, action, reasons)

    def _make_room(self) -> None:
        if len(self._replica.generations) >= MAX_GENERATIONS:
            reason = f"calls are still running on {MAX_GENERATIONS} older versions of the code"
            raise _Refusal(Action.RESTARTED, (reason,))

    def diagnostics(self, error: BaseException) -> tuple[Diagnostic, ...]:
        """What to say about an exception of `run`."""
        roots = self._replica.source_roots()
        if self._package is not None:
            roots.append(self._package.source_root)
        found = load_failure(
            error, chainlet=self._replica.package.spec.display_name, paths=self._replica.paths, roots=roots
        )
        if isinstance(error, DiagnosticsError):
            return tuple(self._placed(one) for one in found)
        code = Code.SYNTAX_ERROR if isinstance(error, SyntaxError) else self._code
        return tuple(one.model_copy(update={"code": code}) for one in found)

    def _placed(self, found: Diagnostic) -> Diagnostic:
        """With the author's path: the analysis knows paths below the workspace only."""
        place, package = found.location, self._package
        if place is None or package is None or place.path.startswith("/"):
            return found
        root = self._replica.launch.user_root or str(package.source_root)
        return found.model_copy(
            update={"location": place.model_copy(update={"path": f"{root.rstrip('/')}/{place.path}"})}
        )


@contextmanager
def _serving_first() -> Iterator[None]:
    """While a thread loads code, let the event loop have the interpreter soon after it asks for it.

    A request needs it several times; with the interpreter's own interval (5 ms) each hop of a
    request would take tens of milliseconds longer during a patch.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _state(instance: object) -> list[tuple[str, object]]:
    """What the running instance holds, by the names its author knows."""
    return (
        [(f"self.{name}", value) for name, value in vars(instance).items()]
        if hasattr(instance, "__dict__")
        else []
    )


def _foreign_stub(running: Generation, generation: Generation) -> str | None:
    """A dependency that only one of the running instance and the new code has; None if there is none."""
    had, has = (
        {(d.class_name, d.display_name) for d in g.package.spec.dependencies} for g in (running, generation)
    )
    for name, _ in sorted(had - has):
        return f"the running instance may hold `{name}`, which is no dependency any more"
    for name, _ in sorted(has - had):
        return f"the running instance was made without `{name}`"
    return None


def _kept_values(generation: Generation) -> list[tuple[str, object]]:
    """Values of modules that live on in the new generation."""
    return [
        (f"{module}.{name}", value)
        for module, names in generation.table.kept_names()
        for name, value in names.items()
        if not name.startswith("__")
    ]


__all__ = ["MAX_GENERATIONS", "Patcher"]
