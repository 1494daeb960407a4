"""Plain requests: `POST .../run_remote` to one replica, the answer back as it comes."""

import secrets
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from chains_platform.gateway.calls import Call, Chosen, Refusal, Router
from chains_platform.http1 import Answer, Broken, Client, ConnectFailed, Headers, Unanswered
from chains_protocol.routes import GatewayTarget
from chains_protocol.rpc import AUTHORIZATION, DEADLINE, PREDICT_PATH, REQUEST_ID, REVISION, Revision

MAX_BUFFERED_BYTES: Final = 1024 * 1024
"""A request up to this size is kept until it is answered, so that it can go to another replica."""

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
_NOT_RETURNED: Final = HOP_BY_HOP | {b"content-length", b"server", b"date"}
_REQUEST_LINE: Final = f"POST {PREDICT_PATH} HTTP/1.1\r\nhost: localhost\r\n".encode()
_REQUEST_ID: Final = REQUEST_ID.encode()


class Forwarder:
    """Takes plain requests to replicas."""

    def __init__(self, router: Router, http: Client) -> None:
        self._router = router
        self._http = http

    async def run_remote(self, request: web.BaseRequest, target: GatewayTarget) -> web.StreamResponse:
        """Forward one request; it counts as in flight until its answer is sent."""
        router = self._router
        revision = Revision(target.deployment, target.version)
        call = router.call(revision, request.headers.get(DEADLINE))
        router.flights.enter(revision)
        try:
            if request.headers.get("expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0
            head, request_id = forwarded_head(request, revision)
            body, rest = await _read_body(request)
            if rest is None:
                return await self._buffered(request, call, head, body, request_id)
            return await self._streamed(request, call, head, rest, request_id)
        finally:
            router.flights.leave(revision)

    async def _buffered(
        self, request: web.BaseRequest, call: Call, head: bytes, body: bytes, request_id: str
    ) -> web.StreamResponse:
        """Try replicas until one answers."""
        rest = b"content-length: %d\r\n\r\n%b" % (len(body), body)
        while True:
            chosen = await self._router.choose(call)
            balance = self._router.balance
            balance.enter(chosen.address)
            try:
                data = b"".join((_REQUEST_LINE, head, self._attempt_headers(call, chosen), rest))
                answer = await self._http.send(chosen.address, data)
                return await _give_back(request, answer, request_id)
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
        self,
        request: web.BaseRequest,
        call: Call,
        head: bytes,
        body: AsyncIterator[bytes],
        request_id: str,
    ) -> web.StreamResponse:
        """A large body goes to one replica as it comes; only a failed connect tries another."""
        length = request.content_length
        rest = b"content-length: %d\r\n\r\n" % length if length is not None else _CHUNKED
        while True:
            chosen = await self._router.choose(call)
            balance = self._router.balance
            balance.enter(chosen.address)
            try:
                data = b"".join((_REQUEST_LINE, head, self._attempt_headers(call, chosen), rest))
                answer = await self._http.stream(chosen.address, data, body, chunked=length is None)
                return await _give_back(request, answer, request_id)
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
        return token + f"{DEADLINE}: {left:.3f}\r\n".encode()

    def _failed(self, chosen: Chosen) -> None:
        self._router.balance.failed(chosen.address)
        self._http.forget(chosen.address)


_CHUNKED: Final = b"transfer-encoding: chunked\r\n\r\n"


def forwarded_headers(raw: Headers | tuple[tuple[bytes, bytes], ...]) -> Headers:
    """What of a client's headers a replica may see: not its token, nor what ends at each hop."""
    kept = [header for header in raw if header[0].lower() not in _NOT_FORWARDED]
    named = [value for name, value in raw if name.lower() == b"connection"]
    if not named:
        return kept
    dropped = {token.strip().lower() for value in named for token in value.split(b",")}
    return [header for header in kept if header[0].lower() not in dropped]


def forwarded_head(request: web.BaseRequest, revision: Revision) -> tuple[bytes, str]:
    """The lines of the headers that every attempt has, and the request's id."""
    headers = forwarded_headers(request.raw_headers)
    request_id = request.headers.get(REQUEST_ID)
    if not request_id:
        request_id = secrets.token_hex(16)
        headers = [h for h in headers if h[0].lower() != _REQUEST_ID]
        headers.append((_REQUEST_ID, request_id.encode()))
    headers.append((REVISION.encode(), str(revision).encode()))
    return b"".join([b"%b: %b\r\n" % header for header in headers]), request_id


async def _read_body(request: web.BaseRequest) -> tuple[bytes, AsyncIterator[bytes] | None]:
    """The whole body, or (for a large one) an iterator over all of it."""
    length = request.content_length
    if length is not None and length > MAX_BUFFERED_BYTES:
        return b"", request.content.iter_any()
    first: list[bytes] = []
    size = 0
    while not request.content.at_eof():
        chunk = await request.content.readany()
        first.append(chunk)
        size += len(chunk)
        if size > MAX_BUFFERED_BYTES:
            return b"", _chain(first, request.content.iter_any())
    return b"".join(first), None


async def _chain(first: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in first:
        yield chunk
    async for chunk in rest:
        yield chunk


async def _give_back(request: web.BaseRequest, answer: Answer, request_id: str) -> web.StreamResponse:
    """Send the answer to the client: at once if it is all there, else as it comes."""
    headers: CIMultiDict[str] = CIMultiDict()
    length: int | None = None
    for name, value in answer.headers:
        if name not in _NOT_RETURNED:
            headers.add(name.decode("latin-1"), value.decode("latin-1"))
        elif name == b"content-length":
            length = int(value)
    headers["Server"] = "chains"
    headers.setdefault(REQUEST_ID, request_id)
    if answer.complete:
        return web.Response(status=answer.status, headers=headers, body=await answer.read())
    return await _stream_back(request, answer, headers, length)


async def _stream_back(
    request: web.BaseRequest, answer: Answer, headers: CIMultiDict[str], length: int | None
) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=headers)
    if length is not None:
        response.content_length = length
    try:
        await response.prepare(request)
        async for chunk in answer.chunks():
            await response.write(chunk)
    except (Broken, Unanswered):
        # The client must not take half an answer for a whole one: end its connection
        # without the last chunk. aiohttp sees a closing transport and writes nothing more.
        if request.transport is not None:
            request.transport.close()
    except ConnectionError:
        pass  # the client went away; there is nobody to tell
    finally:
        answer.close()
    return response


def _bad_gateway(error: Exception) -> Refusal:
    return Refusal(HTTPStatus.BAD_GATEWAY, f"the replica did not answer: {error}")


__all__ = ["HOP_BY_HOP", "MAX_BUFFERED_BYTES", "Forwarder", "forwarded_head", "forwarded_headers"]
