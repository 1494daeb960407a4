"""A client of a deployed service: another Chain, a model, a Chainlet that runs elsewhere."""

import codecs
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, final, overload

from pydantic import BaseModel

from chains_protocol.rpc import AUTHORIZATION, BINARY_TYPE, JSON_TYPE
from truss_chains.calling import CURRENT_REQUEST, Answer, CallPolicy
from truss_chains.codec import decode, encode
from truss_chains.http_transport import HttpTransport, OpenStream, Target
from truss_chains.remote_errors import raise_for_error
from truss_chains.text_keys import with_text_keys

if TYPE_CHECKING:
    from truss_chains.config import RPCOptions
    from truss_chains.context import DeployedServiceDescriptor, DeploymentContext

OutputT = TypeVar("OutputT", bound=BaseModel)

_CONTENT_TYPE: Final = "content-type"


class StubBase:
    """Calls a deployed service; subclass it and call its `predict_*` methods from your own.

    Calls follow the service's options: attempts, timeout of each, calls at once, encoding. One
    stub serves many tasks and threads at once. A blocking call inside async code blocks the event loop.

    Args:
        service_descriptor: name, address and options.
        api_key: sent as `Authorization: Api-Key ...`.

    Example:
        class Tagger(StubBase):
            async def run_remote(self, text: str) -> list[str]:
                return (await self.predict_async({"text": text}))["tags"]

        tagger = Tagger.from_url(url, context)
    """

    @final
    def __init__(self, service_descriptor: "DeployedServiceDescriptor", api_key: str) -> None:
        options = service_descriptor.options
        self._service_descriptor = service_descriptor
        self._binary = options.use_binary
        self._authorization = f"Api-Key {api_key}"
        self._policy = CallPolicy(service_descriptor.name, options)
        self._http = HttpTransport(
            service_descriptor.name,
            _target(service_descriptor),
            limit_s=options.timeout_sec,
            connections=options.concurrency_limit,
        )

    @classmethod
    def from_url(
        cls,
        predict_url: str,
        context_or_api_key: "DeploymentContext | str",
        options: "RPCOptions | None" = None,
    ) -> Self:
        """A stub for a service at a URL.

        Args:
            predict_url: takes POST requests.
            context_or_api_key: the key, or the context whose secrets hold it.
            options: how to call; the defaults of `depends` if None.

        Raises:
            MissingDependencyError: CH508, the context has no key.
        """
        from truss_chains.config import RPCOptions
        from truss_chains.context import DeployedServiceDescriptor

        key = context_or_api_key
        descriptor = DeployedServiceDescriptor(
            name=cls.__name__,
            display_name=cls.__name__,
            predict_url=predict_url,
            options=options or RPCOptions(),
        )
        return cls(descriptor, key if isinstance(key, str) else key.get_baseten_api_key())

    @property
    def name(self) -> str:
        """The service's name."""
        return self._service_descriptor.name

    @overload
    def predict_sync(self, inputs: object, output_model: type[OutputT]) -> OutputT: ...
    @overload
    def predict_sync(self, inputs: object, output_model: None = None) -> Any: ...
    def predict_sync(self, inputs: object, output_model: type[BaseModel] | None = None) -> Any:
        """Call the service, blocking.

        Args:
            inputs: a pydantic model, or what JSON (with `use_binary`, msgpack) can hold.
            output_model: validates the result; None gives the plain value.

        Raises:
            TimeoutError: the service took longer than its limit (S-06).
            ConnectionError: no answer came.
            ValidationError: the result does not fit `output_model`.
            Exception: what the service raised, rebuilt; else `GenericRemoteException` (X-03 to X-09).
        """
        body = self._body(inputs)
        answer = self._policy.call_sync(
            lambda limit_s: self._http.send_sync(body, self._headers(limit_s), limit_s)
        )
        return self._result(answer, output_model)

    @overload
    async def predict_async(self, inputs: object, output_model: type[OutputT]) -> OutputT: ...
    @overload
    async def predict_async(self, inputs: object, output_model: None = None) -> Any: ...
    async def predict_async(self, inputs: object, output_model: type[BaseModel] | None = None) -> Any:
        """Call the service; otherwise as `predict_sync`."""
        body = self._body(inputs)
        answer = await self._policy.call(lambda limit_s: self._http.send(body, self._headers(limit_s)))
        return self._result(answer, output_model)

    async def predict_async_stream(self, inputs: object) -> AsyncIterator[bytes]:
        """Call a streaming service. Await it, then iterate over the chunks as the network brings them.

        Only the time until the answer's headers counts as a call for `retries` and
        `concurrency_limit`; `timeout_sec` goes on counting while the stream is read.
        """
        body = self._body(inputs)
        reply = await self._policy.call(
            lambda limit_s: self._http.open(body, self._headers(limit_s), limit_s)
        )
        if isinstance(reply, OpenStream):
            return self._http.chunks(reply, self._policy.timeout_error)
        self._raise_for(reply)
        raise ConnectionError(f"`{self.name}` did not answer with a stream")

    def close(self) -> None:
        """Close connections of blocking calls; the next call opens new ones."""
        self._http.close()

    async def aclose(self) -> None:
        """Close connections of async calls; the next call opens new ones."""
        await self._http.aclose()

    def _body(self, inputs: object) -> bytes:
        if self._binary:
            plain = inputs.model_dump(by_alias=True) if isinstance(inputs, BaseModel) else inputs
            return encode(with_text_keys(plain), binary=True)
        if isinstance(inputs, BaseModel):
            return inputs.model_dump_json(by_alias=True).encode()
        return encode(inputs, binary=False)

    def _headers(self, limit_s: float) -> dict[str, str]:
        headers = CURRENT_REQUEST.get().headers(limit_s)
        headers[AUTHORIZATION] = self._authorization
        headers[_CONTENT_TYPE] = BINARY_TYPE if self._binary else JSON_TYPE
        return headers

    def _result(self, answer: Answer, output_model: type[BaseModel] | None) -> Any:
        self._raise_for(answer)
        if output_model is None:
            return decode(answer.body, binary=self._binary)
        if self._binary:
            return output_model.model_validate(decode(answer.body, binary=True))
        return output_model.model_validate_json(answer.body)

    def _raise_for(self, answer: Answer) -> None:
        raise_for_error(self.name, answer.status, answer.body, CURRENT_REQUEST.get().traceparent)


def _target(descriptor: "DeployedServiceDescriptor") -> Target:
    """The internal URL if there is one, with its host (S-01)."""
    internal = descriptor.internal_url
    if internal is not None:
        return Target(internal.gateway_run_remote_url, internal.hostname)
    return Target(descriptor.predict_url or "")


async def decode_text(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """A stream of UTF-8 as text; characters may be cut by chunks anywhere (S-11).

    Raises:
        UnicodeDecodeError: it is not UTF-8, or ends within a character.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    async for chunk in chunks:
        text = decoder.decode(chunk)
        if text:
            yield text
    decoder.decode(b"", final=True)


__all__ = ["StubBase", "decode_text"]
