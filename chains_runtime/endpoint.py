"""One Chainlet's method as the server calls it: bytes -> arguments -> result -> bytes (R-20 to R-25)."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from chains_protocol.rpc import BINARY_TYPE, JSON_TYPE
from chains_runtime.signature import CallSignature, Mode


class BadInput(Exception):
    """The request's body is not what the method takes; the text is for the caller (R-34)."""


class BadResult(Exception):
    """The method's result does not fit its return annotation; the text is for log and caller."""


def is_binary(content_type: bytes) -> bool:
    """Whether a request with this content type carries msgpack and gets msgpack (R-23)."""
    if content_type == b"application/json":
        return False
    return content_type.partition(b";")[0].strip().lower() == BINARY_TYPE.encode()


@dataclass(frozen=True)
class Endpoint:
    """A compiled method, bound to an instance."""

    signature: CallSignature
    method: Callable[..., Any]
    """Coroutine function, async generator function or plain function, by `signature.mode`."""

    @property
    def mode(self) -> Mode:
        return self.signature.mode

    def arguments(self, body: bytes, *, binary: bool) -> dict[str, Any]:
        """Validated arguments by name.

        Raises:
            BadInput: the body can't be read or does not fit.
        """
        adapter = self.signature.arguments
        try:
            if not binary:
                return adapter.validate_json(body)
            return adapter.validate_python(_unpack(body))
        except ValidationError as error:
            raise BadInput(input_problems(self.signature.owner, error)) from error

    def answer(self, result: object, *, binary: bool) -> bytes:
        """The body for a result.

        Raises:
            BadResult: it does not fit the return annotation, or can't be written.
        """
        adapter = self.signature.answer
        try:
            if not binary:
                return adapter.dump_json(adapter.validate_python(result), by_alias=True)
            from truss_chains.text_keys import dump_binary

            return dump_binary(adapter, adapter.validate_python(result))
        except (ValidationError, PydanticSerializationError, ValueError) as error:
            raise BadResult(result_problems(self.signature, error)) from error

    def items(self, arguments: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Start the stream; items as the method yields them."""
        stream: AsyncIterator[Any] = self.method(**arguments)
        return stream


def _unpack(body: bytes) -> object:
    from truss_chains.codec import decode_binary

    try:
        return decode_binary(body)
    except ValueError as error:
        raise BadInput(f"Input can't be read as msgpack: {error}") from error


def input_problems(owner: str, error: ValidationError) -> str:
    """A heading, then one line per problem with the field's path in backticks."""
    lines = [f"Input does not fit `{owner}`:"]
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(str(part) for part in problem["loc"])
        lines.append(f"  `{path}`: {problem['msg']}" if path else f"  {problem['msg']}")
    return "\n".join(lines)


def result_problems(signature: CallSignature, error: Exception) -> str:
    """Why a result was refused, for the log and the caller."""
    heading = f"Internal error in model/chainlet: the result of `{signature.owner}.{signature.name}`"
    if not isinstance(error, ValidationError):
        return f"{heading} can't be written: {error}"
    lines = [f"{heading} does not match its return annotation:"]
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(str(part) for part in problem["loc"])
        lines.append(f"  `{path}`: {problem['msg']}" if path else f"  {problem['msg']}")
    return "\n".join(lines)


def content_type(*, binary: bool) -> bytes:
    """Of a successful answer."""
    return (BINARY_TYPE if binary else JSON_TYPE).encode()


__all__ = [
    "BadInput",
    "BadResult",
    "Endpoint",
    "content_type",
    "input_problems",
    "is_binary",
    "result_problems",
]
