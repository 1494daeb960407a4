"""The few ASGI shapes we use, and whole answers. Source: the ASGI 3.0 specification."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from chains_protocol.rpc import (
    ERROR_CODE_HEADER,
    ERROR_SOURCE,
    ERROR_SOURCE_HEADER,
    ErrorBody,
    RemoteErrorDetail,
)
from chains_runtime.connection import NOT_READY, REFUSED

# The values of ASGI messages are of many types, as the specification has it.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

SERVER_FAULT: Final = 500
CHAINLET_FAULT: Final = 600
CALLER_FAULT: Final = 700

_JSON: Final = b"application/json"
_SOURCE: Final = (ERROR_SOURCE_HEADER.lower().encode(), ERROR_SOURCE.encode())
_CODE: Final = ERROR_CODE_HEADER.lower().encode()


async def send_bytes(
    send: Send, status: int, body: bytes, content_type: bytes = _JSON, extra: tuple[Header, ...] = ()
) -> None:
    """One whole answer."""
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, status: int, document: object) -> None:
    """One JSON document."""
    await send_bytes(send, status, json.dumps(document).encode())


async def send_error(
    send: Send,
    status: int,
    error: RemoteErrorDetail | str,
    *,
    code: int,
    refused: bool = False,
    is_ready: bool = True,
    retry_after_s: int | None = None,
) -> None:
    """An error answer of the data plane (R-34).

    Args:
        send: ASGI.
        status: HTTP status.
        error: a detail, or text.
        code: who is at fault: `SERVER_FAULT`, `CHAINLET_FAULT` or `CALLER_FAULT`.
        refused: nothing of the request was executed, so another replica may get it.
        is_ready: False if that is because the replica loads or drains.
        retry_after_s: when it makes sense to come back.
    """
    extra: list[Header] = [_SOURCE, (_CODE, b"%d" % code)]
    if refused:
        extra.append((REFUSED, b"1" if is_ready else NOT_READY))
    if retry_after_s is not None:
        extra.append((b"retry-after", b"%d" % retry_after_s))
    await send_bytes(send, status, ErrorBody(error=error).model_dump_json().encode(), extra=tuple(extra))


async def read_body(receive: Receive) -> bytes | None:
    """The request's body; None if the client went away before it was complete."""
    message = await receive()
    if message["type"] != "http.request":
        return None
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return body
    parts = [body]
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


__all__ = [
    "CALLER_FAULT",
    "CHAINLET_FAULT",
    "SERVER_FAULT",
    "Header",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "read_body",
    "send_bytes",
    "send_error",
    "send_json",
]
