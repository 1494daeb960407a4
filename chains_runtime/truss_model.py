"""A Chainlet inside a Truss server: what a generated `model.py` subclasses.

The server constructs the model with the arguments it knows by name (G-56), calls `load`, then
`predict` or `websocket`. Dependencies are reached over HTTP at the addresses that the platform
mounts (R-32). Nothing here knows replicas, generations or patches.
"""

import asyncio
import importlib
import inspect
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from chains_protocol.errors import Code
from chains_protocol.kinds import ChainletKind
from chains_runtime.endpoint import BadInput, BadResult, Endpoint, input_problems, is_binary
from chains_runtime.remote_stub import RemoteStub
from chains_runtime.signature import CallSignature, Mode, read_signature
from truss_chains.calling import CURRENT_REQUEST, RequestContext
from truss_chains.chainlet import chainlet_kind, is_chainlet_class
from truss_chains.context import (
    SECRET_PLACEHOLDER,
    DeployedServiceDescriptor,
    DeploymentContext,
    Environment,
)
from truss_chains.dependency import ContextMarker, DependencyMarker
from truss_chains.errors import MissingDependencyError
from truss_chains.remote_chainlet.truss_chainlet import TrussHandle, get_service_urls
from truss_chains.remote_errors import exception_to_detail, status_of
from truss_chains.text_keys import with_text_keys

_LOG: Final = logging.getLogger(__name__)


class ChainletModel:
    """Serves one Chainlet; subclasses name it.

    Args:
        config: the Truss config as a dictionary.
        data_dir: where the package's data is, or None.
        secrets: the server's secret store, read anew at each access.
        lazy_data_resolver: of weights that are downloaded lazily, or None.
        environment: `{"name": ...}` of the deployment's environment, or None.
    """

    module: ClassVar[str]
    qualname: ClassVar[str]

    def __init__(
        self,
        config: Mapping[str, Any],
        data_dir: Path | None = None,
        secrets: Mapping[str, str] | None = None,
        lazy_data_resolver: Any = None,  # the server's own class
        environment: Mapping[str, Any] | None = None,
    ) -> None:
        self._cls = _find_class(self.module, self.qualname)
        self._chainlet: Any = None  # an object of the user's class
        self._endpoint: Endpoint | None = None
        is_own = is_chainlet_class(self._cls)  # else it is a stand-in, which may leave out types
        is_model = is_own and chainlet_kind(self._cls) is ChainletKind.MODEL
        self._signature = read_signature(
            self._cls, "predict" if is_model else "run_remote", untyped=not is_own
        )
        self._context = DeploymentContext(
            chainlet_to_service=dict(_services(config)),
            secrets=StoredSecrets(secrets or {}),
            data_dir=data_dir,
            environment=Environment(name=environment["name"]) if environment else None,
        )
        if lazy_data_resolver is not None:
            lazy_data_resolver.block_until_download_complete()
        # The server looks at the instance to learn what the model offers, and how.
        if self._signature.mode is Mode.WEBSOCKET:
            self.websocket = self._serve_websocket
        else:
            self.predict = _with_request_type(_PREDICT[self._signature.mode](self))
        if hasattr(self._cls, "is_healthy"):
            self.is_healthy = self._is_healthy

    def load(self) -> None:
        """Construct the Chainlet with stubs and context."""
        _LOG.info("Loading Chainlet `%s`.", self._cls.__name__)
        self._signature.compile()
        self._chainlet = self._cls(**self._arguments())
        self._endpoint = Endpoint(self._signature, getattr(self._chainlet, self._signature.name))

    def _arguments(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, parameter in inspect.signature(self._cls).parameters.items():
            if isinstance(parameter.default, DependencyMarker):
                found[name] = self._dependency(parameter.default.chainlet_class)
            elif isinstance(parameter.default, ContextMarker):
                found[name] = self._context
        return found

    def _dependency(self, callee: Any) -> object:
        """A stub, or a handle of a sibling that wraps a Truss (G-54). `callee` is a Chainlet class."""
        if chainlet_kind(callee) is ChainletKind.TRUSS:
            return TrussHandle(callee.display_name)
        descriptor = self._context.get_service_descriptor(callee.__name__)
        return RemoteStub(callee, descriptor, self._context.get_baseten_api_key())

    # --- calls -------------------------------------------------------------------------------------

    def _loaded(self) -> Endpoint:
        if self._endpoint is None:
            raise RuntimeError(f"Chainlet `{self._cls.__name__}` is not loaded")
        return self._endpoint

    def _begin(self, inputs: Mapping[str, Any], request: Any) -> tuple[Endpoint, dict[str, Any], bool]:
        """Enter the request's context; validated arguments. `request` is the server's, of starlette."""
        headers = {str(k).lower(): str(v) for k, v in request.headers.items()}
        CURRENT_REQUEST.set(RequestContext.from_headers(headers, time.monotonic()))
        endpoint = self._loaded()
        try:
            arguments = endpoint.signature.arguments.validate_python(inputs)
        except ValueError as error:  # pydantic's ValidationError is one
            problems = getattr(error, "errors", None)
            text = input_problems(endpoint.signature.owner, error) if problems else str(error)  # type: ignore[arg-type]
            raise BadInput(text) from error
        return endpoint, arguments, is_binary(headers.get("content-type", "").encode())

    async def _serve_websocket(self, websocket: Any) -> None:
        """`websocket` is starlette's, already accepted by the server (R-40)."""
        from chains_runtime.websocket import ServerWebSocket

        headers = {str(k).lower(): str(v) for k, v in websocket.headers.items()}
        CURRENT_REQUEST.set(RequestContext.from_headers(headers, time.monotonic()))
        socket = ServerWebSocket(websocket.scope, websocket.receive, websocket.send)
        await self._loaded().method(socket)

    async def _is_healthy(self) -> bool | None:
        """The Chainlet's own opinion; None before it was constructed (R-12)."""
        if self._chainlet is None:
            return None
        check = self._chainlet.is_healthy
        verdict = check() if inspect.iscoroutinefunction(check) else await asyncio.to_thread(check)
        return bool(await verdict if inspect.isawaitable(verdict) else verdict)


# --- the three forms of `predict`: the server tells them apart by their kind of function ------------------


def _async_predict(model: ChainletModel) -> Callable[..., Any]:
    async def predict(inputs: Any, request: Any) -> Any:
        try:
            endpoint, arguments, binary = model._begin(inputs, request)
            return plain_answer(endpoint.signature, await endpoint.method(**arguments), binary=binary)
        except Exception as error:  # whatever user code raises is the answer
            raise as_http_error(error) from error

    return predict


def _sync_predict(model: ChainletModel) -> Callable[..., Any]:
    def predict(inputs: Any, request: Any) -> Any:
        try:
            endpoint, arguments, binary = model._begin(inputs, request)
            return plain_answer(endpoint.signature, endpoint.method(**arguments), binary=binary)
        except Exception as error:  # as above
            raise as_http_error(error) from error

    return predict


def _stream_predict(model: ChainletModel) -> Callable[..., Any]:
    async def predict(inputs: Any, request: Any) -> AsyncIterator[bytes]:
        from chains_protocol.spec import StreamItem
        from chains_runtime.stream_frames import item_writer

        try:
            endpoint, arguments, binary = model._begin(inputs, request)
            item = endpoint.signature.stream_item or StreamItem.BYTES
            write = item_writer(item, endpoint.signature.answer, binary=binary)
            async for value in endpoint.items(arguments):
                yield write(value)
        except Exception as error:  # as above
            raise as_http_error(error) from error

    return predict


def _with_request_type(predict: Callable[..., Any]) -> Callable[..., Any]:
    """`predict` as the server accepts it: it refuses a second argument that is not typed as its request."""
    if "starlette" in sys.modules:  # always so below that server
        predict.__annotations__["request"] = importlib.import_module("starlette.requests").Request
    return predict


_PREDICT: Final[Mapping[Mode, Callable[[ChainletModel], Callable[..., Any]]]] = {
    Mode.ASYNC: _async_predict,
    Mode.SYNC: _sync_predict,
    Mode.STREAM: _stream_predict,
}


def plain_answer(signature: CallSignature, result: object, *, binary: bool) -> Any:
    """The result as the server serialises it: JSON-able, or what msgpack takes."""
    adapter = signature.answer
    try:
        checked = adapter.validate_python(result)
        if not binary:
            return adapter.dump_python(checked, mode="json", by_alias=True)
        return with_text_keys(adapter.dump_python(checked, by_alias=True))
    except ValueError as error:  # pydantic's two error classes are such
        raise BadResult(
            f"the result of `{signature.owner}.{signature.name}` does not fit: {error}"
        ) from error


def as_http_error(error: Exception) -> Exception:
    """The exception that makes the server answer with our status and body; `error` if the server has none."""
    try:
        # The server brings it; nothing of ours depends on it.
        make: Callable[..., Exception] = importlib.import_module("fastapi").HTTPException
    except ImportError:
        return error
    if isinstance(error, BadInput):
        return make(status_code=400, detail=str(error))
    _LOG.error("%s", error, exc_info=error)
    return make(status_code=status_of(error), detail=exception_to_detail(error).model_dump())


# --- what the server hands over ----------------------------------------------------------------------------


class StoredSecrets(Mapping[str, str]):
    """The server's secret store with the manners of a mapping (R-31): `in` and `get` work, `***` is missing.

    Values are read at each access, so a rotated secret is seen.
    """

    def __init__(self, store: Mapping[str, str]) -> None:
        self._store = store

    def __getitem__(self, name: str) -> str:
        try:
            value = self._store[name]
        except Exception as error:  # the store has exceptions of its own for what is missing
            raise self._missing(name) from error
        if not value or value == SECRET_PLACEHOLDER:
            raise self._missing(name)
        return value

    def _missing(self, name: str) -> KeyError:
        from chains_runtime.context import SecretNotFound

        return SecretNotFound(
            f"The secret `{name}` is missing: it has to be in `secret_keys` of the Chainlet's `Assets`, "
            "and in the secret manager of the workspace.",
            code=Code.MISSING_SECRET,
        )

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError("secrets can't be listed")

    def __len__(self) -> int:
        return len(self._store)

    def __contains__(self, name: object) -> bool:
        try:
            return bool(self[str(name)])
        except KeyError:
            return False


def _find_class(module: str, qualname: str) -> type:
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    if not isinstance(found, type):
        raise MissingDependencyError(f"`{module}.{qualname}` is not a class.", code=Code.BAD_PACKAGE)
    return found


def _services(config: Mapping[str, Any]) -> Iterator[tuple[str, DeployedServiceDescriptor]]:
    """The dependencies by class name, with their addresses (R-32)."""
    metadata = (config.get("model_metadata") or {}).get("chains_metadata") or {}
    for class_name, service in (metadata.get("chainlet_to_service") or {}).items():
        urls = get_service_urls(service["display_name"])
        # `internal_url` wins, so the other one is left out where both exist.
        predict_url = urls.predict_url if urls.internal_url is None else None
        yield (
            class_name,
            DeployedServiceDescriptor.model_validate(
                {**service, "predict_url": predict_url, "internal_url": urls.internal_url}
            ),
        )


__all__ = ["ChainletModel", "StoredSecrets", "as_http_error", "plain_answer"]
