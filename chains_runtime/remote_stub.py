"""A stub of a dependency on another host, over HTTP; used inside a Truss server."""

from collections.abc import AsyncGenerator
from typing import Any, Literal

from pydantic import RootModel

from chains_protocol.kinds import ChainletKind
from chains_protocol.spec import StreamItem
from chains_runtime.signature import Mode, read_signature
from chains_runtime.stream_frames import read_items
from truss_chains.chainlet import chainlet_kind
from truss_chains.context import DeployedServiceDescriptor
from truss_chains.stub import StubBase


class RemoteStub:
    """Stands for a dependency; `run_remote` is the dependency's (G-54).

    Args:
        callee: the dependency's class.
        descriptor: where and how it is called.
        api_key: opens the call.
    """

    def __init__(self, callee: type, descriptor: DeployedServiceDescriptor, api_key: str) -> None:
        self._signature = read_signature(callee, "run_remote")
        self._is_engine = chainlet_kind(callee) is ChainletKind.ENGINE_BUILDER
        self._stub = StubBase(descriptor, api_key)
        self._binary = descriptor.options.use_binary
        # A model made at run time, of a type that only the user's code knows.
        generic: Any = RootModel
        self._result: Any = generic[self._signature.result]

    @property
    def name(self) -> str:
        """Class name of the dependency."""
        return self._stub.name

    def run_remote(self, *args: Any, **kwargs: Any) -> Any:
        """Call the dependency; parameters and result are those of its own method."""
        body = self._body(self._signature.bind(args, kwargs))
        if self._is_engine or self._signature.mode is Mode.STREAM:
            return self._stream(body)
        if self._signature.mode is Mode.SYNC:
            return self._stub.predict_sync(body, self._result).root
        return self._call(body)

    def _body(self, given: dict[str, Any]) -> Any:
        """What is sent: an object with only the given keys (G-55); of an engine, its input itself."""
        if self._is_engine:
            (only,) = given.values()
            return only
        adapter = self._signature.arguments
        mode: Literal["python", "json"] = "python" if self._binary else "json"
        return adapter.dump_python(adapter.validate_python(given), mode=mode, by_alias=True)

    async def _call(self, body: Any) -> Any:
        return (await self._stub.predict_async(body, self._result)).root

    async def _stream(self, body: Any) -> AsyncGenerator[Any, None]:
        item = StreamItem.STR if self._is_engine else self._signature.stream_item or StreamItem.BYTES
        chunks = await self._stub.predict_async_stream(body)
        async for value in read_items(item, self._signature.answer, chunks, binary=self._binary):
            yield value


__all__ = ["RemoteStub"]
