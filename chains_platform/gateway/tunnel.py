"""Websockets: a client's connection joined to one at a replica, byte for byte.

The gateway takes part in the handshake only. Frames, close codes, subprotocols and
compression are agreed between client and replica and pass as they are.
"""

import asyncio
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from chains_platform.gateway.calls import Call, Chosen, Refusal, Router
from chains_platform.gateway.connection import Request
from chains_platform.gateway.forward import forwarded_head
from chains_platform.net.http1 import UNIX_SCHEME, ConnectFailed
from chains_platform.net.inflow import Inflow
from chains_protocol.routes import GatewayTarget
from chains_protocol.rpc import WEBSOCKET_PATH, Revision

_CONNECT_S: Final = 5.0
_HANDSHAKE_S: Final = 30.0
_CHUNK_BYTES: Final = 64 * 1024
_HEAD_END: Final = b"\r\n\r\n"
_SWITCHING: Final = b"HTTP/1.1 101"
_REQUEST_LINE: Final = (
    f"GET {WEBSOCKET_PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
).encode()


class Tunnel:
    """Takes websocket connections to replicas."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def websocket(self, request: Request, target: GatewayTarget) -> None:
        """Join a client to a replica; in flight until both sides are closed."""
        router = self._router
        revision = Revision(target.deployment, target.version)
        call = router.call(revision, None, router.clock())
        router.flights.enter(revision)
        try:
            while True:
                chosen = await router.choose(call)
                router.balance.enter(chosen.address)
                try:
                    await _join(request, call, chosen)
                    return
                except ConnectFailed:
                    router.balance.failed(chosen.address)
                finally:
                    router.balance.leave(chosen.address)
        finally:
            router.flights.leave(revision)


async def _join(request: Request, call: Call, chosen: Chosen) -> None:
    """One attempt. `ConnectFailed` if there is no connection to the replica."""
    reader, writer = await _connect(chosen.address)
    try:
        head, _ = forwarded_head(request, call.revision)
        token = b"authorization: Api-Key %b\r\n\r\n" % chosen.token.encode("latin-1")
        writer.write(_REQUEST_LINE + head + token)
        answer = await _handshake(reader)
        inflow = request.take_over(answer)
        await _carry(request, inflow, reader, writer)
    finally:
        writer.close()


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(_CONNECT_S):
            if address.startswith(UNIX_SCHEME):
                return await asyncio.open_unix_connection(address.removeprefix(UNIX_SCHEME))
            url = urlsplit(address)
            return await asyncio.open_connection(url.hostname, url.port or 80)
    except (OSError, TimeoutError) as error:
        raise ConnectFailed(f"can't connect to {address}: {error}") from error


async def _handshake(reader: asyncio.StreamReader) -> bytes:
    """The replica's answer, if it agrees; else a `Refusal`."""
    try:
        async with asyncio.timeout(_HANDSHAKE_S):
            answer = await reader.readuntil(_HEAD_END)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as error:
        raise Refusal(HTTPStatus.BAD_GATEWAY, "the replica did not answer the handshake") from error
    except TimeoutError as error:
        raise Refusal(
            HTTPStatus.GATEWAY_TIMEOUT, "the replica did not answer the handshake in time"
        ) from error
    if answer.startswith(_SWITCHING):
        return answer
    code = answer[9:12]
    is_error = code.isdigit() and code >= b"400"
    raise Refusal(
        HTTPStatus(int(code)) if is_error and int(code) in set(HTTPStatus) else HTTPStatus.BAD_GATEWAY,
        "the replica refused the websocket connection",
    )


async def _carry(
    request: Request, inflow: Inflow, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Carry bytes both ways until one side ends; what it sent before is still delivered."""
    ways = [
        asyncio.create_task(_to_replica(inflow, writer)),
        asyncio.create_task(_to_client(request, reader)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _to_replica(inflow: Inflow, writer: asyncio.StreamWriter) -> None:
    async for chunk in inflow.chunks():
        writer.write(chunk)
        await writer.drain()


async def _to_client(request: Request, reader: asyncio.StreamReader) -> None:
    while chunk := await reader.read(_CHUNK_BYTES):
        await request.write_raw(chunk)


__all__ = ["Tunnel"]
