"""The ASGI application of a replica: routes, tokens, health, administration.

Source: the endpoints of a Truss server as users call them, and `chains_protocol.replica`.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from chains_protocol.errors import DiagnosticsError
from chains_protocol.replica import (
    ADMIN_PREFIX,
    PrepareRequest,
    ReplicaState,
    RetireRequest,
    TransactionRequest,
)
from chains_protocol.routes import ReplicaRoutes
from chains_protocol.rpc import PREDICT_PATH, WEBSOCKET_PATH
from chains_runtime.asgi import (
    CALLER_FAULT,
    CHAINLET_FAULT,
    SERVER_FAULT,
    Receive,
    Scope,
    Send,
    read_body,
    send_bytes,
    send_error,
    send_json,
)
from chains_runtime.calls import serve_call
from chains_runtime.health import is_healthy
from chains_runtime.hotswap.transactions import Patcher
from chains_runtime.replica import Replica
from chains_runtime.request_context import read_headers

_MODELS: Final = "/v1/models/"
_NOT_OFFERED: Final = frozenset(
    ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages", "/v1/responses")
)

ModelT = TypeVar("ModelT", bound=BaseModel)
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


class ReplicaApp:
    """Serves one replica."""

    def __init__(self, replica: Replica, patcher: Patcher) -> None:
        self._replica = replica
        self._patcher = patcher
        self._open: dict[tuple[str, str], Handler] = {
            ("GET", "/"): self._live,
            ("GET", "/metrics"): self._metrics,
            ("GET", "/ping"): self._loaded,
            ("POST", "/invocations"): self._predict,
        }
        self._admin: dict[tuple[str, str], Handler] = {
            ("GET", f"{ADMIN_PREFIX}/status"): self._status,
            ("PUT", f"{ADMIN_PREFIX}/routes"): self._routes,
            ("POST", f"{ADMIN_PREFIX}/prepare"): self._prepare,
            ("POST", f"{ADMIN_PREFIX}/commit"): self._commit,
            ("POST", f"{ADMIN_PREFIX}/abort"): self._abort,
            ("POST", f"{ADMIN_PREFIX}/retire"): self._retire,
            ("POST", f"{ADMIN_PREFIX}/drain"): self._drain,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            if scope["path"] == PREDICT_PATH and scope["method"] == "POST":
                await self._predict(scope, receive, send)
            else:
                await self._handler(scope["method"], scope["path"])(scope, receive, send)
        elif kind == "websocket":
            await self._websocket(scope, receive, send)

    def _handler(self, method: str, path: str) -> Handler:
        if path.startswith(ADMIN_PREFIX + "/"):
            return self._find(self._admin, method, path)
        if path.startswith(_MODELS):
            return self._model_handler(method, path.removeprefix(_MODELS))
        if path in _NOT_OFFERED:
            return _not_offered
        return self._find(self._open, method, path)

    def _find(self, table: dict[tuple[str, str], Handler], method: str, path: str) -> Handler:
        found = table.get(("GET" if method == "HEAD" else method, path))
        if found is not None:
            return found
        return _wrong_method if any(known == path for _, known in table) else _not_found

    def _model_handler(self, method: str, rest: str) -> Handler:
        """`{name}`, `{name}/loaded`, `{name}/schema`, `{name}:predict`; any name will do (R-10)."""
        name, slash, tail = rest.partition("/")
        _, colon, action = name.partition(":")
        table: dict[tuple[str, str], Handler]
        if colon and not slash and action in ("predict", "predict_binary"):
            table = {("POST", rest): self._predict}
        elif not colon and name and (not slash or tail in ("loaded", "schema")):
            handlers: dict[str, Handler] = {"": self._ready, "loaded": self._loaded, "schema": self._schema}
            table = {("GET", rest): handlers[tail]}
        else:
            return _not_found
        return self._find(table, method, rest)

    # --- open routes -------------------------------------------------------------------------------

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, 200, document=True)

    async def _ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._serves():
            healthy = await is_healthy(self._replica)
            if self._serves():  # it may have begun to drain meanwhile
                self._replica.state = ReplicaState.READY if healthy else ReplicaState.UNHEALTHY
        if self._replica.state is ReplicaState.READY:
            await send_json(send, 200, {})
        else:
            await self._send_not_ready(send)

    async def _loaded(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._serves():
            await send_json(send, 200, {})
        else:
            await self._send_not_ready(send)

    def _serves(self) -> bool:
        return self._replica.state in (ReplicaState.READY, ReplicaState.UNHEALTHY)

    async def _send_not_ready(self, send: Send) -> None:
        name = self._replica.package.spec.display_name
        text = f"Chainlet `{name}` is not ready: {self._replica.state}."
        await send_error(send, 503, text, code=CHAINLET_FAULT)

    async def _metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        from chains_runtime.metrics import CONTENT_TYPE, metrics_text

        await send_bytes(send, 200, metrics_text(self._replica).encode(), CONTENT_TYPE)

    # --- routes for callers ------------------------------------------------------------------------

    async def _predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = read_headers(scope["headers"])
        if not self._replica.routes.accepts.admits(headers.authorization):
            await send_error(send, 401, "A valid token is required.", code=CALLER_FAULT)
            return
        await serve_call(self._replica, headers, receive, send)

    async def _schema(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._replica.routes.accepts.admits(read_headers(scope["headers"]).authorization):
            await send_error(send, 401, "A valid token is required.", code=CALLER_FAULT)
        elif not self._replica.is_loaded:
            await self._send_not_ready(send)
        elif self._replica.newest.package.spec.endpoint.is_websocket:
            await send_error(send, 404, "A websocket endpoint has no schema.", code=CALLER_FAULT)
        else:
            endpoint = self._replica.newest.package.spec.endpoint
            document = {
                "input_schema": endpoint.input_schema,
                "output_schema": endpoint.output_schema,
                "supports_streaming": endpoint.is_streaming,
            }
            await send_json(send, 200, document)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != WEBSOCKET_PATH:
            await send({"type": "websocket.close", "code": 1008, "reason": "Not Found"})
            return
        from chains_runtime.websocket import serve_websocket

        await serve_websocket(self._replica, scope, receive, send)

    # --- routes for the platform -------------------------------------------------------------------

    async def _status(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await self._admitted(scope, send):
            await self._send_status(send)

    async def _routes(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await self._admin_request(ReplicaRoutes, scope, receive, send)
        if request is not None:
            self._replica.set_routes(request)
            await self._send_status(send)

    async def _prepare(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await self._admin_request(PrepareRequest, scope, receive, send)
        if request is not None:
            await _send_model(send, await self._patcher.prepare(request))

    async def _commit(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await self._admin_request(TransactionRequest, scope, receive, send)
        if request is None:
            return
        try:
            self._patcher.commit(request.transaction)
        except DiagnosticsError as error:
            await send_error(send, 409, str(error), code=SERVER_FAULT)
            return
        await self._send_status(send)

    async def _abort(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await self._admin_request(TransactionRequest, scope, receive, send)
        if request is not None:
            await self._patcher.abort(request.transaction)
            await self._send_status(send)

    async def _retire(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await self._admin_request(RetireRequest, scope, receive, send)
        if request is not None:
            self._patcher.retire(request.below, request.open_versions)
            await self._send_status(send)

    async def _drain(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await self._admitted(scope, send):
            self._replica.drain()
            await self._send_status(send)

    async def _admitted(self, scope: Scope, send: Send) -> bool:
        if self._replica.admin.admits(read_headers(scope["headers"]).authorization):
            return True
        await send_error(send, 401, "The admin token is required.", code=CALLER_FAULT)
        return False

    async def _admin_request(
        self, model: type[ModelT], scope: Scope, receive: Receive, send: Send
    ) -> ModelT | None:
        """The request's model; None if the answer has been sent already."""
        if not await self._admitted(scope, send):
            return None
        body = await read_body(receive)
        if body is None:
            return None
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            await send_error(send, 400, str(error), code=CALLER_FAULT)
            return None

    async def _send_status(self, send: Send) -> None:
        await _send_model(send, self._replica.status())


async def _send_model(send: Send, model: BaseModel) -> None:
    await send_bytes(send, 200, model.model_dump_json().encode())


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await send_json(send, 404, {"detail": "Not Found"})


async def _wrong_method(scope: Scope, receive: Receive, send: Send) -> None:
    await send_json(send, 405, {"detail": "Method Not Allowed"})


async def _not_offered(scope: Scope, receive: Receive, send: Send) -> None:
    await send_error(send, 404, "A Chainlet does not offer this endpoint.", code=CALLER_FAULT)


__all__ = ["ReplicaApp"]
