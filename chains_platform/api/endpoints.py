"""What an endpoint is: one entry makes a route and its part of the OpenAPI document."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from chains_platform.deploying.validation import NAME
from chains_platform.refusals import bad_request
from chains_platform.services import Services
from chains_protocol.digest import is_digest

Handler = Callable[[Services, Request], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """`path` as in Starlette; `request` None: no body, or raw bytes if `is_raw`."""

    method: str
    path: str
    handler: Handler
    summary: str
    request: type[BaseModel] | None = None
    reply: type[BaseModel] | None = None
    status: int = 200
    is_raw: bool = False
    is_stream: bool = False
    is_open: bool = False
    query: tuple[str, ...] = ()


def name_of(request: Request, parameter: str) -> str:
    """A path parameter that names something; refused (400) if it can't be a name."""
    value = str(request.path_params[parameter])
    if not NAME.fullmatch(value) or value in (".", ".."):
        raise bad_request(f"`{value[:100]}` can't be a name")
    return value


def digest_of(request: Request) -> str:
    value = str(request.path_params["digest"])
    if not is_digest(value):
        raise bad_request("a digest is 64 lower-case hex digits")
    return value


def number(request: Request, parameter: str, default: float = 0.0) -> float:
    text = request.query_params.get(parameter)
    if text is None or text == "":
        return default
    try:
        value = float(text)
    except ValueError:
        raise bad_request(f"`{parameter}` has to be a number") from None
    if not math.isfinite(value) or value < 0:
        raise bad_request(f"`{parameter}` has to be a number that is finite and not negative")
    return value


def flag(request: Request, parameter: str, default: bool) -> bool:
    text = request.query_params.get(parameter)
    return default if text is None else text.lower() not in ("0", "false", "no", "")


__all__ = ["Endpoint", "Handler", "digest_of", "flag", "name_of", "number"]
