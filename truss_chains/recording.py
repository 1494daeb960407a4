"""Calls between Chainlets in `run_local`, told one by one: the seam of recorders and of replays."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from truss_chains.endpoint_wire import EndpointWire


@dataclass(frozen=True)
class CallRecord:
    """One finished call of a dependency.

    Args:
        caller: class name of the Chainlet that called.
        callee: class name of the dependency, also when a mock stood in for it.
        method: name of its endpoint.
        inputs: the arguments that were given, by parameter.
        output: the result; of a stream, the list of the items that were read.
        error: the exception that the caller got, or None.
        started: Unix seconds.
        duration_s: seconds until the result, or until the stream ended or was left.
    """

    caller: str
    callee: str
    method: str
    inputs: Mapping[str, Any]
    output: Any = None
    error: BaseException | None = None
    started: float = 0.0
    duration_s: float = 0.0


Record = Callable[[CallRecord], None]


@dataclass
class _Call:
    """A call that runs; filled while it does."""

    output: Any = None
    items: list[Any] | None = None
    error: BaseException | None = field(default=None)


class RecordingStub:
    """Stands in a Chainlet for a dependency: calls it, and tells each call.

    All else about the dependency is reached through it unchanged.

    Args:
        target: a dependency's instance, a mock or another stub.
        wire: of the dependency's endpoint.
        caller: class name of the Chainlet that gets this stub.
        record: told each call when it ends.
        clock: monotonic seconds.
        now: Unix seconds.
    """

    def __init__(
        self,
        target: Any,
        wire: EndpointWire,
        caller: str,
        record: Record,
        *,
        clock: Callable[[], float] = time.perf_counter,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._target = target
        self._wire = wire
        self._caller = caller
        self._record = record
        self._clock = clock
        self._now = now
        endpoint = wire.endpoint
        if wire.is_streaming:
            self.run_remote: Callable[..., Any] = self._stream
        elif endpoint.is_async:
            self.run_remote = self._call
        else:
            self.run_remote = self._call_blocking

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # probes of Python itself
            raise AttributeError(name)
        return getattr(self._target, name)

    async def _call(self, *args: Any, **kwargs: Any) -> Any:
        with self._recorded(args, kwargs) as call:
            call.output = await self._target.run_remote(*args, **kwargs)
        return call.output

    def _call_blocking(self, *args: Any, **kwargs: Any) -> Any:
        with self._recorded(args, kwargs) as call:
            call.output = self._target.run_remote(*args, **kwargs)
        return call.output

    async def _stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with self._recorded(args, kwargs) as call:
            call.items = []
            async for item in self._target.run_remote(*args, **kwargs):
                call.items.append(item)
                yield item

    @contextmanager
    def _recorded(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        inputs = self._inputs(args, kwargs)
        started, since = self._now(), self._clock()
        call = _Call()
        try:
            yield call
        except GeneratorExit:  # the reader left the stream: not an error
            raise
        except BaseException as error:
            call.error = error
            raise
        finally:
            self._record(
                CallRecord(
                    caller=self._caller,
                    callee=self._wire.owner,
                    method=self._wire.endpoint.method_name,
                    inputs=inputs,
                    output=call.output if call.items is None else call.items,
                    error=call.error,
                    started=started,
                    duration_s=self._clock() - since,
                )
            )

    def _inputs(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return self._wire.bind(args, kwargs)
        except TypeError:  # the target will raise it, or is a mock that takes other arguments
            return {**{str(n): value for n, value in enumerate(args)}, **kwargs}


__all__ = ["CallRecord", "Record", "RecordingStub"]
