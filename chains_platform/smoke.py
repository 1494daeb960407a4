"""One call of a version that nobody else can see yet."""

import asyncio
from typing import Any, Final, Protocol

import httpx

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.rpc import AUTHORIZATION, PREDICT_PATH, REVISION, ErrorBody, Revision

_TIMEOUT_S: Final = 60.0
_SHOWN: Final = 4000


class SmokeCall(Protocol):
    """Calls an entrypoint's replica; raises `DiagnosticsError` (CH403) if the call fails."""

    async def __call__(
        self, address: str, token: str, revision: Revision, body: dict[str, object]
    ) -> None: ...


async def smoke_call(address: str, token: str, revision: Revision, body: dict[str, object]) -> None:
    """POST the input to a replica, as the gateway would."""
    uds = address.removeprefix("unix:") if address.startswith("unix:") else None
    base = "http://replica" if uds else address
    headers = {AUTHORIZATION: f"Api-Key {token}", REVISION: str(revision)}
    transport = httpx.AsyncHTTPTransport(uds=uds)
    try:
        async with (
            asyncio.timeout(_TIMEOUT_S),
            httpx.AsyncClient(transport=transport, base_url=base, timeout=_TIMEOUT_S) as client,
            client.stream("POST", PREDICT_PATH, json=body, headers=headers) as answer,
        ):
            data = await answer.aread()
    except (httpx.HTTPError, TimeoutError, OSError) as error:
        raise DiagnosticsError([_failed(f"the call did not end: {type(error).__name__} {error}")]) from error
    if answer.status_code != httpx.codes.OK:
        raise DiagnosticsError([_failed(f"it was answered with {answer.status_code}", _detail(data))])


def _detail(data: bytes) -> str:
    try:
        error: Any = ErrorBody.model_validate_json(data).error  # RemoteErrorDetail or text
        return error if isinstance(error, str) else str(error.format())
    except ValueError:
        return data[:_SHOWN].decode(errors="replace")


def _failed(why: str, detail: str | None = None) -> Diagnostic:
    return Diagnostic(
        code=Code.PATCH_FAILED,
        message=f"the smoke call on the new version failed: {why}",
        help="the former version goes on serving; correct the code and save again",
        detail=detail,
    )


__all__ = ["SmokeCall", "smoke_call"]
