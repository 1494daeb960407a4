"""Who may ask at all: token, `Host`, `Origin`, size of the body. Stands before every route."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chains_platform.api.answers import error_response
from chains_platform.secrets.tokens import check
from chains_protocol.blobs import MAX_BATCH_BYTES
from chains_protocol.errors import Code, Diagnostic
from chains_protocol.rpc import bearer_token

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN: Final = frozenset({("GET", "/v1/health")})
"""What needs no token."""

MAX_JSON_BYTES: Final = MAX_BATCH_BYTES
MAX_BLOB_BYTES: Final = 16 * 1024**3


class TooLarge(Exception):
    """The body is longer than its route takes."""


class Guard:
    """ASGI middleware; everything it refuses never reaches a route."""

    def __init__(self, app: ASGIApp, token: str, allowed_hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._token = token
        self._hosts = LOOPBACK | {h.lower() for h in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        refused = self._refuse(scope)
        if refused is not None:
            status, diagnostic = refused
            await error_response(status, [diagnostic])(scope, receive, send)
            return
        limit = MAX_BLOB_BYTES if _is_one_blob(scope) else MAX_JSON_BYTES
        await self._limited(scope, receive, send, limit)

    def _refuse(self, scope: Scope) -> tuple[int, Diagnostic] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _hostname(host) not in self._hosts:
            return 403, _refused(f"requests to host `{host[:100]}` are not answered")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, _refused("a request from another website is not answered")
        if (scope["method"], scope["path"]) in OPEN:
            return None
        if not check(bearer_token(headers.get("authorization", "")), self._token):
            return 401, _refused("the token is missing or wrong")
        return None

    async def _limited(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            await _too_large(limit)(scope, receive, send)
            return
        received, started = 0, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except TooLarge:
            if not started:
                await _too_large(limit)(scope, receive, send)


def _too_large(limit: int) -> Response:
    diagnostic = Diagnostic(
        code=Code.BAD_REQUEST,
        message=f"the body is larger than {limit} bytes",
        help="send large files one by one, with `PUT /v1/blobs/{digest}`",
    )
    return error_response(413, [diagnostic])


def _is_one_blob(scope: Scope) -> bool:
    return bool(scope["method"] == "PUT" and scope["path"].startswith("/v1/blobs/"))


def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _refused(message: str) -> Diagnostic:
    return Diagnostic(
        code=Code.REMOTE_REFUSED_TOKEN,
        message=message,
        help="the token is in the file `platform/token` of the home that `chains platform status` shows; "
        "for a platform elsewhere give it as CHAINS_TOKEN",
    )


__all__ = ["LOOPBACK", "MAX_BLOB_BYTES", "MAX_JSON_BYTES", "OPEN", "Guard", "TooLarge"]
