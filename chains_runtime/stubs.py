"""Clients of dependencies, as the user's Chainlet holds them.

A `Stub` is a thin handle: it stays in the Chainlet's state for as long as that lives. How the
call is made, by which types and options, is a `Binding`, and each generation of code has its own.
So a stub that a patched Chainlet took over calls with the types of the generation that uses it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from chains_protocol.errors import Code
from chains_protocol.rpc import DEADLINE, REVISION, Revision
from chains_protocol.spec import DependencySpec, StreamItem
from chains_runtime.outbound import Outbound
from chains_runtime.request_context import current_call
from chains_runtime.route_table import Way
from chains_runtime.signature import CallSignature, Mode
from chains_runtime.stream_frames import read_items
from chains_runtime.transport import Request
from truss_chains.calling import CURRENT_REQUEST, Answer, CallPolicy
from truss_chains.errors import MissingDependencyError
from truss_chains.remote_errors import raise_for_error

_DEADLINE: Final = DEADLINE.encode()


@dataclass(frozen=True)
class Binding:
    """How one generation calls one dependency."""

    dependency: DependencySpec
    signature: CallSignature
    policy: CallPolicy
    outbound: Outbound
    fallback: Revision
    """The revision of calls that no request caused, such as those of `__init__`."""

    def invoke(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the dependency's method gives: a coroutine, an asynchronous iterator or a result."""
        given = self.signature.bind(args, kwargs)
        if self.signature.mode is Mode.ASYNC:
            return self._call(given)
        if self.signature.mode is Mode.STREAM:
            return self._stream(given)
        return self._call_blocking(given)

    # --- the three forms ---------------------------------------------------------------------------

    async def _call(self, given: dict[str, Any]) -> Any:
        body = self._encode(given)
        way, head = self._way()
        fetch = self.outbound.fetch
        answer = await self.policy.call(lambda limit_s: fetch(way, self._request(way, head, body, limit_s)))
        return self._result(answer)

    def _call_blocking(self, given: dict[str, Any]) -> Any:
        body = self._encode(given)
        way, head = self._way()
        fetch = self.outbound.fetch_blocking
        answer = self.policy.call_sync(
            lambda limit_s: fetch(way, self._request(way, head, body, limit_s), limit_s)
        )
        return self._result(answer)

    async def _stream(self, given: dict[str, Any]) -> AsyncGenerator[Any, None]:
        body = self._encode(given)
        way, head = self._way()
        limit_s = self.dependency.options.timeout_sec
        ends_at = asyncio.get_running_loop().time() + limit_s
        opening = self.outbound.open
        answer = await self.policy.call(
            lambda limit: opening(way, self._request(way, head, body, limit, stream=True))
        )
        if isinstance(answer, Answer):
            self._raise_for(answer)
            raise ConnectionError(f"`{self.dependency.display_name}` did not answer with a stream")
        item = self.signature.stream_item or StreamItem.BYTES
        async with aclosing(answer.chunks()) as chunks:
            items = read_items(item, self.signature.answer, chunks, binary=self.dependency.options.use_binary)
            async with aclosing(items):
                while True:
                    try:
                        async with asyncio.timeout_at(ends_at):
                            value = await anext(items)
                    except StopAsyncIteration:
                        return
                    except TimeoutError:
                        raise self.policy.timeout_error(limit_s) from None
                    except ConnectionError as error:
                        name = self.dependency.display_name
                        raise ConnectionError(f"the stream of `{name}` broke off: {error}") from error
                    yield value

    # --- parts -------------------------------------------------------------------------------------

    def _encode(self, given: dict[str, Any]) -> bytes:
        adapter = self.signature.arguments
        arguments = adapter.validate_python(given)
        if not self.dependency.options.use_binary:
            return adapter.dump_json(arguments, by_alias=True)
        from truss_chains.text_keys import dump_binary

        return dump_binary(adapter, arguments)

    def _way(self) -> tuple[Way, bytes]:
        call = current_call()
        revision = (call.revision if call is not None else None) or self.fallback
        way = self.outbound.routes().way(self.dependency.class_name, revision)
        if way is None:
            raise MissingDependencyError(
                f"No replicas are known for `{self.dependency.display_name}`.", code=Code.MISSING_SERVICE
            )
        if call is None:
            return way, self._stamp
        return way, call.head if call.revision is not None else call.head + self._stamp

    @cached_property
    def _stamp(self) -> bytes:
        """The revision's header line of a call that has none of its own."""
        return f"{REVISION}: {self.fallback}\r\n".encode()

    def _request(
        self, way: Way, head: bytes, body: bytes, limit_s: float, *, stream: bool = False
    ) -> Request:
        start = way.binary_start if self.dependency.options.use_binary else way.json_start
        rest = b"%s%s: %.3f\r\ncontent-length: %d\r\n\r\n%s" % (head, _DEADLINE, limit_s, len(body), body)
        return Request(start, rest, stream)

    def _raise_for(self, answer: Answer) -> None:
        raise_for_error(
            self.dependency.display_name, answer.status, answer.body, CURRENT_REQUEST.get().traceparent
        )

    def _result(self, answer: Answer) -> Any:
        if answer.status >= 400:
            self._raise_for(answer)
        adapter = self.signature.answer
        if not self.dependency.options.use_binary:
            return adapter.validate_json(answer.body)
        from truss_chains.codec import decode_binary

        return adapter.validate_python(decode_binary(answer.body))


class Stub:
    """Stands for a dependency in the user's Chainlet; `run_remote` is the dependency's.

    Args:
        class_name: of the dependency.
        bindings: returns the bindings of the generation that the running code belongs to.
    """

    __slots__ = ("_bindings", "_class_name")

    def __init__(self, class_name: str, bindings: Callable[[], Mapping[str, Binding]]) -> None:
        self._class_name = class_name
        self._bindings = bindings

    @property
    def name(self) -> str:
        """Class name of the dependency."""
        return self._class_name

    def run_remote(self, *args: Any, **kwargs: Any) -> Any:
        """Call the dependency; parameters and result are those of its own method."""
        binding = self._bindings().get(self._class_name)
        if binding is None:
            raise MissingDependencyError(
                f"`{self._class_name}` is not a dependency of this Chainlet any more.",
                code=Code.MISSING_SERVICE,
            )
        return binding.invoke(args, kwargs)

    def __repr__(self) -> str:
        return f"<stub of {self._class_name}>"


__all__ = ["Binding", "Stub"]
