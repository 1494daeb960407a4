"""Websocket endpoints: the socket that user code gets, over ASGI messages (R-40 to R-43)."""

import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from typing import Any, Final

from chains_protocol.replica import ReplicaState
from chains_protocol.rpc import RemoteErrorDetail
from chains_runtime.asgi import Message, Receive, Scope, Send
from chains_runtime.calls import describe_failure
from chains_runtime.replica import Replica
from chains_runtime.request_context import Call, enter_call, read_headers
from chains_runtime.signature import Mode

_LOG: Final = logging.getLogger(__name__)
REASON_BYTES: Final = 123
"""What a close frame has room for."""


class WebSocketDisconnect(Exception):
    """The peer has closed the socket, with `code` and `reason`."""

    def __init__(self, code: int = 1000, reason: str | None = None) -> None:
        super().__init__(f"the websocket was closed by its peer (code {code})")
        self.code = code
        self.reason = reason or ""


def _disconnect(code: int, reason: str) -> Exception:
    """The class that user code catches: starlette's if it is loaded, else ours."""
    starlette = sys.modules.get("starlette.websockets")
    known = getattr(starlette, "WebSocketDisconnect", WebSocketDisconnect)
    error: Exception = known(code, reason)
    return error


class _Connected:
    """The answer of `is_connected()`: true or false as it stands, and awaitable (R-43)."""

    __slots__ = ("_value",)

    def __init__(self, value: bool) -> None:
        self._value = value

    def __bool__(self) -> bool:
        return self._value

    def __await__(self) -> Generator[None, None, bool]:
        yield from ()
        return self._value


class _Messages:
    """An asynchronous iterator that may also be awaited first (R-42); it ends when the peer closes."""

    def __init__(self, receive: Callable[[], Any], disconnected: Callable[[], bool]) -> None:
        self._receive = receive
        self._disconnected = disconnected

    def __await__(self) -> Generator[None, None, "_Messages"]:
        yield from ()
        return self

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[Any]:
        while True:
            try:
                message = await self._receive()
            except Exception:
                if self._disconnected():
                    return
                raise
            yield message


class ServerWebSocket:
    """An accepted websocket, in the shape of `truss_chains.WebSocketProtocol`."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers: Mapping[str, str] = {
            k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]
        }
        self._scope = scope
        self._receive = receive
        self._send = send
        self._closed_by_peer: tuple[int, str] | None = None
        self._closed = False

    @property
    def parts(self) -> tuple[Scope, Receive, Send]:
        """What another class of websocket can be made of."""
        return self._scope, self._receive, self._send

    def is_connected(self) -> _Connected:
        """Whether both sides are open; may be awaited."""
        return _Connected(not self._closed and self._closed_by_peer is None)

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Close the socket; closing twice is harmless."""
        if self._closed or self._closed_by_peer is not None:
            return
        self._closed = True
        await self._send({"type": "websocket.close", "code": code, "reason": reason or ""})

    async def receive(self) -> str | bytes:
        """The next message as it came: text or bytes, also if it is empty (R-41)."""
        message = await self._next()
        text = message.get("text")
        found: str | bytes = text if text is not None else message.get("bytes", b"")
        return found

    async def _next(self) -> Message:
        if self._closed_by_peer is None:
            message = await self._receive()
            if message["type"] != "websocket.disconnect":
                return message
            self._closed_by_peer = (message.get("code") or 1005, message.get("reason") or "")
        raise _disconnect(*self._closed_by_peer)

    async def receive_text(self) -> str:
        """The next message as text."""
        found = await self.receive()
        return found if isinstance(found, str) else found.decode()

    async def receive_bytes(self) -> bytes:
        """The next message as bytes."""
        found = await self.receive()
        return found if isinstance(found, bytes) else found.encode()

    async def receive_json(self) -> Any:
        """The next message, parsed as JSON."""
        return json.loads(await self.receive())

    async def send_text(self, data: str) -> None:
        """Send a text message."""
        await self._send_message({"type": "websocket.send", "text": data})

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        await self._send_message({"type": "websocket.send", "bytes": data})

    async def send_json(self, data: Any) -> None:
        """Send a JSON document as a text message."""
        await self.send_text(json.dumps(data, separators=(",", ":"), ensure_ascii=False))

    async def _send_message(self, message: Message) -> None:
        if self._closed_by_peer is not None:
            raise _disconnect(*self._closed_by_peer)
        await self._send(message)

    def iter_text(self) -> _Messages:
        """All messages as text until the peer closes."""
        return _Messages(self.receive_text, self._is_gone)

    def iter_bytes(self) -> _Messages:
        """All messages as bytes until the peer closes."""
        return _Messages(self.receive_bytes, self._is_gone)

    def iter_json(self) -> _Messages:
        """All messages, parsed, until the peer closes."""
        return _Messages(self.receive_json, self._is_gone)

    def _is_gone(self) -> bool:
        return self._closed_by_peer is not None


async def serve_websocket(replica: Replica, scope: Scope, receive: Receive, send: Send) -> None:
    """One websocket connection, from handshake to close. Websockets take no slot (R-30)."""
    headers = read_headers(scope["headers"])
    if not replica.routes.accepts.admits(headers.authorization):
        await _refuse(scope, send, 401, "A valid token is required.")
        return
    if replica.state not in (ReplicaState.READY, ReplicaState.UNHEALTHY):
        await _refuse(scope, send, 503, f"The Chainlet is not ready: {replica.state}.")
        return
    revision = headers.revision_or_none()
    generation = replica.choose(revision)
    endpoint = generation.served
    await receive()  # the handshake
    await send({"type": "websocket.accept"})
    socket = ServerWebSocket(scope, receive, send)
    if endpoint.mode is not Mode.WEBSOCKET:
        await socket.close(1003, "This Chainlet has no websocket endpoint.")
        return
    replica.enter(generation)
    enter_call(
        Call(generation, revision, headers.head(revision)),
        headers.request_context(headers.deadline_at(time.monotonic())),
    )
    try:
        await endpoint.method(socket)
    except Exception as error:  # whatever user code raises ends this connection only
        await _close_after(replica, socket, error)
    else:
        await socket.close(1000)
    finally:
        replica.leave(generation)


async def _close_after(replica: Replica, socket: ServerWebSocket, error: Exception) -> None:
    if socket._is_gone() and type(error).__name__ == "WebSocketDisconnect":
        _LOG.info("The client closed the websocket.")
        return
    _, body = describe_failure(replica, error)
    name = body.exception_cls_name if isinstance(body, RemoteErrorDetail) else "error"
    await socket.close(1011, f"The Chainlet failed with {name}; see its log."[:REASON_BYTES])


async def _refuse(scope: Scope, send: Send, status: int, reason: str) -> None:
    """End the handshake with an HTTP status, where the server can."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    body = json.dumps({"error": reason}).encode()
    # no length: the websocket server writes it, older ones a second time beside ours
    headers = [(b"content-type", b"application/json")]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


__all__ = ["ServerWebSocket", "WebSocketDisconnect", "serve_websocket"]
