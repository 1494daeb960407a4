"""Recorded calls as lines of JSON, and stand-ins that answer from them.

Comes in: `CallRecord`s of a run. Goes out: one line a call, and later `mocks` for `run_local`,
so that a Chain runs again without the Chainlets that were slow, costly or remote.

Example:
    lines = []
    with run_local(record=lambda call: lines.append(write_call(call, registry))):
        ...
    with run_local(mocks=replay_mocks(lines, registry)):
        ...
"""

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from chains_protocol.errors import Code
from chains_protocol.rpc import ErrorBody, RemoteErrorDetail
from truss_chains.endpoint_wire import EndpointWire, wire_of
from truss_chains.errors import ChainsRuntimeError, ChainsUsageError
from truss_chains.recording import CallRecord
from truss_chains.remote_errors import error_from_response, exception_to_detail, status_of

_SHOWN_INPUTS: Final = 5


def write_call(call: CallRecord, known: Iterable[type]) -> str:
    """One call as one line of JSON, without line end; values in the form they have on the wire.

    Args:
        call: a finished call.
        known: Chainlet classes, the callee among them.

    Raises:
        ChainsUsageError: CH317, the callee is not known.
        ValidationError: its arguments do not fit its endpoint.
    """
    wire = wire_of(_class_named(call.callee, known))
    line: dict[str, Any] = {
        "caller": call.caller,
        "callee": call.callee,
        "method": call.method,
        "inputs": json.loads(wire.encode_inputs(dict(call.inputs), binary=False)),
        "started": call.started,
        "duration_s": call.duration_s,
    }
    if wire.is_streaming:
        line["items"] = [_plain(wire, item) for item in call.output or ()]
    elif call.error is None:
        line["output"] = _plain(wire, call.output)
    if call.error is not None:
        line["error"] = exception_to_detail(call.error).model_dump()
        line["status"] = status_of(call.error)
    return json.dumps(line, ensure_ascii=False)


def replay_mocks(lines: Iterable[str], known: Iterable[type]) -> dict[type, "ReplayMock"]:
    """Stand-ins for the recorded callees, to give to `run_local(mocks=...)`.

    Raises:
        ChainsUsageError: CH317, a callee is not known; CH127, a line is no recorded call.
    """
    classes = tuple(known)
    calls: dict[type, list[Mapping[str, Any]]] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            call = _read_line(line, number)
            calls.setdefault(_class_named(call["callee"], classes), []).append(call)
    return {cls: ReplayMock(wire_of(cls), recorded) for cls, recorded in calls.items()}


class ReplayMock:
    """Answers calls as they were answered when they were recorded.

    Equal inputs get the recorded answers one after the other, and then the last one again. Errors are
    raised as a caller gets them from a deployed Chainlet.

    Args:
        wire: of the endpoint it stands in for.
        calls: recorded calls, in order.
    """

    def __init__(self, wire: EndpointWire, calls: Iterable[Mapping[str, Any]]) -> None:
        self._wire = wire
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
        inputs = json.loads(self._wire.encode_inputs(self._wire.bind(args, kwargs), binary=False))
        answers = self._answers.get(_key(inputs))
        if answers is None:
            recorded = "\n".join(f"  {key}" for key in list(self._answers)[:_SHOWN_INPUTS])
            raise ChainsRuntimeError(
                f"no call of `{self._wire.owner}` with these inputs was recorded:\n  {_key(inputs)}\n"
                f"Recorded were:\n{recorded}",
                code=Code.BAD_MOCK,
            )
        return answers.popleft() if len(answers) > 1 else answers[0]

    def _raise_for(self, call: Mapping[str, Any]) -> None:
        if "error" in call:
            body = ErrorBody(error=RemoteErrorDetail.model_validate(call["error"])).model_dump_json()
            raise error_from_response(self._wire.owner, call.get("status", 500), body.encode())

    def _read(self, value: Any) -> Any:
        return self._wire.decode_output(json.dumps(value).encode(), binary=False)


def _plain(wire: EndpointWire, value: object) -> Any:
    return json.loads(wire.encode_output(value, binary=False))


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


__all__ = ["ReplayMock", "replay_mocks", "write_call"]
