"""The data plane's wire: header names, revisions, tokens and the body of an error."""

from typing import Final, NamedTuple

from pydantic import BaseModel

AUTHORIZATION: Final = "authorization"
REVISION: Final = "x-chains-revision"
"""`<deployment id>.<version>`: stamped by the gateway, carried over every hop, never changed on the way."""
DEADLINE: Final = "x-chains-deadline"
"""Seconds the caller still waits, as decimal text; each hop subtracts what it used."""
REQUEST_ID: Final = "x-baseten-request-id"
CHAIN_REQUEST_ID: Final = "x-baseten-chain-request-id"
TRACEPARENT: Final = "traceparent"
FORWARDED: Final = (TRACEPARENT, REQUEST_ID, CHAIN_REQUEST_ID)
"""Passed on unchanged to dependencies when not empty (R-22)."""

PREDICT_PATH: Final = "/v1/models/model:predict"
READY_PATH: Final = "/v1/models/model"
WEBSOCKET_PATH: Final = "/v1/websocket"

ERROR_SOURCE_HEADER: Final = "X-BASETEN-ERROR-SOURCE"
ERROR_CODE_HEADER: Final = "X-BASETEN-ERROR-CODE"
ERROR_SOURCE: Final = "04"

JSON_TYPE: Final = "application/json"
BINARY_TYPE: Final = "application/octet-stream"


class Revision(NamedTuple):
    """Which code a request runs on: a deployment and its version, counted from 1."""

    deployment: str
    version: int

    def __str__(self) -> str:
        return f"{self.deployment}.{self.version}"

    @classmethod
    def parse(cls, text: str) -> "Revision":
        """Read `<deployment>.<version>`; `ValueError` for anything else."""
        deployment, dot, version = text.rpartition(".")
        if not dot or not deployment or not version.isdecimal():
            raise ValueError(f"not a revision: {text!r}")
        return cls(deployment, int(version))


def bearer_token(header: str) -> str:
    """The token of an `Authorization` header, `Bearer` or `Api-Key`; empty if there is none."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "api-key") else ""


class StackFrame(BaseModel):
    """One user frame of a remote traceback; `line` is the stripped source line."""

    filename: str
    lineno: int | None = None
    name: str
    line: str | None = None


class RemoteErrorDetail(BaseModel):
    """An exception that crossed the wire (X-01); `exception_module_name` is None for built-ins."""

    exception_cls_name: str
    exception_module_name: str | None = None
    exception_message: str
    user_stack_trace: list[StackFrame] = []

    def format(self) -> str:
        """The text of X-10: a traceback of user frames, class and message last."""
        lines = ["Chainlet-Traceback (most recent call last):"]
        for frame in self.user_stack_trace:
            lines.append(f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}')
            if frame.line:
                lines.append(f"    {frame.line}")
        lines.append(f"{self.exception_cls_name}: {self.exception_message}")
        if self.exception_module_name:
            lines.append(f"(exception class defined in `{self.exception_module_name}`)")
        return "\n".join(lines)


class ErrorBody(BaseModel):
    """The body of every error answer on the data plane."""

    error: RemoteErrorDetail | str


__all__ = [
    "AUTHORIZATION",
    "BINARY_TYPE",
    "CHAIN_REQUEST_ID",
    "DEADLINE",
    "ERROR_CODE_HEADER",
    "ERROR_SOURCE",
    "ERROR_SOURCE_HEADER",
    "FORWARDED",
    "JSON_TYPE",
    "PREDICT_PATH",
    "READY_PATH",
    "REQUEST_ID",
    "REVISION",
    "TRACEPARENT",
    "WEBSOCKET_PATH",
    "ErrorBody",
    "RemoteErrorDetail",
    "Revision",
    "StackFrame",
    "bearer_token",
]
