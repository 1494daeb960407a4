"""Arguments and results of one endpoint as bytes, both ways, as a caller's stub and a replica do it.

Comes in: a Chainlet class. Goes out: functions between Python values and bodies, built once a
class. Arguments are one object whose keys are the parameters; what has a default may be absent
(R-20, R-21). Values are validated at both ends.
"""

import inspect
from collections.abc import Mapping
from typing import Any, Final, NotRequired, Optional, cast

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from truss_chains.codec import decode_binary
from truss_chains.inspection import Endpoint, endpoint_of
from truss_chains.text_keys import dump_binary

_WIRE: Final = "__chains_wire__"

Values = dict[str, Any]  # arguments of any type, by parameter


class BadInputError(Exception):
    """A body is not what the endpoint takes; the text is for the caller (R-34)."""


class BadResultError(Exception):
    """A result does not fit the return annotation; the text is for the caller."""


class EndpointWire:
    """Reads and writes the bodies of one endpoint. Make it with `wire_of`."""

    def __init__(self, cls: type, endpoint: Endpoint) -> None:
        self.chainlet = cls
        self.owner = cls.__name__
        self.endpoint = endpoint
        self.is_streaming = endpoint.stream_type is not None
        self.positional = tuple(p.name for p in endpoint.parameters if not p.is_keyword_only)
        self._known = frozenset(p.name for p in endpoint.parameters)
        self._required = frozenset(p.name for p in endpoint.parameters if not p.is_optional)
        self._inputs = _inputs_adapter(self.owner, endpoint)
        item = endpoint.stream_type if self.is_streaming else endpoint.return_type
        self._output: TypeAdapter[Any] = TypeAdapter(item)

    # --- the caller's side -------------------------------------------------------------------------

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Values:
        """The arguments that were given, by parameter; `TypeError` as Python says it if they don't fit."""
        given: Values = dict(zip(self.positional, args, strict=False))
        fits = len(args) <= len(self.positional) and given.keys().isdisjoint(kwargs)
        given.update(kwargs)
        if not fits or not given.keys() <= self._known or not self._required <= given.keys():
            self._explain(args, kwargs)
        return given

    def encode_inputs(self, given: Values, *, binary: bool) -> bytes:
        """The request's body; `ValidationError` if an argument does not fit its annotation."""
        checked = self._inputs.validate_python(given)
        if not binary:
            return self._inputs.dump_json(checked, by_alias=True)
        return dump_binary(self._inputs, checked)

    def decode_output(self, body: bytes, *, binary: bool) -> Any:
        """The result, or one item of a stream; `ValidationError` if it does not fit."""
        if not binary:
            return self._output.validate_json(body)
        return self._output.validate_python(decode_binary(body))

    def decode_item(self, body: bytes, *, binary: bool) -> Any:
        """One item of a stream; text and bytes are on the wire as they are (R-26)."""
        kind = self.endpoint.stream_type
        if kind is bytes:
            return body
        return body.decode() if kind is str else self.decode_output(body, binary=binary)

    # --- the callee's side -------------------------------------------------------------------------

    def decode_inputs(self, body: bytes, *, binary: bool) -> Values:
        """The arguments by parameter; `BadInputError` if the body does not fit."""
        try:
            if not binary:
                return self._inputs.validate_json(body)
            return self._inputs.validate_python(decode_binary(body))
        except ValidationError as error:
            raise BadInputError(_problems(f"Input does not fit `{self.owner}`:", error)) from error

    def encode_output(self, value: object, *, binary: bool) -> bytes:
        """The body for a result or an item; `BadResultError` if it does not fit the annotation."""
        name = f"{self.owner}.{self.endpoint.method_name}"
        try:
            checked = self._output.validate_python(value)
            if not binary:
                return self._output.dump_json(checked, by_alias=True)
            return dump_binary(self._output, checked)
        except ValidationError as error:
            heading = f"The result of `{name}` does not match its return annotation:"
            raise BadResultError(_problems(heading, error)) from error
        except ValueError as error:  # among them pydantic's and msgpack's "can't be written"
            raise BadResultError(f"The result of `{name}` can't be written: {error}") from error

    def encode_item(self, value: object, *, binary: bool) -> bytes:
        """One item of a stream; `BadResultError` if it does not fit."""
        kind = self.endpoint.stream_type
        if kind not in (bytes, str):
            return self.encode_output(value, binary=binary)
        if isinstance(value, str):
            return value.encode()
        if kind is bytes and isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        name = f"{self.owner}.{self.endpoint.method_name}"
        raise BadResultError(f"`{name}` streams `{kind.__name__}`, and yielded `{type(value).__name__}`")

    def _explain(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        signature = inspect.signature(self.endpoint.function)
        try:
            signature.bind(None, *args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.owner}.{self.endpoint.method_name}(): {error}") from None
        raise TypeError(f"{self.owner}.{self.endpoint.method_name}() does not take these arguments")


def _inputs_adapter(owner: str, endpoint: Endpoint) -> TypeAdapter[Values]:
    """A TypedDict, unlike a model, takes any parameter name (`schema`, `_x`)."""
    fields: dict[str, Any] = {
        # A default stays with the callee; null is passed on whatever the annotation is.
        p.name: NotRequired[Optional[p.annotation]] if p.is_optional else p.annotation  # noqa: UP045
        for p in endpoint.parameters
    }
    shape = TypedDict(f"{owner}Input", fields)  # type: ignore[misc]  # made at run time
    return TypeAdapter(cast("type[Values]", shape))


def _problems(heading: str, error: ValidationError) -> str:
    """The heading, then one line a problem with the field's path in backticks."""
    lines = [heading]
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(str(part) for part in problem["loc"])
        lines.append(f"  `{path}`: {problem['msg']}" if path else f"  {problem['msg']}")
    return "\n".join(lines)


def wire_of(cls: type) -> EndpointWire:
    """The wire of a valid Chainlet's endpoint; kept on the class, so that it is built once.

    Raises:
        UnresolvedAnnotationError: a text annotation names something that does not exist.
        LookupError: there is no endpoint, as in a `TrussChainlet`.
    """
    known = cls.__dict__.get(_WIRE)
    if isinstance(known, EndpointWire):
        return known
    built = EndpointWire(cls, endpoint_of(cls))
    setattr(cls, _WIRE, built)
    return built


__all__ = ["BadInputError", "BadResultError", "EndpointWire", "Values", "wire_of"]
