"""The model of a wrapped Truss in a replica of ours: made, loaded and called as its server would.

The class is the author's `model/model.py`: `__init__` with the arguments it names, `load` once,
then `preprocess`, `predict` and `postprocess` for each call, each of them sync or async. What
`predict` answers, a value or a stream, is seen only when it has answered.
"""

import asyncio
import contextvars
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chains_protocol.rpc import PREDICT_PATH
from chains_runtime.signature import CallSignature, Mode

if TYPE_CHECKING:
    from chains_runtime.websocket import ServerWebSocket

_END: Final = object()


@dataclass(frozen=True)
class ServerArguments:
    """What a Truss server hands to a model's `__init__`, by name."""

    config: Mapping[str, Any]
    data_dir: Path | None
    secrets: Mapping[str, str]
    environment: Mapping[str, str] | None

    def fitting(self, init: Callable[..., Any]) -> dict[str, Any]:
        """Those that `init` names, or all of them if it takes any."""
        offered: dict[str, Any] = {
            "config": dict(self.config),
            "data_dir": self.data_dir,
            "secrets": self.secrets,
            "environment": dict(self.environment) if self.environment else None,
            "lazy_data_resolver": LazyData(),
        }
        parameters = inspect.signature(init).parameters
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return offered
        return {name: value for name, value in offered.items() if name in parameters}


class LazyData:
    """Stands for the server's resolver of lazily downloaded weights: there is nothing to wait for."""

    def block_until_download_complete(self, *_: Any, **__: Any) -> None:
        """Nothing is downloaded here."""


def make_model(cls: type, arguments: ServerArguments, loop: asyncio.AbstractEventLoop) -> Any:
    """Construct the model and run its `load`, once.

    Args:
        cls: the author's class.
        arguments: what its `__init__` may ask for.
        loop: the replica's event loop, on which coroutines of the model run; the caller is in another thread.
    """
    model = cls(**arguments.fitting(cls))
    if arguments.environment and hasattr(model, "setup_environment"):
        _finished(model.setup_environment(dict(arguments.environment)), loop)
    if hasattr(model, "load"):
        _finished(model.load(), loop)
    return model


def _finished(result: Any, loop: asyncio.AbstractEventLoop) -> Any:
    """The result itself; of a coroutine, what it returns."""
    if not inspect.isawaitable(result):
        return result

    async def wait() -> Any:
        return await result

    context = contextvars.copy_context()
    made: asyncio.Future[Any] = asyncio.run_coroutine_threadsafe(_inside(context, wait), loop)  # type: ignore[assignment]  # of `concurrent.futures`
    return made.result()


async def _inside(context: contextvars.Context, work: Callable[[], Any]) -> Any:
    """Run a coroutine as code of the generation whose context this is."""
    return await asyncio.get_running_loop().create_task(work(), context=context)


def model_signature(cls: type) -> CallSignature:
    """A signature that checks nothing: a Truss has no types."""
    mode = Mode.OPEN if hasattr(cls, "predict") else Mode.WEBSOCKET if hasattr(cls, "websocket") else None
    if mode is None:
        raise TypeError(f"`{cls.__qualname__}` has no method `predict`")
    return CallSignature(
        owner=cls.__qualname__, name="predict", mode=mode, parameters={}, optional=frozenset(), result=Any
    )


class ModelCalls:
    """Calls one model, as its server would.

    Args:
        model: an object of the author's class.
        pool: threads for its sync methods.
    """

    def __init__(self, model: Any, pool: Callable[[], Executor]) -> None:
        self._pool = pool
        self._steps = tuple(
            _Step.of(getattr(model, name)) for name in ("preprocess", "predict") if hasattr(model, name)
        )
        self._postprocess = _Step.of(model.postprocess) if hasattr(model, "postprocess") else None

    async def __call__(self, inputs: Any, make_request: Callable[[], Any]) -> Any:
        """The answer: a value, or an asynchronous iterator for a stream, which `postprocess` does not see."""
        value = inputs
        for step in self._steps:
            value = await self._run(step, value, make_request)
        if inspect.isgenerator(value):
            return self._iterated(value)
        if inspect.isasyncgen(value) or self._postprocess is None:
            return value
        return await self._run(self._postprocess, value, make_request)

    async def _run(self, step: "_Step", value: Any, make_request: Callable[[], Any]) -> Any:
        arguments = step.arguments(value, make_request)
        if step.is_async:
            result = step.method(*arguments)
            return await result if inspect.isawaitable(result) else result
        return await self._in_thread(lambda: step.method(*arguments))

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        """Run sync code; a thread cannot be stopped, so its end is waited for in any case."""
        context = contextvars.copy_context()
        done = asyncio.wrap_future(self._pool().submit(context.run, work))
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.wait([done])
            if not done.cancelled():
                done.exception()  # seen: nobody is left to tell
            raise

    async def _iterated(self, items: Iterator[Any]) -> AsyncIterator[Any]:
        """A sync generator's items; each is made in a thread."""
        try:
            while (item := await self._in_thread(lambda: next(items, _END))) is not _END:
                yield item
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                await self._in_thread(close)


@dataclass(frozen=True)
class _Step:
    """One method of the model, and whether it takes inputs, the request, or both."""

    method: Callable[..., Any]
    is_async: bool
    takes: tuple[str, ...]

    @classmethod
    def of(cls, method: Callable[..., Any]) -> "_Step":
        parameters = [p for p in inspect.signature(method).parameters.values() if p.kind is not p.VAR_KEYWORD]
        takes = tuple("request" if _is_request(p.annotation) else "inputs" for p in parameters[:2])
        is_async = inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
        return cls(method, is_async, takes)

    def arguments(self, value: Any, make_request: Callable[[], Any]) -> tuple[Any, ...]:
        return tuple(make_request() if kind == "request" else value for kind in self.takes)


def _is_request(annotation: Any) -> bool:
    """Whether a parameter is typed as the server's request, in text or as the class of starlette."""
    if isinstance(annotation, str):
        return annotation.rpartition(".")[2] == "Request"
    return getattr(annotation, "__name__", "") == "Request" and getattr(
        annotation, "__module__", ""
    ).startswith("starlette.")


def starlette_request(headers: Mapping[bytes, bytes], body: bytes) -> Any:
    """The request as starlette's class, which the author's code has imported."""
    from importlib import import_module

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": PREDICT_PATH,
        "raw_path": PREDICT_PATH.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(name, value) for name, value in headers.items() if value],
    }
    return import_module("starlette.requests").Request(scope, receive)


def starlette_websocket(socket: "ServerWebSocket") -> Any:
    """An accepted socket as starlette's class if that is loaded, which the author's code then expects."""
    module = sys.modules.get("starlette.websockets")
    if module is None:
        return socket
    wrapped = module.WebSocket(*socket.parts)
    wrapped.client_state = wrapped.application_state = module.WebSocketState.CONNECTED
    return wrapped


__all__ = [
    "LazyData",
    "ModelCalls",
    "ServerArguments",
    "make_model",
    "model_signature",
    "starlette_request",
    "starlette_websocket",
]
