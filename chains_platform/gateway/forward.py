"""Plain requests: `POST .../run_remote` to one replica, the answer back as it comes."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Final

from chains_platform.gateway.calls import Call, Chosen, Refusal, Router
from chains_platform.gateway.connection import Request
from chains_platform.net.http1 import Answer, Broken, Client, ConnectFailed, Headers, Unanswered
from chains_protocol.routes import GatewayTarget
from chains_protocol.rpc import AUTHORIZATION, DEADLINE, PREDICT_PATH, REQUEST_ID, REVISION, Revision

MAX_BUFFERED_BYTES: Final = 1024 * 1024
"""A request up to this size is kept until it is answered, so that it can go to another replica."""

_BODY_S: Final = 60.0
"""So long such a request may take to arrive."""

_MAX_UNANSWERED: Final = 2
"""Attempts that may reach a replica and stay unanswered: a request that kills replicas kills two."""

HOP_BY_HOP: Final = frozenset(
    [
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    ]
)
_NOT_FORWARDED: Final = HOP_BY_HOP | {
    b"host",
    b"content-length",
    b"expect",
    AUTHORIZATION.encode(),
    REVISION.encode(),
    DEADLINE.encode(),
}
_NOT_RETURNED: Final = HOP_BY_HOP | {b"content-length", b"server"}
_REQUEST_LINE: Final = f"POST {PREDICT_PATH} HTTP/1.1\r\nhost: localhost\r\n".encode()
_REQUEST_ID: Final = REQUEST_ID.encode()
_REVISION: Final = REVISION.encode()
_DEADLINE: Final = DEADLINE.encode()
_CHUNKED: Final = b"transfer-encoding: chunked\r\n\r\n"
_SERVER: Final = (b"server", b"chains")


class Forwarder:
    """Takes plain requests to replicas."""

    def __init__(self, router: Router, http: Client) -> None:
        self._router = router
        self._http = http

    async def run_remote(self, request: Request, lookup: Callable[[], GatewayTarget]) -> None:
        """Forward one request; from its stamp until its answer is sent it counts as in flight.

        Args:
            request: its body may still be on the way.
            lookup: where it goes now. Asked again after a wait for the body, so that a slow
                upload holds no older version.
        """
        target = lookup()
        started = self._router.clock()
        request.go_on()
        body, is_whole = b"", request.body.complete
        if is_whole:
            body = request.body.take_all()
        elif (_content_length(request) or 0) <= MAX_BUFFERED_BYTES:
            body = await _read_begin(request)
            is_whole = request.body.complete
            target = lookup()
        revision = Revision(target.deployment, target.version)
        call = self._router.call(revision, request.header(_DEADLINE), started)
        head, request_id = forwarded_head(request, revision)
        self._router.flights.enter(revision)
        try:
            if is_whole:
                await self._buffered(request, call, head, body, request_id)
            else:
                await self._streamed(request, call, head, body, request_id)
        finally:
            self._router.flights.leave(revision)

    async def _buffered(
        self, request: Request, call: Call, head: bytes, body: bytes, request_id: bytes
    ) -> None:
        """Try replicas until one answers."""
        rest = b"content-length: %d\r\n\r\n%b" % (len(body), body)
        while True:
            chosen = await self._router.choose(call)
            balance = self._router.balance
            balance.enter(chosen.address)
            try:
                data = b"".join((_REQUEST_LINE, head, self._attempt_headers(call, chosen), rest))
                answer = await self._http.send(chosen.address, data)
                await _give_back(request, answer, request_id)
                return
            except ConnectFailed:
                self._failed(chosen)
            except Unanswered as error:
                self._failed(chosen)
                call.unanswered += 1
                if call.unanswered >= _MAX_UNANSWERED:
                    raise _bad_gateway(error) from error
            except Broken as error:
                raise _bad_gateway(error) from error
            finally:
                balance.leave(chosen.address)

    async def _streamed(
        self, request: Request, call: Call, head: bytes, begun: bytes, request_id: bytes
    ) -> None:
        """A large body goes to one replica as it comes; only a failed connect tries another."""
        length = _content_length(request)
        rest = b"content-length: %d\r\n\r\n" % length if length is not None else _CHUNKED
        while True:
            chosen = await self._router.choose(call)
            balance = self._router.balance
            balance.enter(chosen.address)
            try:
                data = b"".join((_REQUEST_LINE, head, self._attempt_headers(call, chosen), rest))
                body = _chain(begun, request)
                answer = await self._http.stream(chosen.address, data, body, chunked=length is None)
                await _give_back(request, answer, request_id)
                return
            except ConnectFailed:
                self._failed(chosen)
            except (Unanswered, Broken) as error:
                self._failed(chosen)
                raise _bad_gateway(error) from error
            finally:
                balance.leave(chosen.address)

    def _attempt_headers(self, call: Call, chosen: Chosen) -> bytes:
        """What differs from attempt to attempt: the edge's token and the time that is left."""
        token = b"authorization: Api-Key %b\r\n" % chosen.token.encode("latin-1")
        if call.deadline_s is None:
            return token
        left = max(call.deadline_s - (self._router.clock() - call.started), 0.0)
        return token + b"%b: %.3f\r\n" % (_DEADLINE, left)

    def _failed(self, chosen: Chosen) -> None:
        self._router.balance.failed(chosen.address)
        self._http.forget(chosen.address)


def forwarded_headers(raw: Headers) -> Headers:
    """What of a client's headers a replica may see: not its token, nor what ends at each hop."""
    kept = [header for header in raw if header[0] not in _NOT_FORWARDED]
    named = [value for name, value in raw if name == b"connection"]
    if not named:
        return kept
    dropped = {token.strip().lower() for value in named for token in value.split(b",")}
    return [header for header in kept if header[0] not in dropped]


def forwarded_head(request: Request, revision: Revision) -> tuple[bytes, bytes]:
    """The lines of the headers that every attempt has, and the request's id."""
    headers = forwarded_headers(request.headers)
    request_id = next((value for name, value in headers if name == _REQUEST_ID and value), b"")
    if not request_id:
        request_id = secrets.token_hex(16).encode()
        headers = [header for header in headers if header[0] != _REQUEST_ID]
        headers.append((_REQUEST_ID, request_id))
    headers.append((_REVISION, str(revision).encode()))
    return b"".join([b"%b: %b\r\n" % header for header in headers]), request_id


def _content_length(request: Request) -> int | None:
    text = request.header(b"content-length")
    return int(text) if text is not None else None


async def _read_begin(request: Request) -> bytes:
    """The body, or the first part of a large one."""
    try:
        async with asyncio.timeout(_BODY_S):
            return await request.body.read_up_to(MAX_BUFFERED_BYTES + 1)
    except TimeoutError:
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "the request's body did not come in time") from None


async def _chain(begun: bytes, request: Request) -> AsyncIterator[bytes]:
    if begun:
        yield begun
    async for chunk in request.body.chunks():
        yield chunk


async def _give_back(request: Request, answer: Answer, request_id: bytes) -> None:
    """Send the answer to the client: at once if it is all there, else as it comes."""
    headers = [header for header in answer.headers if header[0] not in _NOT_RETURNED]
    headers.append(_SERVER)
    if not any(name == _REQUEST_ID for name, _ in headers):
        headers.append((_REQUEST_ID, request_id))
    if answer.body.complete:
        request.respond(answer.status, headers, await answer.read())
        return
    length = next((int(value) for name, value in answer.headers if name == b"content-length"), None)
    try:
        request.begin(answer.status, headers, length)
        async for chunk in answer.body.chunks():
            await request.write(chunk)
        request.end()
    except (Broken, Unanswered):
        request.abort()  # the client must not take half an answer for a whole one
    finally:
        answer.close()


def _bad_gateway(error: Exception) -> Refusal:
    return Refusal(HTTPStatus.BAD_GATEWAY, f"the replica did not answer: {error}")


__all__ = ["HOP_BY_HOP", "MAX_BUFFERED_BYTES", "Forwarder", "forwarded_head", "forwarded_headers"]
