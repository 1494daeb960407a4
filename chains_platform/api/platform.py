"""Endpoints of the platform itself: health, secrets, collection, shutdown."""

from starlette.requests import Request
from starlette.responses import Response

from chains_platform.api.answers import parse, reply
from chains_platform.api.endpoints import Endpoint, name_of
from chains_platform.refusals import bad_request
from chains_platform.secrets.delivery import deliver
from chains_platform.services import Services
from chains_protocol.base import Reply
from chains_protocol.control import GcReply, GcRequest, Health, SecretNames, SecretValue


class Acknowledged(Reply):
    """Done, and nothing to say about it."""

    ok: bool = True


async def health(services: Services, request: Request) -> Response:
    return reply(Health(instance=services.instance, gateway_url=services.gateway_url(), version=_VERSION))


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
    Endpoint("PUT", "/v1/secrets/{name}", put_secret, "Set a secret", SecretValue, Acknowledged),
    Endpoint("DELETE", "/v1/secrets/{name}", delete_secret, "Delete a secret", reply=Acknowledged),
    Endpoint("GET", "/v1/secrets", list_secrets, "Names of the secrets", reply=SecretNames),
    Endpoint("POST", "/v1/gc", collect, "Remove what no deployment needs", GcRequest, GcReply),
    Endpoint("POST", "/v1/shutdown", shutdown, "Drain and stop everything", reply=Acknowledged, status=202),
)

__all__ = ["ENDPOINTS", "Acknowledged"]
