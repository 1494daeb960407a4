"""What belongs to one call inside a replica: its generation of code, and what it passes on (R-22).

Kept in context variables, so it follows tasks and the pool that runs sync methods. Plain threads
that user code starts do not inherit it. The part that clients of the SDK read, too, is
`truss_chains.calling.CURRENT_REQUEST`.
"""

from collections.abc import Iterable
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from chains_protocol.rpc import DEADLINE, FORWARDED, REVISION, Revision
from truss_chains.calling import CURRENT_REQUEST, RequestContext

if TYPE_CHECKING:
    from chains_runtime.generation import Generation

_FORWARDED: Final = {name.encode(): name for name in FORWARDED}
_REVISION: Final = REVISION.encode()
_DEADLINE: Final = DEADLINE.encode()


class Call(NamedTuple):
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


class RequestHeaders(NamedTuple):
    """The headers of a request that matter to us. Tuples, because every request makes one."""

    content_type: bytes = b""
    authorization: bytes = b""
    accept: bytes = b""
    user_agent: bytes = b""
    revision: bytes = b""
    deadline: bytes = b""
    forwarded: tuple[tuple[bytes, bytes], ...] = ()

    def revision_or_none(self) -> Revision | None:
        """The stamped revision; None if there is none, or nothing readable."""
        return _parse_revision(self.revision) if self.revision else None

    def deadline_at(self, now: float) -> float | None:
        """When the caller stops waiting, on the monotonic clock."""
        if not self.deadline:
            return None
        try:
            remaining_s = float(self.deadline)
        except ValueError:
            return None
        return now + remaining_s if remaining_s < float("inf") else None

    def request_context(self, deadline: float | None) -> RequestContext:
        """The part for clients of the SDK."""
        forwarded = {_FORWARDED[name]: value.decode("latin-1") for name, value in self.forwarded}
        return RequestContext(forwarded, self.revision.decode("latin-1"), deadline)

    def head(self, revision: Revision | None) -> bytes:
        """The header lines that calls to dependencies repeat."""
        stamp = b"" if revision is None else b"%s: %s\r\n" % (_REVISION, self.revision)
        if not self.forwarded:
            return stamp
        return b"".join([name + b": " + value + b"\r\n" for name, value in self.forwarded]) + stamp


@lru_cache(maxsize=1024)
def _parse_revision(text: bytes) -> Revision | None:
    """Few differ at one time, so most are known."""
    try:
        return Revision.parse(text.decode("latin-1"))
    except ValueError:
        return None


_FIELDS: Final = {
    b"content-type": 0,
    b"authorization": 1,
    b"accept": 2,
    b"user-agent": 3,
    _REVISION: 4,
    _DEADLINE: 5,
}


def read_headers(headers: Iterable[tuple[bytes, bytes]]) -> RequestHeaders:
    """Pick what matters from headers whose names are in lower case."""
    found = [b"", b"", b"", b"", b"", b""]
    forwarded: tuple[tuple[bytes, bytes], ...] = ()
    for name, value in headers:
        field = _FIELDS.get(name)
        if field is not None:
            found[field] = value
        elif name in _FORWARDED and value:
            forwarded += ((name, value),)
    return RequestHeaders._make((*found, forwarded))


__all__ = ["Call", "RequestHeaders", "current_call", "enter_call", "read_headers"]
