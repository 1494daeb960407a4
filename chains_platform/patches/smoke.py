"""One call of a version that nobody else can see yet."""

import asyncio
import json
from typing import Any, Final, Protocol

from chains_platform.net.http1 import Client, request_head
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.rpc import (
    AUTHORIZATION,
    JSON_TYPE,
    PREDICT_PATH,
    REVISION,
    ErrorBody,
    Revision,
)

_TIMEOUT_S: Final = 60.0
_SHOWN: Final = 4000


class SmokeCall(Protocol):
    """Calls an entrypoint's replica; raises `DiagnosticsError` (CH403) if the call fails."""

    async def __call__(
        self, address: str, token: str, revision: Revision, body: dict[str, object]
    ) -> None: ...


async def smoke_call(address: str, token: str, revision: Revision, body: dict[str, object]) -> None:
    """POST the input to a replica, as the gateway would; a stream is read to its end."""
    content = json.dumps(body).encode()
    headers = [
        (b"host", b"localhost"),
        (b"content-type", JSON_TYPE.encode()),
        (b"content-length", b"%d" % len(content)),
        (AUTHORIZATION.encode(), f"Api-Key {token}".encode()),
        (REVISION.encode(), str(revision).encode()),
    ]
    client = Client()
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            answer = await client.send(address, request_head("POST", PREDICT_PATH, headers) + content)
            data = await answer.read()
    except TimeoutError:
        raise DiagnosticsError([_failed(f"it did not end within {_TIMEOUT_S:g} s")]) from None
    except ConnectionError as error:
        raise DiagnosticsError([_failed(f"the connection was lost ({error})")]) from error
    finally:
        client.close()
    if answer.status != 200:
        raise DiagnosticsError([_failed(f"it was answered with {answer.status}", _detail(data))])


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
