"""What belongs to one call inside a replica: its generation of code, and what it passes on (R-22).

Kept in context variables, so it follows tasks and the pool that runs sync methods. Plain threads
that user code starts do not inherit it. The part that clients of the SDK read, too, is
`truss_chains.calling.CURRENT_REQUEST`.
"""

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chains_protocol.rpc import DEADLINE, FORWARDED, REVISION, Revision
from truss_chains.calling import CURRENT_REQUEST, RequestContext

if TYPE_CHECKING:
    from chains_runtime.generation import Generation

_FORWARDED: Final = {name.encode(): name for name in FORWARDED}
_REVISION: Final = REVISION.encode()
_DEADLINE: Final = DEADLINE.encode()


@dataclass(frozen=True, slots=True)
class Call:
    """One call: the generation it runs on, and its revision if it has one."""

    generation: "Generation"
    revision: Revision | None
    head: bytes = b""
    """Header lines that every call to a dependency repeats unchanged."""


_CURRENT: Final[ContextVar[Call | None]] = ContextVar("chains_call", default=None)


def current_call() -> Call | None:
    """The call that the running code belongs to; None outside of any."""
    return _CURRENT.get()


def enter_call(call: Call, request: RequestContext) -> None:
    """Make this the current call of the running task or copied context; it ends with that."""
    _CURRENT.set(call)
    CURRENT_REQUEST.set(request)


@dataclass(frozen=True, slots=True)
class RequestHeaders:
    """The headers of a request that matter to us."""

    content_type: bytes = b""
    authorization: bytes = b""
    accept: bytes = b""
    user_agent: bytes = b""
    revision: bytes = b""
    deadline: bytes = b""
    forwarded: tuple[tuple[bytes, bytes], ...] = ()

    def revision_or_none(self) -> Revision | None:
        """The stamped revision; None if there is none, or nothing readable."""
        if not self.revision:
            return None
        try:
            return Revision.parse(self.revision.decode("latin-1"))
        except ValueError:
            return None

    def deadline_at(self, now: float) -> float | None:
        """When the caller stops waiting, on the monotonic clock."""
        if not self.deadline:
            return None
        try:
            remaining_s = float(self.deadline)
        except ValueError:
            return None
        return now + remaining_s if remaining_s < float("inf") else None

    def request_context(self, now: float) -> RequestContext:
        """The part for clients of the SDK."""
        forwarded = {_FORWARDED[name]: value.decode("latin-1") for name, value in self.forwarded}
        return RequestContext(forwarded, self.revision.decode("latin-1"), self.deadline_at(now))

    def head(self, revision: Revision | None) -> bytes:
        """The header lines that calls to dependencies repeat."""
        lines = [name + b": " + value + b"\r\n" for name, value in self.forwarded]
        if revision is not None:
            lines.append(_REVISION + b": " + str(revision).encode() + b"\r\n")
        return b"".join(lines)


_KNOWN: Final = {
    b"content-type": "content_type",
    b"authorization": "authorization",
    b"accept": "accept",
    b"user-agent": "user_agent",
    _REVISION: "revision",
    _DEADLINE: "deadline",
}


def read_headers(headers: Iterable[tuple[bytes, bytes]]) -> RequestHeaders:
    """Pick what matters from headers whose names are in lower case."""
    found: dict[str, bytes] = {}
    forwarded: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        field = _KNOWN.get(name)
        if field is not None:
            found[field] = value
        elif name in _FORWARDED and value:
            forwarded.append((name, value))
    return RequestHeaders(**found, forwarded=tuple(forwarded))


__all__ = ["Call", "RequestHeaders", "current_call", "enter_call", "read_headers"]
