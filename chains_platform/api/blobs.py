"""Endpoints of blobs: many small ones at once, a large one alone, and the rest of one that was cut.

The offset headers are those of the IETF's draft on resumable uploads: `HEAD` tells with
`Upload-Offset` how much is here, `PUT` with the same header goes on from there.
"""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response

from chains_platform.api.answers import reply
from chains_platform.api.endpoints import Endpoint, digest_of
from chains_platform.blobs import unwritable
from chains_platform.partial_blobs import Part, WrongOffset
from chains_platform.refusals import bad_request, conflict, unknown_blob
from chains_platform.services import Services
from chains_protocol.blobs import UPLOAD_COMPLETE, UPLOAD_OFFSET, decode_blobs
from chains_protocol.control import BlobReply
from chains_protocol.errors import DiagnosticsError

_YES: Final = "?1"
_NO: Final = "?0"


async def put_blob(services: Services, request: Request) -> Response:
    """One blob of any size, or the rest of one: written to disk as it arrives."""
    digest, offset = digest_of(request), _offset(request)
    try:
        with services.blobs.partials.receiving(digest, offset) as part:
            await _receive(request, part)
            stored = await asyncio.to_thread(services.blobs.take, digest, part.path, part.digest)
    except WrongOffset as wrong:
        raise conflict(
            f"{wrong.offset} bytes of this blob are here, not {offset}", "ask again and go on from there"
        ) from wrong
    except OSError as error:
        raise DiagnosticsError([unwritable(error)]) from error
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    return reply(BlobReply(stored=int(stored), received_bytes=part.received_bytes))


async def _receive(request: Request, part: Part) -> None:
    async for piece in request.stream():
        part.write(piece)
    part.finish()


def _offset(request: Request) -> int:
    text = request.headers.get(UPLOAD_OFFSET, "0")
    if not text.isdecimal() or len(text) > 20:
        raise bad_request(f"`{UPLOAD_OFFSET}` has to be a number of bytes")
    return int(text)


async def blob_offset(services: Services, request: Request) -> Response:
    """How much of a blob is here: all of it, a part, or nothing."""
    digest = digest_of(request)
    path = services.blobs.path(digest)
    is_whole = await asyncio.to_thread(path.is_file)
    offset = path.stat().st_size if is_whole else services.blobs.partials.offset(digest)
    headers = {UPLOAD_OFFSET: str(offset), UPLOAD_COMPLETE: _YES if is_whole else _NO}
    return Response(status_code=200, headers={**headers, "cache-control": "no-store"})


async def get_blob(services: Services, request: Request) -> Response:
    """A blob's bytes: what runs can be compared with what its author has."""
    digest = digest_of(request)
    path = services.blobs.path(digest)
    if not await asyncio.to_thread(path.is_file):
        raise unknown_blob(digest)
    return FileResponse(path, media_type="application/octet-stream")


async def put_blobs(services: Services, request: Request) -> Response:
    body = await request.body()
    try:
        blobs = dict(decode_blobs(body))
    except ValueError as error:
        raise bad_request(f"the blobs are not understood: {error}") from error
    stored = await asyncio.to_thread(services.blobs.put_all, blobs)
    return reply(BlobReply(stored=stored, received_bytes=len(body)))


ENDPOINTS = (
    Endpoint("HEAD", "/v1/blobs/{digest}", blob_offset, "How much of a blob is here"),
    Endpoint(
        "PUT", "/v1/blobs/{digest}", put_blob, "Store a blob, or its rest", reply=BlobReply, is_raw=True
    ),
    Endpoint("GET", "/v1/blobs/{digest}", get_blob, "The bytes of a blob"),
    Endpoint("POST", "/v1/blobs", put_blobs, "Store many blobs", reply=BlobReply, is_raw=True),
)

__all__ = ["ENDPOINTS"]
