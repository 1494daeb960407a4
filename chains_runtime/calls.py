"""One call of the Chainlet: admission, arguments, the user's method, the answer (R-20 to R-35)."""

import asyncio
import contextvars
import logging
import time
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

from chains_protocol.replica import ReplicaState
from chains_protocol.rpc import RemoteErrorDetail
from chains_runtime.asgi import (
    CALLER_FAULT,
    CHAINLET_FAULT,
    Receive,
    Send,
    read_body,
    send_bytes,
    send_error,
)
from chains_runtime.endpoint import BadInput, BadResult, Endpoint, content_type, is_binary
from chains_runtime.failures import user_traceback
from chains_runtime.generation import Generation
from chains_runtime.guard import CallGuard, Ended
from chains_runtime.replica import Replica
from chains_runtime.request_context import Call, RequestHeaders, enter_call
from chains_runtime.signature import Mode
from chains_runtime.slots import QueueFull
from truss_chains.remote_errors import exception_to_detail, status_of

_LOG: Final = logging.getLogger(__name__)
_JSON: Final = content_type(binary=False)
_BINARY: Final = content_type(binary=True)


class Lease:
    """A call's slot and its place in a generation, given back once."""

    __slots__ = ("_replica", "generation", "held")

    def __init__(self, replica: Replica, generation: Generation) -> None:
        self._replica = replica
        self.generation = generation
        self.held = True

    def free_slot(self) -> None:
        """The user's code is done with the call, the answer may still be on its way."""
        if self.held:
            self.held = False
            self._replica.slots.give_back()

    def end(self) -> None:
        """The call is over."""
        self.free_slot()
        self._replica.leave(self.generation)


class Incoming(NamedTuple):
    """A request that was let in."""

    replica: Replica
    headers: RequestHeaders
    body: bytes
    send: Send
    guard: CallGuard
    deadline: float | None

    @property
    def is_binary(self) -> bool:
        return is_binary(self.headers.content_type)

    async def refuse(self, text: str, *, is_ready: bool = True) -> None:
        """503, nothing was executed."""
        await send_error(
            self.send, 503, text, code=CHAINLET_FAULT, refused=True, is_ready=is_ready, retry_after_s=1
        )


async def serve_call(replica: Replica, headers: RequestHeaders, receive: Receive, send: Send) -> None:
    """Answer one `predict` request that was let in."""
    body = await read_body(receive)
    if body is None:
        return  # the client has gone, nothing was executed
    now = time.monotonic()
    deadline = headers.deadline_at(now)
    if deadline is not None and deadline <= now:
        await send_error(send, 504, "The call came after its caller's deadline.", code=CHAINLET_FAULT)
        return
    guard = CallGuard(receive, deadline)
    replica.watch.add(guard)
    try:
        await _admit(Incoming(replica, headers, body, send, guard, deadline))
    except asyncio.CancelledError:
        if not guard.ended():
            raise
        if guard.reason is Ended.DEADLINE:
            text = "The call did not finish before its caller's deadline."
            await send_error(send, 504, text, code=CHAINLET_FAULT)
    finally:
        replica.watch.remove(guard)


async def _admit(incoming: Incoming) -> None:
    """Wait for a slot, then run the call on the generation that its revision asks for."""
    replica, headers = incoming.replica, incoming.headers
    name = replica.package.spec.display_name
    if replica.state not in (ReplicaState.READY, ReplicaState.UNHEALTHY):
        await incoming.refuse(f"Chainlet `{name}` is not ready: {replica.state}.", is_ready=False)
        return
    revision = headers.revision_or_none()
    generation = replica.choose(revision)
    replica.enter(generation)  # waiting counts as being inside: the generation must not go
    try:
        await replica.slots.take()
    except BaseException as error:
        replica.leave(generation)
        if not isinstance(error, QueueFull):
            raise
        await incoming.refuse(f"Chainlet `{name}` has too many calls waiting.")
        return
    call = Call(generation, revision, headers.head(revision))
    enter_call(call, headers.request_context(incoming.deadline))
    await _run(incoming, Lease(replica, generation))


async def _run(incoming: Incoming, lease: Lease) -> None:
    """Arguments, the method, the answer. Ends the lease, whatever happens."""
    replica, send, binary = incoming.replica, incoming.send, incoming.is_binary
    endpoint = lease.generation.served
    handed_on = False
    try:
        if endpoint.mode in (Mode.WEBSOCKET, Mode.OPEN):
            handed_on = True
            await _serve_untyped(incoming, lease, endpoint.mode)
            return
        arguments = endpoint.arguments(incoming.body, binary=binary)
        if endpoint.mode is Mode.ASYNC:
            result = await endpoint.method(**arguments)
        elif endpoint.mode is Mode.SYNC:
            handed_on = True
            result = await _in_pool(replica, lease, endpoint, arguments)
        else:
            from chains_runtime.streaming import serve_stream

            await serve_stream(incoming, lease, endpoint.items(arguments))
            return
        answer = endpoint.answer(result, binary=binary)
    except BadInput as error:
        await send_error(send, 400, str(error), code=CALLER_FAULT)
    except asyncio.CancelledError as error:
        if incoming.guard.reason is not None or _is_cancelled():
            raise
        await answer_failure(replica, error, send)  # the user's own code raised it
    except BaseException as error:  # whatever user code raises, `SystemExit` among it, is this call's answer
        await answer_failure(replica, error, send)
    else:
        await send_bytes(send, 200, answer, _BINARY if binary else _JSON)
    finally:
        if not handed_on:
            lease.end()


async def _serve_untyped(incoming: Incoming, lease: Lease, mode: Mode) -> None:
    """What has no typed arguments. Ends the lease."""
    if mode is Mode.WEBSOCKET:
        lease.end()
        raise BadInput("This Chainlet has only a websocket endpoint.")
    from chains_runtime.open_calls import serve_open

    await serve_open(incoming, lease)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _in_pool(replica: Replica, lease: Lease, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Run a sync method in a thread. It keeps its slot until it ends, also if nobody waits any more."""
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()

    def done(_: Future[Any]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(lease.end)

    work = replica.pool().submit(context.run, lambda: endpoint.method(**arguments))
    work.add_done_callback(done)
    return await asyncio.wrap_future(work)


async def answer_failure(replica: Replica, error: BaseException, send: Send) -> None:
    """The answer to an exception of the user's code, or to a result that does not fit; logged once (R-35)."""
    status, body = describe_failure(replica, error)
    await send_error(send, status, body, code=CHAINLET_FAULT)


def describe_failure(replica: Replica, error: BaseException) -> tuple[int, RemoteErrorDetail | str]:
    """Status and what stands in `error`; counts and logs it."""
    replica.errors_total += 1
    if isinstance(error, BadResult):
        _LOG.error("%s", error)
        return 500, str(error)
    roots = replica.source_roots()
    detail = replica.paths.detail(exception_to_detail(error), roots)
    _LOG.error("%s", user_traceback(error, replica.paths, roots))
    return status_of(error), detail


__all__ = ["Incoming", "Lease", "answer_failure", "describe_failure", "serve_call"]
