"""The Starlette application: routes, guard, and what errors become."""

import logging
from collections.abc import Iterable
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chains_platform.api import blobs, chains, platform
from chains_platform.api.answers import error_response, status_of
from chains_platform.api.endpoints import Endpoint
from chains_platform.api.guard import Guard, TooLarge
from chains_platform.api.openapi import document
from chains_platform.services import Services
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError

_log = logging.getLogger(__name__)


async def openapi(services: Services, request: Request) -> Response:
    return JSONResponse(document(ENDPOINTS, ""))


ENDPOINTS: tuple[Endpoint, ...] = (
    *platform.ENDPOINTS,
    *blobs.ENDPOINTS,
    *chains.ENDPOINTS,
    Endpoint("GET", "/v1/openapi.json", openapi, "This document"),
)


def create_app(services: Services, allowed_hosts: Iterable[str] = ()) -> Starlette:
    """The control plane's HTTP API.

    Args:
        services: open and adopted; the caller closes them.
        allowed_hosts: names besides loopback that `Host` may have.
    """
    return Starlette(
        routes=[_route(services, endpoint) for endpoint in ENDPOINTS],
        middleware=[Middleware(Guard, token=services.tokens.api_token, allowed_hosts=tuple(allowed_hosts))],
        exception_handlers={HTTPException: _http_error},
    )


def _route(services: Services, endpoint: Endpoint) -> Route:
    async def handle(request: Request) -> Response:
        try:
            return await endpoint.handler(services, request)
        except DiagnosticsError as error:
            return error_response(status_of(error), error.diagnostics)
        except TooLarge:
            raise  # the guard answers
        except Exception as error:
            _log.exception("%s %s failed", endpoint.method, endpoint.path)
            return error_response(500, [_internal(error)])

    return Route(endpoint.path, handle, methods=[endpoint.method], name=endpoint.handler.__name__)


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    diagnostic = Diagnostic(
        code=Code.BAD_REQUEST,
        message=f"{request.method} {request.url.path}: {HTTPStatus(status).phrase.lower()}",
        help="`GET /v1/openapi.json` lists what there is",
    )
    return error_response(status, [diagnostic])


def _internal(error: Exception) -> Diagnostic:
    return Diagnostic(
        code=Code.INTERNAL,
        message=f"the platform failed: {type(error).__name__}",
        help="look at its log: `chains platform logs`",
    )


__all__ = ["ENDPOINTS", "create_app"]
