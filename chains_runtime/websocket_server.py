"""Hands websocket connections to uvicorn's implementation, loaded with the first of them."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from chains_runtime.http_server import App

MAX_MESSAGE_BYTES: Final = 100 * 1024 * 1024
DEFAULT_PING_S: Final = 20.0


class WebSocketServer:
    """The websocket connections of a replica.

    Args:
        app: an ASGI application.
        transport: the Chainlet's transport settings.
    """

    def __init__(self, app: App, transport: Mapping[str, Any]) -> None:
        self._app = app
        self._transport_settings = transport
        # uvicorn's classes are not known before they are loaded.
        self._config: Any = None
        self._state: Any = None
        self._protocol: Any = None

    def load(self) -> None:
        """Load the implementation; a Chainlet that has a websocket endpoint does so at its start."""
        if self._config is not None:
            return
        from uvicorn.config import Config
        from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
        from uvicorn.server import ServerState

        config = Config(
            self._app,
            http=asyncio.Protocol,  # the connections come from our own server
            ws=WebSocketsSansIOProtocol,
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_ping_interval=_seconds(self._transport_settings, "ping_interval_seconds"),
            ws_ping_timeout=_seconds(self._transport_settings, "ping_timeout_seconds"),
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            proxy_headers=False,
        )
        config.load()
        self._protocol, self._state, self._config = WebSocketsSansIOProtocol, ServerState(), config

    def take_over(self, transport: asyncio.Transport, request: bytes) -> None:
        """Serve the connection on which `request` arrived."""
        self.load()
        protocol = self._protocol(config=self._config, server_state=self._state, app_state={})
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(request)

    @property
    def tasks(self) -> "set[asyncio.Task[None]]":
        """Of the connections that are open."""
        found: set[asyncio.Task[None]] = set() if self._state is None else self._state.tasks
        return found

    async def close(self, timeout_s: float) -> None:
        """End every connection, telling the peers that the server goes away."""
        if self._state is None:
            return
        for connection in tuple(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(tuple(self._state.tasks), timeout=timeout_s)
        for task in tuple(self._state.tasks):
            task.cancel()


def _seconds(settings: Mapping[str, Any], key: str) -> float:
    found = settings.get(key)
    return float(found) if isinstance(found, int | float) else DEFAULT_PING_S


__all__ = ["MAX_MESSAGE_BYTES", "WebSocketServer"]
