"""Replies, errors and streams as HTTP."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from http import HTTPStatus
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from chains_platform.refusals import Refusal, bad_request
from chains_protocol.control import ApiError
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError

_KEEP_ALIVE_S: Final = 15.0
_SHOWN_ERRORS: Final = 5

M = TypeVar("M", bound=BaseModel)


def reply(model: BaseModel, status: int = 200) -> Response:
    return Response(model.model_dump_json(), status, media_type="application/json")


def error_response(status: int, diagnostics: Iterable[Diagnostic]) -> Response:
    return reply(ApiError(diagnostics=tuple(diagnostics)), status)


def status_of(error: DiagnosticsError) -> int:
    """The status that fits diagnostics raised below the API."""
    if isinstance(error, Refusal):
        return error.status
    codes = {d.code for d in error.diagnostics}
    if codes & {Code.BLOB_MISMATCH, Code.BAD_REQUEST, Code.PROTOCOL_MISMATCH}:
        return 400
    if Code.DISK_FULL in codes:
        return HTTPStatus.INSUFFICIENT_STORAGE.value
    return 500 if Code.INTERNAL in codes else 422


async def parse(request: Request, model: type[M]) -> M:
    """The body as `model`.

    Raises:
        Refusal: 400, CH306, with what is wrong and where.
    """
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        shown = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in found[:_SHOWN_ERRORS]]
        raise bad_request(
            "the request is not understood: " + "; ".join(shown),
            "use a tool and a platform of the same version",
        ) from error


def event_stream(items: AsyncIterator[tuple[str, str, str] | None]) -> StreamingResponse:
    """Server-sent events of (id or "", event, data); None and silence keep the connection alive."""
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(_frames(items), media_type="text/event-stream", headers=headers)


async def _frames(items: AsyncIterator[tuple[str, str, str] | None]) -> AsyncIterator[bytes]:
    yield b": open\n\n"  # headers go out at once, so that a client knows it is connected
    iterator = aiter(items)
    pending: asyncio.Future[tuple[str, str, str] | None] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(iterator))
            done, _ = await asyncio.wait([pending], timeout=_KEEP_ALIVE_S)
            if not done:
                yield b": alive\n\n"
                continue
            try:
                item = pending.result()
            except StopAsyncIteration:
                return
            finally:
                pending = None
            if item is not None:
                event_id, event, data = item
                head = f"id: {event_id}\n" if event_id else ""
                yield f"{head}event: {event}\ndata: {data}\n\n".encode()
    finally:
        if pending is not None:
            pending.cancel()


__all__ = ["error_response", "event_stream", "parse", "reply", "status_of"]
