"""Endpoints of the platform itself: health, blobs, secrets, shutdown."""

import asyncio
import hashlib
import os
import tempfile
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from chains_platform.api.answers import parse, reply
from chains_platform.api.endpoints import Endpoint, digest_of, name_of
from chains_platform.blobs import unwritable
from chains_platform.refusals import bad_request, unknown_blob
from chains_platform.secrets.delivery import deliver
from chains_platform.services import Services
from chains_protocol.base import Reply
from chains_protocol.blobs import decode_blobs
from chains_protocol.control import BlobReply, GcReply, GcRequest, Health, SecretNames, SecretValue
from chains_protocol.errors import DiagnosticsError


class Acknowledged(Reply):
    """Done, and nothing to say about it."""

    ok: bool = True


async def health(services: Services, request: Request) -> Response:
    return reply(Health(instance=services.instance, gateway_url=services.gateway_url(), version=_VERSION))


async def put_blob(services: Services, request: Request) -> Response:
    """One blob of any size: written to disk as it arrives."""
    digest = digest_of(request)
    found = hashlib.sha256()
    try:
        draft, size = await _receive(services, request, found)
    except OSError as error:
        raise DiagnosticsError([unwritable(error)]) from error
    stored = await asyncio.to_thread(services.blobs.take, digest, draft, found.hexdigest())
    return reply(BlobReply(stored=int(stored), received_bytes=size))


async def _receive(services: Services, request: Request, found: "hashlib._Hash") -> tuple[Path, int]:
    """The body as a file below the blobs, hashed on the way; gone again if it does not arrive whole."""
    size = 0
    handle, name = tempfile.mkstemp(prefix=".new-", dir=services.layout.blobs)
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:  # closing writes the rest, and may fail as any write
            async for chunk in request.stream():
                found.update(chunk)
                size += len(chunk)
                file.write(chunk)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft, size


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


async def put_secret(services: Services, request: Request) -> Response:
    body = await parse(request, SecretValue)
    name = name_of(request, "name")
    is_first = name not in await services.secrets.names()
    await services.secrets.put(name, body.value)
    if is_first:
        deliver(services.ledger, services.reconciler, name)
    return reply(Acknowledged())


async def delete_secret(services: Services, request: Request) -> Response:
    name = name_of(request, "name")
    if not await services.secrets.delete(name):
        raise bad_request(f"there is no secret `{name}`", "`chains secrets list` shows those there are")
    return reply(Acknowledged())


async def list_secrets(services: Services, request: Request) -> Response:
    return reply(SecretNames(names=await services.secrets.names()))


async def collect(services: Services, request: Request) -> Response:
    return reply(await services.housekeeping.collect(await parse(request, GcRequest)))


async def shutdown(services: Services, request: Request) -> Response:
    """Only asks: whoever runs the control plane stops gateway, replicas and itself, in that order."""
    services.shutdown_requested.set()
    return reply(Acknowledged(), 202)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("chains-toolchain")
    except PackageNotFoundError:
        return ""


_VERSION = _version()

ENDPOINTS = (
    Endpoint("GET", "/v1/health", health, "Is the platform there", reply=Health, is_open=True),
    Endpoint("PUT", "/v1/blobs/{digest}", put_blob, "Store a blob", reply=BlobReply, is_raw=True),
    Endpoint("GET", "/v1/blobs/{digest}", get_blob, "The bytes of a blob"),
    Endpoint("POST", "/v1/blobs", put_blobs, "Store many blobs", reply=BlobReply, is_raw=True),
    Endpoint("PUT", "/v1/secrets/{name}", put_secret, "Set a secret", SecretValue, Acknowledged),
    Endpoint("DELETE", "/v1/secrets/{name}", delete_secret, "Delete a secret", reply=Acknowledged),
    Endpoint("GET", "/v1/secrets", list_secrets, "Names of the secrets", reply=SecretNames),
    Endpoint("POST", "/v1/gc", collect, "Remove what no deployment needs", GcRequest, GcReply),
    Endpoint("POST", "/v1/shutdown", shutdown, "Drain and stop everything", reply=Acknowledged, status=202),
)

__all__ = ["ENDPOINTS", "Acknowledged"]
