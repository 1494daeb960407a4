"""The control plane's clients of replicas and of the gateway.

Connections stay open between messages, because a patch is a few of them in a row.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from chains_platform.net.http1 import Answer, Client, Unanswered, request_head
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.replica import (
    ADMIN_PREFIX,
    PrepareReply,
    PrepareRequest,
    ReplicaState,
    ReplicaStatus,
    RetireRequest,
    TransactionRequest,
)
from chains_protocol.routes import GatewayRoutes, GatewayStatus, ReplicaRoutes

_RETRY_S: Final = 0.01
"""Between two looks at a replica that does not listen or is not ready yet."""

_REPEATABLE: Final = ("GET", "PUT")

_Reply = TypeVar("_Reply", bound=BaseModel)


class _AdminClient:
    """Messages to one address, authenticated with its admin token."""

    def __init__(self, address: str, token: str, subject: str) -> None:
        self._address = address
        self._subject = subject
        self._http = Client()
        self._headers = [
            (b"host", b"localhost"),
            (b"authorization", b"Bearer " + token.encode()),
            (b"content-type", b"application/json"),
        ]

    async def close(self) -> None:
        """Close the kept connections."""
        self._http.close()

    async def ask(
        self,
        method: str,
        path: str,
        reply: type[_Reply],
        message: BaseModel | None = None,
        *,
        timeout_s: float = 60.0,
    ) -> _Reply:
        """One message and its reply; `ConnectionError` or `DiagnosticsError` if there is none."""
        body = message.model_dump_json().encode() if message is not None else b""
        headers = [*self._headers, (b"content-length", b"%d" % len(body))]
        data = request_head(method, ADMIN_PREFIX + path, headers) + body
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._send(method, data)
                text = await answer.read()
        except TimeoutError:
            raise DiagnosticsError([self._silent(timeout_s)]) from None
        return self._parse(answer, text, reply)

    async def _send(self, method: str, data: bytes) -> Answer:
        try:
            return await self._http.send(self._address, data)
        except Unanswered:
            if method not in _REPEATABLE:
                raise
            # a kept connection may have been closed at that moment; once more over a new one
            self._http.forget(self._address)
            return await self._http.send(self._address, data)

    def _parse(self, answer: Answer, text: bytes, reply: type[_Reply]) -> _Reply:
        if answer.status != HTTPStatus.OK:
            raise DiagnosticsError([self._refused(answer.status, text)])
        try:
            return reply.model_validate_json(text)
        except ValidationError as error:
            raise DiagnosticsError([self._refused(answer.status, str(error).encode())]) from error

    def _silent(self, timeout_s: float) -> Diagnostic:
        return Diagnostic(
            code=Code.NOT_READY,
            message=f"{self._subject} did not answer within {timeout_s:g} s",
            help="look at its log; restart it if it hangs",
        )

    def _refused(self, status: int, text: bytes) -> Diagnostic:
        return Diagnostic(
            code=Code.INTERNAL,
            message=f"{self._subject} answered {status} to a message of the control plane",
            detail=text.decode(errors="replace")[:4000] or None,
        )


class ReplicaClient:
    """What the control plane tells one replica (`chains_protocol.replica`)."""

    def __init__(self, address: str, admin_token: str, replica_id: str = "") -> None:
        self.address = address
        self._subject = f"replica `{replica_id}`" if replica_id else "the replica"
        self._admin = _AdminClient(address, admin_token, self._subject)

    async def status(self) -> ReplicaStatus:
        return await self._admin.ask("GET", "/status", ReplicaStatus, timeout_s=10.0)

    async def put_routes(self, routes: ReplicaRoutes) -> ReplicaStatus:
        return await self._admin.ask("PUT", "/routes", ReplicaStatus, routes, timeout_s=10.0)

    async def prepare(self, request: PrepareRequest, timeout_s: float = 600.0) -> PrepareReply:
        """Load the next generation; `timeout_s` is long because `__init__` may run."""
        return await self._admin.ask("POST", "/prepare", PrepareReply, request, timeout_s=timeout_s)

    async def commit(self, transaction: str) -> ReplicaStatus:
        message = TransactionRequest(transaction=transaction)
        return await self._admin.ask("POST", "/commit", ReplicaStatus, message)

    async def abort(self, transaction: str) -> ReplicaStatus:
        message = TransactionRequest(transaction=transaction)
        return await self._admin.ask("POST", "/abort", ReplicaStatus, message)

    async def retire(self, below: int, open_versions: tuple[int, ...] = ()) -> ReplicaStatus:
        message = RetireRequest(below=below, open_versions=open_versions)
        return await self._admin.ask("POST", "/retire", ReplicaStatus, message)

    async def drain(self) -> ReplicaStatus:
        return await self._admin.ask("POST", "/drain", ReplicaStatus)

    async def wait_ready(self, is_alive: Callable[[], bool], timeout_s: float) -> ReplicaStatus:
        """Return the status of a replica that is ready.

        Args:
            is_alive: whether its process still runs; asked before every look.
            timeout_s: the longest wait, seconds.

        Raises:
            DiagnosticsError: what the replica says of its failed start; CH502 if the process
                is gone (ask the engine for the reason); CH503 after `timeout_s`.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        state = "not listening"
        while loop.time() < deadline:
            if not is_alive():
                raise DiagnosticsError([self._gone()])
            try:
                status = await self.status()
            except ConnectionError:
                pass  # not listening yet, or going down: `is_alive` tells
            else:
                if status.state is ReplicaState.READY:
                    return status
                if status.state is ReplicaState.FAILED:
                    raise DiagnosticsError(status.diagnostics or [self._gone()])
                state = status.state.value
            await asyncio.sleep(_RETRY_S)
        raise DiagnosticsError([self._late(state, timeout_s)])

    async def close(self) -> None:
        """Close the kept connections."""
        await self._admin.close()

    def _gone(self) -> Diagnostic:
        return Diagnostic(
            code=Code.REPLICA_CRASHED,
            message=f"{self._subject} ended before it was ready",
            help="look at its log",
        )

    def _late(self, state: str, timeout_s: float) -> Diagnostic:
        return Diagnostic(
            code=Code.REPLICA_START_TIMED_OUT,
            message=f"{self._subject} was not ready after {timeout_s:g} s; it is {state}",
            help="look at its log; what `__init__` loads may need longer than the start timeout",
        )


class GatewayClient:
    """What the control plane tells the gateway.

    Args:
        address: `unix:<path>` (`Layout.gateway_socket`) or `http://host:port`.
        admin_token: `Tokens.gateway_admin`.
    """

    def __init__(self, address: str, admin_token: str) -> None:
        self.address = address
        self._admin = _AdminClient(address, admin_token, "the gateway")

    async def put_routes(self, routes: GatewayRoutes) -> GatewayStatus:
        """Replace the whole table; what the gateway holds when this returns is this table or a newer one."""
        return await self._admin.ask("PUT", "/routes", GatewayStatus, routes, timeout_s=10.0)

    async def status(self) -> GatewayStatus:
        return await self._admin.ask("GET", "/status", GatewayStatus, timeout_s=10.0)

    async def wait_drained(self, deployment: str, below: int, timeout_s: float) -> bool:
        """Wait until no request of `deployment` with a version below `below` is open.

        The gateway holds the question open and answers at the moment it is true.

        Returns:
            False if some are still open after `timeout_s`.
        """
        path = f"/drained?deployment={quote(deployment)}&below={below}&timeout_s={timeout_s:g}"
        status = await self._admin.ask("GET", path, GatewayStatus, timeout_s=timeout_s + 10.0)
        return not has_open(status.in_flight, deployment, below)

    async def close(self) -> None:
        """Close the kept connections."""
        await self._admin.close()


def has_open(in_flight: dict[str, int], deployment: str, below: int) -> bool:
    """Whether a request of `deployment` with a version below `below` is among those in flight."""
    for revision, count in in_flight.items():
        name, _, version = revision.rpartition(".")
        if count and name == deployment and int(version) < below:
            return True
    return False


__all__ = ["GatewayClient", "ReplicaClient", "has_open"]
