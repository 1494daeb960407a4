"""`run_local(strict=True)`: calls in this process behave as calls over the network.

Arguments and results are written to bytes, validated and read again at each side, so nothing
is shared; attempts, timeouts, deadline and limits are those of `depends(...)`; an exception
becomes what a caller gets from a deployed Chainlet.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Never

from chains_protocol.rpc import ErrorBody, RemoteErrorDetail
from truss_chains.calling import CURRENT_REQUEST, Answer, CallOptions, CallPolicy
from truss_chains.endpoint_wire import BadInputError, BadResultError, EndpointWire, Values
from truss_chains.remote_errors import exception_to_detail, raise_for_error, status_of


@dataclass(frozen=True, slots=True)
class _OpenStream:
    """A stream whose first item is there; `first` is None if it is empty."""

    items: AsyncIterator[Any]
    first: bytes | None
    ends_at: float
    limit_s: float
    status: int = 200
    retry_after_s: float | None = None


class StrictStub:
    """Stands in a Chainlet for a dependency, with nothing but its endpoint, as a deployed stub does.

    Args:
        target: the dependency's instance or a mock.
        wire: of the dependency's endpoint.
        options: of `depends(...)`.
        make_policy: makes the policy from name and options; a test gives it a clock of its own.
    """

    def __init__(
        self,
        target: Any,
        wire: EndpointWire,
        options: CallOptions,
        make_policy: Callable[[str, CallOptions], CallPolicy] = CallPolicy,
    ) -> None:
        self._wire = wire
        self._binary = options.use_binary
        self._policy = make_policy(wire.owner, options)
        self._method = _EndpointMethod(target, wire, self._policy.clock)
        if wire.is_streaming:
            call: Callable[..., Any] = self._stream
        elif wire.endpoint.is_async:
            call = self._call
        else:
            call = self._call_blocking
        setattr(self, wire.endpoint.method_name, call)

    def __getattr__(self, name: str) -> Never:
        if name.startswith("__"):  # probes of Python itself
            raise AttributeError(name)
        raise AttributeError(
            f"only `{self._wire.endpoint.method_name}` of the dependency `{self._wire.owner}` can be used, "
            f"as in a deployment; `{name}` exists on the local object only"
        )

    async def _call(self, *args: Any, **kwargs: Any) -> Any:
        body = self._request(args, kwargs)
        answer = await self._policy.call(lambda limit_s: self._exchange(body, limit_s))
        return self._result(answer)

    async def _exchange(self, body: bytes, limit_s: float) -> Answer:
        try:
            given = self._wire.decode_inputs(body, binary=self._binary)
            with self._method.serving(limit_s):
                result = await self._method(given)
            return Answer(200, self._wire.encode_output(result, binary=self._binary))
        except _ENDS_US:
            raise
        except BaseException as error:  # whatever user code raises is answered
            return _failed(error)

    def _call_blocking(self, *args: Any, **kwargs: Any) -> Any:
        body = self._request(args, kwargs)
        return self._result(self._policy.call_sync(lambda limit_s: self._exchange_blocking(body, limit_s)))

    def _exchange_blocking(self, body: bytes, limit_s: float) -> Answer:
        ends_at = self._policy.clock() + limit_s
        try:
            given = self._wire.decode_inputs(body, binary=self._binary)
            with self._method.serving(limit_s):
                result = self._method(given)
            answer = Answer(200, self._wire.encode_output(result, binary=self._binary))
        except _ENDS_US:
            raise
        except BaseException as error:  # whatever user code raises is answered
            answer = _failed(error)
        # Blocking code can't be interrupted: what comes too late is thrown away.
        if self._policy.clock() >= ends_at:
            raise TimeoutError
        return answer

    def _stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        return self._read(self._request(args, kwargs))

    async def _read(self, body: bytes) -> AsyncIterator[Any]:
        opened = await self._policy.call(lambda limit_s: self._open(body, limit_s))
        if isinstance(opened, Answer):
            self._raise_for(opened)
            return
        item = opened.first
        try:
            while item is not None:
                yield self._wire.decode_item(item, binary=self._binary)
                item = await self._next(opened)
        finally:
            await _close(opened.items)

    async def _open(self, body: bytes, limit_s: float) -> "_OpenStream | Answer":
        """Up to the first item a failure is an answer with a status; later it breaks the stream off."""
        ends_at = self._policy.clock() + limit_s
        try:
            given = self._wire.decode_inputs(body, binary=self._binary)
            with self._method.serving(limit_s):
                items = aiter(self._method(given))
                first = await self._item(items)
        except _ENDS_US:
            raise
        except BadResultError as error:
            await _close(items)
            return _failed(error)
        except BaseException as error:  # whatever user code raises is answered
            return _failed(error)
        return _OpenStream(items, first, ends_at, limit_s)

    async def _next(self, opened: _OpenStream) -> bytes | None:
        remaining_s = opened.ends_at - self._policy.clock()
        timeout = asyncio.timeout(remaining_s)
        try:
            async with timeout:
                with self._method.serving(remaining_s):
                    return await self._item(opened.items)
        except _ENDS_US:
            raise
        except BaseException as error:  # whatever user code raises breaks the stream off
            if timeout.expired():
                raise self._policy.timeout_error(opened.limit_s) from None
            raise ConnectionError(f"the stream of `{self._wire.owner}` broke off") from error

    async def _item(self, items: AsyncIterator[Any]) -> bytes | None:
        """The next item that has a form on the wire, as bytes; None at the end."""
        while True:
            value = await anext(items, _END)
            if value is _END:
                return None
            item = self._wire.encode_item(value, binary=self._binary)
            if item:  # an empty chunk is nothing on the wire
                return item

    def _request(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        return self._wire.encode_inputs(self._wire.bind(args, kwargs), binary=self._binary)

    def _result(self, answer: Answer) -> Any:
        self._raise_for(answer)
        return self._wire.decode_output(answer.body, binary=self._binary)

    def _raise_for(self, answer: Answer) -> None:
        if answer.status >= 400:
            trace = CURRENT_REQUEST.get().traceparent
            raise_for_error(self._wire.owner, answer.status, answer.body, trace)


class _EndpointMethod:
    """The callee's method, called with arguments by parameter."""

    def __init__(self, target: Any, wire: EndpointWire, clock: Callable[[], float]) -> None:
        self._call: Callable[..., Any] = getattr(target, wire.endpoint.method_name)
        # A duck-typed stand-in may name its parameters otherwise: callers pass them in order.
        self._names = () if isinstance(target, wire.chainlet) else wire.positional
        self._clock = clock

    def __call__(self, given: Values) -> Any:
        args: list[Any] = []
        for name in self._names:
            if name not in given:
                break
            args.append(given.pop(name))
        return self._call(*args, **given)

    @contextmanager
    def serving(self, limit_s: float) -> Iterator[None]:
        """Within the block, further calls belong to this one: they end with its deadline."""
        request = CURRENT_REQUEST.get()
        deadline = self._clock() + limit_s
        token = CURRENT_REQUEST.set(replace(request, deadline=deadline))
        try:
            yield
        finally:
            CURRENT_REQUEST.reset(token)


_END: object = object()
_ENDS_US: Final = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt)
"""These end the caller, too, since both are in one process."""


def _failed(error: BaseException) -> Answer:
    """The error answer that a replica gives (R-34)."""
    if isinstance(error, BadInputError):
        return Answer(400, _error_body(str(error)))
    if isinstance(error, BadResultError):
        return Answer(500, _error_body(f"Internal error in model/chainlet. {error}"))
    return Answer(status_of(error), _error_body(exception_to_detail(error)))


def _error_body(error: RemoteErrorDetail | str) -> bytes:
    return ErrorBody(error=error).model_dump_json().encode()


async def _close(items: AsyncIterator[Any]) -> None:
    close = getattr(items, "aclose", None)
    if close is not None:
        await close()


__all__ = ["StrictStub"]
