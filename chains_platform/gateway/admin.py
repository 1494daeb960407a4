"""What the control plane tells and asks the gateway, below `/_chains/`."""

import asyncio
import logging
import os
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from pydantic import ValidationError

from chains_platform.gateway.access import token_matches
from chains_platform.gateway.calls import Refusal, Router
from chains_platform.gateway.connection import Request
from chains_platform.gateway.table import Table
from chains_platform.layout import write_private
from chains_platform.net.http1 import Client
from chains_protocol.routes import GatewayRoutes, GatewayStatus
from chains_protocol.rpc import JSON_TYPE

JSON: Final = (b"content-type", JSON_TYPE.encode())
_MAX_TABLE_BYTES: Final = 64 * 1024 * 1024
_MAX_WAIT_S: Final = 3600.0
_LOGGER: Final = logging.getLogger("chains.gateway")


class TableFile:
    """Keeps the newest table on disk, written beside the requests and not in their way.

    A table is served from the moment of its assignment; should this process be killed in the
    millisecond before it is written, the control plane gives it again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._newest: bytes | None = None
        self._writing: asyncio.Task[None] | None = None

    def load(self) -> GatewayRoutes:
        """The table of the last run; an empty one if there is none or it can't be read."""
        try:
            return GatewayRoutes.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return GatewayRoutes(serial=0)
        except (OSError, ValueError) as error:
            _LOGGER.warning("the saved table is not readable, starting with an empty one: %s", error)
            return GatewayRoutes(serial=0)

    def save(self, data: bytes) -> None:
        """Write `data` soon, unless something newer comes before."""
        self._newest = data
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def flush(self) -> None:
        """Return when the newest table is written."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        while self._newest is not None:
            data, self._newest = self._newest, None
            try:
                await asyncio.to_thread(write_private, self._path, data)
            except OSError as error:
                # serving goes on; only a restart of the gateway would miss this table
                _LOGGER.error("the table could not be saved to %s: %s", self._path, error)
        self._writing = None


class Admin:
    """Table, status, and the question when older requests have ended."""

    def __init__(self, router: Router, http: Client, token: str, table_file: TableFile) -> None:
        self._router = router
        self._http = http
        self._token = token.encode()
        self._table_file = table_file

    async def handle(self, request: Request, path: str, query: str) -> None:
        """Answer one admin request; `path` is what follows the prefix."""
        if not token_matches(request.header(b"authorization") or "", self._token):
            raise Refusal(HTTPStatus.UNAUTHORIZED, "the platform's admin token is needed")
        match request.method, path:
            case "PUT", "/routes":
                await self._replace(request)
            case "GET", "/status":
                pass
            case "GET", "/drained":
                await self._wait_drained(query)
            case _:
                raise Refusal(HTTPStatus.NOT_FOUND, "nothing is served at this path")
        request.respond(HTTPStatus.OK, [JSON], self._status())

    async def _replace(self, request: Request) -> None:
        body = await request.body.read_up_to(_MAX_TABLE_BYTES)
        if not request.body.complete:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the table is too large")
        try:
            routes = GatewayRoutes.model_validate_json(body)
        except ValidationError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"not a table of routes: {error}") from error
        if routes.serial < self._router.table.routes.serial:
            return  # overtaken by a newer table; the status says which one is served
        self._router.replace(Table.of(routes))
        self._forget_connections()
        self._table_file.save(body)

    def _forget_connections(self) -> None:
        current = self._router.table.addresses()
        for address in self._http.addresses:
            if address not in current:
                self._http.forget(address)

    async def _wait_drained(self, query: str) -> None:
        asked = dict(parse_qsl(query))
        try:
            deployment, below = asked["deployment"], int(asked["below"])
            timeout_s = min(float(asked.get("timeout_s", "30")), _MAX_WAIT_S)
        except (KeyError, ValueError) as error:
            raise Refusal(
                HTTPStatus.BAD_REQUEST, "`deployment`, `below` and `timeout_s` are needed"
            ) from error
        await self._router.flights.wait_drained(deployment, below, timeout_s)

    def _status(self) -> bytes:
        status = GatewayStatus(
            pid=os.getpid(),
            serial=self._router.table.routes.serial,
            in_flight=self._router.flights.counts(),
        )
        return status.model_dump_json().encode()


__all__ = ["JSON", "Admin", "TableFile"]
