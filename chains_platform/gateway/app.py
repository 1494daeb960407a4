"""Who answers what: the gateway's few paths, its listeners and its life."""

import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from chains_platform.gateway.access import Access, token_matches
from chains_platform.gateway.admin import JSON, Admin, TableFile
from chains_platform.gateway.calls import Refusal, Router
from chains_platform.gateway.connection import Request
from chains_platform.gateway.forward import Forwarder
from chains_platform.gateway.server import Server
from chains_platform.gateway.table import Table
from chains_platform.gateway.tunnel import Tunnel
from chains_platform.net.http1 import Client
from chains_protocol.replica import ADMIN_PREFIX
from chains_protocol.routes import GatewayTarget

_CHAINS: Final = "/chains/"
_RUN_REMOTE: Final = "/run_remote"
_WEBSOCKET: Final = "/websocket"


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
        self._table_file = TableFile(settings.table_file)
        self.router = Router(Table.of(self._table_file.load()), clock, settings.wait_s)
        self._forwarder = Forwarder(self.router, self._http)
        self._tunnel = Tunnel(self.router)
        self._admin = Admin(self.router, self._http, settings.admin_token, self._table_file)

    async def handle(self, request: Request) -> None:
        """Answer one request."""
        try:
            await self._dispatch(request)
        except Refusal as refusal:
            refuse(request, refusal)

    async def _dispatch(self, request: Request) -> None:
        host = request.header(b"host") or ""
        if not self._access.host_allowed(host):
            raise Refusal(HTTPStatus.FORBIDDEN, f"host `{host}` is not served here")
        if not self._access.origin_allowed(request.header(b"origin"), host):
            raise Refusal(HTTPStatus.FORBIDDEN, "requests from pages of other origins are refused")
        path, _, query = request.target.partition("?")
        if path.startswith(_CHAINS):
            await self._invoke(request, path)
        elif path == "/health":
            _need_method(request, "GET")
            request.respond(HTTPStatus.OK, [JSON], b'{"ok": true}')
        elif path.startswith(ADMIN_PREFIX + "/"):
            await self._admin.handle(request, path.removeprefix(ADMIN_PREFIX), query)
        else:
            raise Refusal(HTTPStatus.NOT_FOUND, "nothing is served at this path")

    async def _invoke(self, request: Request, path: str) -> None:
        if not token_matches(request.header(b"authorization") or "", self._token):
            raise Refusal(
                HTTPStatus.UNAUTHORIZED,
                "a valid token is needed: `Authorization: Api-Key TOKEN`",
                {"WWW-Authenticate": "Bearer"},
            )
        if path.endswith(_RUN_REMOTE):
            place = path.removesuffix(_RUN_REMOTE)
            if self._target(place).is_websocket:
                raise Refusal(HTTPStatus.BAD_REQUEST, f"this chain speaks websocket, at `...{_WEBSOCKET}`")
            _need_method(request, "POST")
            await self._forwarder.run_remote(request, lambda: self._target(place))
        elif path.endswith(_WEBSOCKET):
            target = self._target(path.removesuffix(_WEBSOCKET))
            _need_method(request, "GET")
            if not target.is_websocket:
                raise Refusal(HTTPStatus.BAD_REQUEST, f"this chain takes requests, at `...{_RUN_REMOTE}`")
            if not request.is_upgrade:
                raise Refusal(HTTPStatus.UPGRADE_REQUIRED, "a websocket handshake is needed")
            await self._tunnel.websocket(request, target)
        else:
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

    async def close(self) -> None:
        """Close the connections to replicas; the table is on disk when this returns."""
        self._http.close()
        await self._table_file.flush()


def _need_method(request: Request, method: str) -> None:
    if request.method != method:
        raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"use {method}", {"Allow": method})


def refuse(request: Request, refusal: Refusal) -> None:
    """The gateway's own error answers: JSON with one sentence."""
    body = json.dumps({"error": refusal.message}).encode()
    more = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    request.respond(refusal.status, [JSON, *more], body)


class Listener:
    """A gateway that listens. Made by `serve`."""

    def __init__(self, gateway: Gateway, server: Server, grace_s: float) -> None:
        self.gateway = gateway
        self._server = server
        self._grace_s = grace_s

    async def close(self) -> None:
        """Stop listening, give open requests the grace, end the rest."""
        await self._server.close(self._grace_s)
        await self.gateway.close()


async def serve(gateway: Gateway, bound: socket.socket, admin: Path, grace_s: float = 30.0) -> Listener:
    """Listen on a bound TCP socket, and on a Unix socket for the control plane."""
    server = Server(gateway.handle)
    await server.listen(bound)
    await server.listen_unix(admin)
    return Listener(gateway, server, grace_s)


__all__ = ["Gateway", "GatewaySettings", "Listener", "refuse", "serve"]
