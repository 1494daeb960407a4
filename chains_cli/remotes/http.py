"""One HTTP client of a control plane: sends, and translates every failure once."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from chains_cli.remotes.sse import ServerEvent, read_events
from chains_protocol.control import ApiError
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError

ModelT = TypeVar("ModelT", bound=BaseModel)
Sleep = Callable[[float], None]

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 60.0
STREAM_SILENCE_S: Final = 60.0
"""A stream that is silent for longer is taken for broken; a control plane sends comments in between."""
RESUME_WITHIN_S: Final = 30.0
"""How long a broken stream or upload is tried again before it is given up."""

_RESUME_PAUSE_S: Final = 0.2
_RESUME_PAUSE_MAX_S: Final = 3.0
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_UNKNOWN: Final = {401: Code.REMOTE_REFUSED_TOKEN, 403: Code.REMOTE_REFUSED_TOKEN, 409: Code.STALE_BASE}


class Patience:
    """Waits between attempts while the connection breaks, longer each time, and gives up after a while."""

    def __init__(self, sleep: Sleep, clock: Callable[[], float]) -> None:
        self._sleep = sleep
        self._clock = clock
        self._deadline: float | None = None
        self._pause_s = _RESUME_PAUSE_S

    def wait(self, error: DiagnosticsError, also: Collection[Code] = ()) -> None:
        """Wait before the next attempt; raises `error` if there is to be none.

        Args:
            error: why the last one failed.
            also: codes, besides a broken connection, that another attempt can help against.
        """
        if any(d.code is not Code.REMOTE_UNREACHABLE and d.code not in also for d in error.diagnostics):
            raise error
        if self._deadline is not None and self._clock() >= self._deadline:
            raise error
        self._deadline = self._deadline if self._deadline is not None else self._clock() + RESUME_WITHIN_S
        self._sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _RESUME_PAUSE_MAX_S)

    def renew(self) -> None:
        """Something got through: begin anew."""
        self._deadline, self._pause_s = None, _RESUME_PAUSE_S


class ControlClient:
    """Requests to one control plane over kept-alive connections; threads may share it."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Sleep = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url.rstrip("/")
        self._sleep = sleep
        self._clock = clock
        parts = urlsplit(self.url)
        is_local = parts.hostname in _LOOPBACK
        self._client = httpx.Client(
            headers={"authorization": _authorization(token), "user-agent": "chains"},
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            transport=transport,
            trust_env=not is_local,
            # without TLS nothing is verified, and certificates take time to read
            verify=not (is_local and parts.scheme == "http"),
        )

    def close(self) -> None:
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        reply: type[ModelT],
        *,
        body: BaseModel | None = None,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> ModelT:
        """Send one request and read its answer as `reply`; a body in pieces needs its length in `headers`.

        Raises:
            DiagnosticsError: CH301, CH302, CH306 or what the remote said.
        """
        kind = "application/json" if content is None else "application/octet-stream"
        data = content if content is not None else body.model_dump_json().encode() if body else b""
        with self.sending():
            answer = self._client.request(
                method,
                self.url + path,
                content=data,
                headers={**(headers or {}), **({"content-type": kind} if data else {})},
                timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            )
        if not answer.is_success:
            raise refusal(self.url, answer.status_code, answer.content)
        try:
            return reply.model_validate_json(answer.content)
        except ValidationError as error:
            raise _not_understood(self.url, f"{method} {path}", error) from error

    def headers_of(self, path: str) -> Mapping[str, str]:
        """The headers that `HEAD` is answered with, empty if the remote has nothing to say; raises CH301."""
        with self.sending():
            answer = self._client.head(self.url + path)
        return answer.headers if answer.is_success else {}

    def fetch(self, path: str, *, timeout_s: float) -> bytes:
        """The bytes at a path; raises as `ask`."""
        with self.sending():
            timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
            answer = self._client.get(self.url + path, timeout=timeout)
        if not answer.is_success:
            raise refusal(self.url, answer.status_code, answer.content)
        return answer.content

    def ask_again(
        self, method: str, path: str, reply: type[ModelT], *, content: bytes, timeout_s: float
    ) -> ModelT:
        """`ask`, for a request that may arrive twice: repeated while the connection breaks.

        Given up `RESUME_WITHIN_S` after the first failure; raises as `ask`.
        """
        patience = self.patience()
        while True:
            try:
                return self.ask(method, path, reply, content=content, timeout_s=timeout_s)
            except DiagnosticsError as error:
                patience.wait(error)

    def patience(self) -> "Patience":
        """How long one undertaking is tried again."""
        return Patience(self._sleep, self._clock)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Turns what goes wrong on the way into CH301."""
        try:
            yield
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise unreachable(self.url, error) from error

    @contextmanager
    def stream(
        self,
        method: str,
        url: str,
        *,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        silence_s: float | None = STREAM_SILENCE_S,
    ) -> Iterator[httpx.Response]:
        """Open one response whose body is read piece by piece; its status is not judged."""
        with (
            self.sending(),
            self._client.stream(
                method,
                url,
                content=content or None,
                headers=headers,
                timeout=httpx.Timeout(silence_s, connect=CONNECT_TIMEOUT_S),
            ) as response,
        ):
            yield response

    def events(self, path_after: Callable[[str | None], str], *, follow: bool) -> Iterator[ServerEvent]:
        """Read an event stream; a broken one is resumed after the last id.

        Args:
            path_after: the path to ask for, given the last id seen.
            follow: whether the stream has no end of its own; if not, its end ends this iterator.
        """
        last_id: str | None = None
        deadline: float | None = None
        while True:
            try:
                for event in self._events_once(path_after(last_id)):
                    deadline = None
                    last_id = event.id or last_id
                    yield event
                if not follow:
                    return
            except DiagnosticsError as error:
                can_resume = last_id is not None or follow
                if not can_resume or any(d.code is not Code.REMOTE_UNREACHABLE for d in error.diagnostics):
                    raise
                if deadline is not None and self._clock() >= deadline:
                    raise
            deadline = deadline if deadline is not None else self._clock() + RESUME_WITHIN_S
            self._sleep(_RESUME_PAUSE_S)

    def _events_once(self, path: str) -> Iterator[ServerEvent]:
        with self.stream("GET", self.url + path, headers={"accept": "text/event-stream"}) as response:
            if not response.is_success:
                raise refusal(self.url, response.status_code, response.read())
            yield from read_events(response.iter_lines())


def _authorization(token: str) -> str:
    """A header for any token: one that no header can carry is no token of a platform, which then says so."""
    can_be_sent = token.isascii() and token.isprintable()
    return f"Bearer {token.strip() if can_be_sent else ''}".rstrip()


def refusal(url: str, status: int, body: bytes) -> DiagnosticsError:
    """What an error answer means: its own diagnostics, or one made from the status."""
    try:
        diagnostics = ApiError.model_validate_json(body).diagnostics
    except ValidationError:
        diagnostics = ()
    if diagnostics:
        return DiagnosticsError(diagnostics)
    code = _UNKNOWN.get(status, Code.BAD_REQUEST)
    text = body.decode("utf-8", "replace").strip()
    return DiagnosticsError(
        [
            Diagnostic(
                code=code,
                message=f"`{url}` answered with status {status}",
                detail=text[:2000] or None,
                help=_STATUS_HELP.get(code, "check that the address is that of a Chains platform"),
            )
        ]
    )


_STATUS_HELP: Final = {
    Code.REMOTE_REFUSED_TOKEN: "check the token of this remote: `chains remote list` shows where it is kept",
    Code.STALE_BASE: "look at `chains status`, then try again",
}


def unreachable(url: str, error: Exception) -> DiagnosticsError:
    """CH301, with the reason the operating system or the connection gave."""
    reason = str(error) or type(error).__name__
    return DiagnosticsError(
        [
            Diagnostic(
                code=Code.REMOTE_UNREACHABLE,
                message=f"`{url}` cannot be reached: {reason}",
                help="`chains platform status` tells whether the platform of this machine runs",
            )
        ]
    )


def _not_understood(url: str, request: str, error: ValidationError) -> DiagnosticsError:
    return DiagnosticsError(
        [
            Diagnostic(
                code=Code.BAD_REQUEST,
                message=f"the answer of `{url}` to `{request}` is not understood",
                detail=str(error),
                help="check that the address is that of a Chains platform of a fitting version",
            )
        ]
    )


__all__ = ["ControlClient", "Patience", "refusal", "unreachable"]
