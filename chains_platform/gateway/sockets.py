"""Websockets: a client's connection joined to one at a replica, messages and close codes both ways."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

import aiohttp
from aiohttp import WSCloseCode, WSMsgType, web
from multidict import CIMultiDict

from chains_platform.gateway.calls import Call, Chosen, Refusal, Router
from chains_platform.gateway.forward import forwarded_headers
from chains_platform.http1 import UNIX_SCHEME
from chains_protocol.routes import GatewayTarget
from chains_protocol.rpc import AUTHORIZATION, REVISION, WEBSOCKET_PATH, Revision

_MAX_MESSAGE_BYTES: Final = 128 * 1024 * 1024
_CONNECT_S: Final = 10.0
_CLOSE_S: Final = 10.0

_Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


class SocketForwarder:
    """Takes websocket connections to replicas."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def websocket(self, request: web.BaseRequest, target: GatewayTarget) -> web.StreamResponse:
        """Join a client to a replica; in flight until both sides are closed."""
        router = self._router
        revision = Revision(target.deployment, target.version)
        call = router.call(revision, None)
        router.flights.enter(revision)
        try:
            while True:
                chosen = await router.choose(call)
                router.balance.enter(chosen.address)
                try:
                    return await self._join(request, call, chosen)
                except aiohttp.ClientConnectorError:
                    router.balance.failed(chosen.address)
                finally:
                    router.balance.leave(chosen.address)
        finally:
            router.flights.leave(revision)

    @staticmethod
    async def _join(request: web.BaseRequest, call: Call, chosen: Chosen) -> web.StreamResponse:
        """One attempt. `ClientConnectorError` if there is no connection to the replica."""
        wanted = _protocols(request)
        connector, url = _connector(chosen.address)
        async with (
            aiohttp.ClientSession(connector=connector, auto_decompress=False) as session,
            _open(session, url, _headers(request, call, chosen), wanted) as upstream,
        ):
            accepted = (upstream.protocol,) if upstream.protocol else ()
            client = web.WebSocketResponse(
                protocols=accepted,
                autoping=False,
                autoclose=False,
                timeout=_CLOSE_S,
                max_msg_size=_MAX_MESSAGE_BYTES,
            )
            await client.prepare(request)
            await _pump_both(client, upstream)
            return client


def _connector(address: str) -> tuple[aiohttp.BaseConnector, str]:
    if address.startswith(UNIX_SCHEME):
        path = address.removeprefix(UNIX_SCHEME)
        return aiohttp.UnixConnector(path), f"http://localhost{WEBSOCKET_PATH}"
    return aiohttp.TCPConnector(), address + WEBSOCKET_PATH


@asynccontextmanager
async def _open(
    session: aiohttp.ClientSession, url: str, headers: CIMultiDict[str], protocols: tuple[str, ...]
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """`session.ws_connect` that turns a refused handshake into the gateway's answer."""
    try:
        async with asyncio.timeout(_CONNECT_S):
            socket = await session.ws_connect(
                url,
                headers=headers,
                protocols=protocols,
                autoping=False,
                autoclose=False,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
                max_msg_size=_MAX_MESSAGE_BYTES,
            )
    except aiohttp.ClientConnectorError:
        raise  # another replica may take it
    except aiohttp.WSServerHandshakeError as error:
        status = HTTPStatus(error.status) if error.status >= 400 else HTTPStatus.BAD_GATEWAY
        raise Refusal(status, "the replica refused the websocket connection") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Refusal(HTTPStatus.BAD_GATEWAY, "the replica did not accept the websocket") from error
    try:
        yield socket
    finally:
        await socket.close(code=WSCloseCode.GOING_AWAY)


def _protocols(request: web.BaseRequest) -> tuple[str, ...]:
    values = request.headers.getall("Sec-WebSocket-Protocol", [])
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


def _headers(request: web.BaseRequest, call: Call, chosen: Chosen) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in forwarded_headers(request.raw_headers):
        if not name.lower().startswith(b"sec-websocket-") and name.lower() != b"origin":
            headers.add(name.decode("latin-1"), value.decode("latin-1"))
    headers[AUTHORIZATION] = f"Api-Key {chosen.token}"
    headers[REVISION] = str(call.revision)
    return headers


async def _pump_both(client: web.WebSocketResponse, upstream: aiohttp.ClientWebSocketResponse) -> None:
    """Carry messages until one side closed, then close the other with the same code."""
    ways = [asyncio.create_task(_pump(client, upstream)), asyncio.create_task(_pump(upstream, client))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _pump(source: _Socket, sink: _Socket) -> None:
    while True:
        message = await source.receive()
        try:
            match message.type:
                case WSMsgType.TEXT:
                    await sink.send_str(message.data)
                case WSMsgType.BINARY:
                    await sink.send_bytes(message.data)
                case WSMsgType.PING:
                    await sink.ping(message.data)
                case WSMsgType.PONG:
                    await sink.pong(message.data)
                case WSMsgType.CLOSE:
                    await _close(source, sink, message.data or WSCloseCode.OK, message.extra or "")
                    return
                case _:
                    # gone without a word: the other side is told that it was not in order
                    await sink.close(code=WSCloseCode.INTERNAL_ERROR, message=b"the connection broke")
                    return
        except (ConnectionError, RuntimeError):
            return  # the sink is gone; its own pump ends this


async def _close(source: _Socket, sink: _Socket, code: int, reason: str) -> None:
    """Answer a close with the same code and pass it on."""
    await asyncio.gather(
        source.close(code=code, message=reason.encode()),
        sink.close(code=code, message=reason.encode()),
    )


__all__ = ["SocketForwarder"]
