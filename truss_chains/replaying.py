"""Recorded calls as lines of JSON, and stand-ins that answer from them.

Comes in: `CallRecord`s of a run. Goes out: one line a call, and later `mocks` for `run_local`,
so that a Chain runs again without the Chainlets that were slow, costly or remote. Values stand in
a line as on the wire; what JSON can't hold (bytes that are no text, numbers that are not finite) is
`{"$msgpack": BASE64}`.

Example:
    lines = []
    with run_local(record=lambda call: lines.append(write_call(call, registry))):
        ...
    with run_local(mocks=replay_mocks(lines, registry)):
        ...
"""

import base64
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from chains_protocol.errors import Code
from chains_protocol.rpc import ErrorBody, RemoteErrorDetail
from truss_chains.endpoint_wire import BadInputError, BadResultError, EndpointWire, wire_of
from truss_chains.errors import ChainsRuntimeError, ChainsUsageError
from truss_chains.recording import CallRecord
from truss_chains.remote_errors import error_from_response, exception_to_detail, status_of

_SHOWN_INPUTS: Final = 5
_MSGPACK: Final = "$msgpack"


class Redaction:
    """Hides secrets in written calls, and in inputs that are compared with written ones.

    Args:
        secrets: values that must not appear; empty ones are nothing to hide.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # Longest first: one may be part of another.
        self._texts = sorted({_quoted(text) for text in secrets if text}, key=len, reverse=True)
        self._bytes = [text.encode() for text in secrets if text]

    def text(self, line: str) -> str:
        """JSON without the secrets."""
        for text in self._texts:
            line = line.replace(text, REDACTED)
        return line

    def check(self, packed: bytes) -> None:
        """`ValueError` if msgpack, where nothing can be replaced, holds a secret."""
        if any(secret in packed for secret in self._bytes):
            raise ValueError("it holds a secret in a value that JSON can't hold")


REDACTED: Final = "***"
_NO_SECRETS: Final = Redaction()


def write_call(call: CallRecord, known: Iterable[type], redaction: Redaction = _NO_SECRETS) -> str:
    """One call as one line of JSON, without line end; values in the form they have on the wire.

    Args:
        call: a finished call.
        known: Chainlet classes, the callee among them.
        redaction: hides secrets.

    Raises:
        ChainsUsageError: CH317, the callee is not known.
        ValueError: its arguments or its result do not fit its endpoint, or can't be written.
    """
    wire = wire_of(_class_named(call.callee, known))
    line: dict[str, Any] = {
        "caller": call.caller,
        "callee": call.callee,
        "method": call.method,
        "inputs": _plain_inputs(wire, dict(call.inputs), redaction),
        "started": call.started,
        "duration_s": call.duration_s,
    }
    if wire.is_streaming:
        line["items"] = [_plain(wire, item, redaction) for item in call.output or ()]
    elif call.error is None:
        line["output"] = _plain(wire, call.output, redaction)
    if call.error is not None:
        line["error"] = exception_to_detail(call.error).model_dump()
        line["status"] = status_of(call.error)
    return redaction.text(json.dumps(line, ensure_ascii=False))


def replay_mocks(
    lines: Iterable[str],
    known: Iterable[type],
    redaction: Redaction = _NO_SECRETS,
    *,
    only: Iterable[type] | None = None,
) -> dict[type, "ReplayMock"]:
    """Stand-ins for the recorded callees, to give to `run_local(mocks=...)`.

    Args:
        lines: of `write_call`; empty ones are skipped.
        known: Chainlet classes, the callees among them.
        redaction: what was hidden when the calls were recorded.
        only: the callees to stand in for; all if None.

    Raises:
        ChainsUsageError: CH317, a callee is not known; CH127, a line is no recorded call.
    """
    classes = tuple(known)
    calls: dict[type, list[Mapping[str, Any]]] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            call = _read_line(line, number)
            calls.setdefault(_class_named(call["callee"], classes), []).append(call)
    wanted = tuple(calls) if only is None else tuple(only)
    for cls in wanted:
        if cls not in calls:
            raise ChainsUsageError(f"no call of `{cls.__name__}` was recorded", code=Code.BAD_MOCK)
    return {cls: ReplayMock(wire_of(cls), calls[cls], redaction) for cls in wanted}


class ReplayMock:
    """Answers calls as they were answered when they were recorded.

    Equal inputs get the recorded answers one after the other, and then the last one again. Errors are
    raised as a caller gets them from a deployed Chainlet.

    Args:
        wire: of the endpoint it stands in for.
        calls: recorded calls, in order.
        redaction: what was hidden when they were recorded.
    """

    def __init__(
        self, wire: EndpointWire, calls: Iterable[Mapping[str, Any]], redaction: Redaction = _NO_SECRETS
    ) -> None:
        self._wire = wire
        self._redaction = redaction
        self._answers: dict[str, deque[Mapping[str, Any]]] = {}
        for call in calls:
            self._answers.setdefault(_key(call["inputs"]), deque()).append(call)
        if wire.is_streaming:
            method: Callable[..., Any] = self._stream
        elif wire.endpoint.is_async:
            method = self._call
        else:
            method = self._call_blocking
        setattr(self, wire.endpoint.method_name, method)

    async def _call(self, *args: Any, **kwargs: Any) -> Any:
        return self._call_blocking(*args, **kwargs)

    def _call_blocking(self, *args: Any, **kwargs: Any) -> Any:
        call = self._next(args, kwargs)
        self._raise_for(call)
        return self._read(call["output"])

    async def _stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        call = self._next(args, kwargs)
        for item in call["items"]:
            yield self._read(item)
        self._raise_for(call)

    def _next(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        key = self._redaction.text(
            _key(_plain_inputs(self._wire, self._wire.bind(args, kwargs), _NO_SECRETS))
        )
        answers = self._answers.get(key)
        if answers is None:
            recorded = "\n".join(f"  {key}" for key in list(self._answers)[:_SHOWN_INPUTS])
            raise ChainsRuntimeError(
                f"no call of `{self._wire.owner}` with these inputs was recorded:\n  {key}\n"
                f"Recorded were:\n{recorded}",
                code=Code.BAD_MOCK,
            )
        return answers.popleft() if len(answers) > 1 else answers[0]

    def _raise_for(self, call: Mapping[str, Any]) -> None:
        if "error" in call:
            body = ErrorBody(error=RemoteErrorDetail.model_validate(call["error"])).model_dump_json()
            raise error_from_response(self._wire.owner, call.get("status", 500), body.encode())

    def _read(self, value: Any) -> Any:
        if isinstance(value, dict) and value.keys() == {_MSGPACK}:
            return self._wire.decode_output(base64.b64decode(value[_MSGPACK]), binary=True)
        return self._wire.decode_output(json.dumps(value).encode(), binary=False)


def _plain_inputs(wire: EndpointWire, inputs: dict[str, Any], redaction: Redaction) -> Any:
    """Arguments as JSON if the callee can read them back, else as msgpack."""
    try:
        body = wire.encode_inputs(inputs, binary=False)
        wire.decode_inputs(body, binary=False)
        return json.loads(body)
    except (BadInputError, PydanticSerializationError):
        return _packed(wire.encode_inputs(inputs, binary=True), redaction)


def _plain(wire: EndpointWire, value: object, redaction: Redaction) -> Any:
    """A result or an item as JSON if the caller can read it back, else as msgpack."""
    try:
        body = wire.encode_output(value, binary=False)
        wire.decode_output(body, binary=False)
        return json.loads(body)
    except (BadResultError, ValidationError):
        pass  # what msgpack can't hold either does not fit
    try:
        return _packed(wire.encode_output(value, binary=True), redaction)
    except BadResultError as error:
        raise ValueError(str(error)) from error


def _packed(body: bytes, redaction: Redaction) -> dict[str, str]:
    redaction.check(body)
    return {_MSGPACK: base64.b64encode(body).decode("ascii")}


def _quoted(text: str) -> str:
    """As it stands in JSON, without the quotation marks."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _key(inputs: Mapping[str, Any]) -> str:
    return json.dumps(inputs, sort_keys=True, ensure_ascii=False)


def _read_line(line: str, number: int) -> Mapping[str, Any]:
    try:
        call = json.loads(line)
        if isinstance(call, dict) and {"callee", "inputs"} <= call.keys() and call.keys() & _OUTCOMES:
            if "error" in call:
                RemoteErrorDetail.model_validate(call["error"])
            return call
        problem = "it needs `callee`, `inputs` and an outcome"
    except (ValueError, ValidationError) as error:
        problem = str(error)
    raise ChainsUsageError(f"line {number} is no recorded call: {problem}", code=Code.BAD_MOCK)


_OUTCOMES: Final = frozenset({"output", "items", "error"})


def _class_named(name: str, known: Iterable[type]) -> type:
    classes = tuple(known)
    for cls in classes:
        if cls.__name__ == name:
            return cls
    names = ", ".join(f"`{cls.__name__}`" for cls in classes) or "none"
    raise ChainsUsageError(f"no Chainlet is called `{name}`; known are {names}", code=Code.UNKNOWN_CHAINLET)


__all__ = ["REDACTED", "Redaction", "ReplayMock", "replay_mocks", "write_call"]
