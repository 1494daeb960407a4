"""Who answers what: the gateway's few paths, its listeners and its life."""

import json
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from aiohttp import hdrs, web

from chains_platform.gateway.access import Access, token_matches
from chains_platform.gateway.admin import Admin
from chains_platform.gateway.calls import Refusal, Router
from chains_platform.gateway.forward import Forwarder
from chains_platform.gateway.sockets import SocketForwarder
from chains_platform.gateway.table import Table
from chains_platform.http1 import Client
from chains_protocol.replica import ADMIN_PREFIX
from chains_protocol.routes import GatewayRoutes, GatewayTarget
from chains_protocol.rpc import AUTHORIZATION

_CHAINS: Final = "/chains/"
_RUN_REMOTE: Final = "/run_remote"
_WEBSOCKET: Final = "/websocket"

LOGGER: Final = logging.getLogger("chains.gateway")


@dataclass(frozen=True)
class GatewaySettings:
    """What a gateway is started with. `table_file` keeps the table over restarts."""

    api_token: str = field(repr=False)
    admin_token: str = field(repr=False)
    table_file: Path
    access: Access = field(default_factory=Access)
    wait_s: float = 10.0
    """How long a request waits for a replica that is being restarted."""


class Gateway:
    """The handler of every request; `serve` gives it listeners."""

    def __init__(self, settings: GatewaySettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._access = settings.access
        self._token = settings.api_token.encode()
        self._http = Client()
        self.router = Router(Table.of(load_table(settings.table_file)), clock, settings.wait_s)
        self._forwarder = Forwarder(self.router, self._http)
        self._sockets = SocketForwarder(self.router)
        self._admin = Admin(self.router, self._http, settings.admin_token, settings.table_file)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            return await self._dispatch(request)
        except Refusal as refusal:
            return error_response(refusal)

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        host = request.headers.get(hdrs.HOST, "")
        if not self._access.host_allowed(host):
            raise Refusal(HTTPStatus.FORBIDDEN, f"host `{host}` is not served here")
        if not self._access.origin_allowed(request.headers.get(hdrs.ORIGIN), host):
            raise Refusal(HTTPStatus.FORBIDDEN, "requests from pages of other origins are refused")
        path = request.raw_path.partition("?")[0]
        if path.startswith(_CHAINS):
            return await self._invoke(request, path)
        if path == "/health":
            return web.json_response({"ok": True})
        if path.startswith(ADMIN_PREFIX + "/"):
            return await self._admin.handle(request, path.removeprefix(ADMIN_PREFIX))
        raise Refusal(HTTPStatus.NOT_FOUND, "nothing is served at this path")

    async def _invoke(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        if not token_matches(request.headers.get(AUTHORIZATION, ""), self._token):
            raise Refusal(
                HTTPStatus.UNAUTHORIZED,
                "a valid token is needed: `Authorization: Api-Key TOKEN`",
                {hdrs.WWW_AUTHENTICATE: "Bearer"},
            )
        if path.endswith(_RUN_REMOTE):
            target = self._target(path.removesuffix(_RUN_REMOTE))
            _need_method(request, hdrs.METH_POST)
            if target.is_websocket:
                raise Refusal(HTTPStatus.BAD_REQUEST, f"this chain speaks websocket, at `...{_WEBSOCKET}`")
            return await self._forwarder.run_remote(request, target)
        if path.endswith(_WEBSOCKET):
            target = self._target(path.removesuffix(_WEBSOCKET))
            _need_method(request, hdrs.METH_GET)
            if not target.is_websocket:
                raise Refusal(HTTPStatus.BAD_REQUEST, f"this chain takes requests, at `...{_RUN_REMOTE}`")
            if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
                raise Refusal(HTTPStatus.UPGRADE_REQUIRED, "a websocket handshake is needed")
            return await self._sockets.websocket(request, target)
        raise Refusal(HTTPStatus.NOT_FOUND, "a chain is called at `/chains/CHAIN/SELECTOR/run_remote`")

    def _target(self, path: str) -> GatewayTarget:
        chain, _, selector = path.removeprefix(_CHAINS).partition("/")
        if "%" in path:
            chain, selector = unquote(chain), unquote(selector)
        table = self.router.table
        found = table.find(chain, selector)
        if found is not None:
            return found
        if chain in table.chains:
            raise Refusal(HTTPStatus.NOT_FOUND, f"chain `{chain}` has nothing active at `{selector}`")
        raise Refusal(HTTPStatus.NOT_FOUND, f"there is no active chain `{chain}`")

    def close(self) -> None:
        """Close the connections to replicas."""
        self._http.close()


def _need_method(request: web.BaseRequest, method: str) -> None:
    if request.method != method:
        raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"use {method}", {hdrs.ALLOW: method})


def error_response(refusal: Refusal) -> web.Response:
    """The gateway's own error answers: JSON with one sentence."""
    body = json.dumps({"error": refusal.message}).encode()
    return web.Response(
        status=refusal.status, body=body, content_type="application/json", headers=refusal.headers
    )


def load_table(path: Path) -> GatewayRoutes:
    """The table of the last run; an empty one if there is none or it can't be read."""
    try:
        return GatewayRoutes.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return GatewayRoutes(serial=0)
    except (OSError, ValueError) as error:
        LOGGER.warning("the saved table is not readable, starting with an empty one: %s", error)
        return GatewayRoutes(serial=0)


class Listener:
    """A gateway that listens. Made by `serve`."""

    def __init__(self, gateway: Gateway, runner: web.ServerRunner) -> None:
        self.gateway = gateway
        self._runner = runner

    async def close(self) -> None:
        """Stop listening, give open requests the runner's grace, close the rest."""
        await self._runner.cleanup()
        self.gateway.close()


async def serve(gateway: Gateway, bound: socket.socket, admin: Path, grace_s: float = 30.0) -> Listener:
    """Listen on a bound TCP socket, and on a Unix socket for the control plane."""
    server = web.Server(gateway.handle, handler_cancellation=True, access_log=None, auto_decompress=False)
    runner = web.ServerRunner(server, shutdown_timeout=grace_s)
    await runner.setup()
    try:
        await web.SockSite(runner, bound, backlog=1024).start()
        admin.unlink(missing_ok=True)
        await web.UnixSite(runner, admin, backlog=128).start()
        admin.chmod(0o600)
    except BaseException:
        await runner.cleanup()
        raise
    return Listener(gateway, runner)


__all__ = ["Gateway", "GatewaySettings", "Listener", "error_response", "load_table", "serve"]
