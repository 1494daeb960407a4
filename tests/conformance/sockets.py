"""The same client of a websocket endpoint, in this process and through the gateway."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.conformance.runners import Pushed

Message = str | bytes


class WebSocketDisconnect(Exception):
    """What a server's socket raises when the peer is gone."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


@dataclass(frozen=True)
class Talk:
    """What the client got: messages, then the code of the close, or the class of an exception."""

    got: tuple[Message, ...]
    end: int | str


class Client(Protocol):
    """Talks to an endpoint: sends all, reads until the other side closes, or closes itself."""

    async def talk(
        self, *sent: Message, expects: int | None = None, headers: Mapping[str, str] | None = None
    ) -> Talk: ...


@dataclass
class LocalSocket:
    """The endpoint's side of a socket in this process (`truss_chains.WebSocketProtocol`)."""

    headers: Mapping[str, str]
    incoming: "asyncio.Queue[Message | None]" = field(default_factory=asyncio.Queue)
    sent: list[Message] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    code: int | None = None
    is_gone: bool = False

    async def is_connected(self) -> bool:
        return self.code is None and not self.is_gone

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        if self.code is None:
            self.code = code

    async def receive(self) -> Message:
        message = None if self.is_gone else await self.incoming.get()
        if message is None:
            self.is_gone = True
            raise WebSocketDisconnect(1000)
        return message

    async def receive_text(self) -> str:
        message = await self.receive()
        return message if isinstance(message, str) else message.decode()

    async def receive_bytes(self) -> bytes:
        message = await self.receive()
        return message if isinstance(message, bytes) else message.encode()

    async def receive_json(self) -> Any:
        return json.loads(await self.receive())

    async def send_text(self, data: str) -> None:
        self.sent.append(data)
        self.changed.set()

    async def send_bytes(self, data: bytes) -> None:
        self.sent.append(data)
        self.changed.set()

    async def send_json(self, data: Any) -> None:
        await self.send_text(json.dumps(data, separators=(",", ":"), ensure_ascii=False))

    async def iter_text(self) -> AsyncIterator[str]:
        return self._each(self.receive_text)

    async def iter_bytes(self) -> AsyncIterator[bytes]:
        return self._each(self.receive_bytes)

    async def iter_json(self) -> AsyncIterator[Any]:
        return self._each(self.receive_json)

    async def _each(self, receive: Any) -> AsyncIterator[Any]:
        while True:
            try:
                yield await receive()
            except WebSocketDisconnect:
                return


@dataclass(frozen=True)
class LocalClient:
    """Calls the endpoint with a socket of its own."""

    instance: Any

    async def talk(
        self, *sent: Message, expects: int | None = None, headers: Mapping[str, str] | None = None
    ) -> Talk:
        socket = LocalSocket(headers or {})
        for message in sent:
            socket.incoming.put_nowait(message)
        task = asyncio.ensure_future(self.instance.run_remote(socket))
        if expects is not None:
            while len(socket.sent) < expects:
                await asyncio.wait_for(socket.changed.wait(), 10)
                socket.changed.clear()
            socket.incoming.put_nowait(None)
        try:
            await task
        except Exception as error:
            return Talk(tuple(socket.sent), type(error).__name__)
        return Talk(tuple(socket.sent), socket.code or 1000)


@dataclass(frozen=True)
class GatewayClient:
    """Connects through the gateway."""

    pushed: Pushed

    async def talk(
        self, *sent: Message, expects: int | None = None, headers: Mapping[str, str] | None = None
    ) -> Talk:
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed

        url = self.pushed.url.replace("http://", "ws://", 1).replace("/run_remote", "/websocket")
        got: list[Message] = []
        async with connect(url, additional_headers={**self.pushed.headers, **(headers or {})}) as socket:
            try:
                for message in sent:
                    await socket.send(message)
                while expects is None or len(got) < expects:
                    got.append(await asyncio.wait_for(socket.recv(), 30))
            except ConnectionClosed as closed:
                return Talk(tuple(got), closed.rcvd.code if closed.rcvd else 1006)
            await socket.close()
        return Talk(tuple(got), 1000)
