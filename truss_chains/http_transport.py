"""POST to one service with httpx, which is imported with the first call.

Comes in: a body and a limit in seconds. Goes out: an `Answer`, or a stream that is open. A failure
without an answer is a `ConnectionError`; what took too long is a `TimeoutError`.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from truss_chains.calling import Answer
from truss_chains.codec import missing_module

if TYPE_CHECKING:
    import httpx

CLIENT_MAX_AGE_S: Final = 3600.0
SYNC_KEEPALIVE: Final = 50
GRACE: Final = 1.1
"""A replaced client may finish its calls for this many times the limit of one."""

_UNIX: Final = "http+unix"


@dataclass(frozen=True)
class Target:
    """Where a service is; `host` is the `Host` header if it differs from the URL's.

    `http+unix://<percent-encoded socket path>/...` reaches a service on this machine.
    """

    url: str
    host: str | None = None

    @property
    def socket_path(self) -> str | None:
        """The Unix socket, if it is one."""
        parts = urlsplit(self.url)
        return unquote(parts.netloc) if parts.scheme == _UNIX else None

    @property
    def http_url(self) -> str:
        """The URL as HTTP knows it."""
        parts = urlsplit(self.url)
        if parts.scheme != _UNIX:
            return self.url
        return urlunsplit(("http", "localhost", parts.path, parts.query, ""))


@dataclass(frozen=True)
class OpenStream:
    """An answer whose body is still to be read."""

    response: "httpx.Response"
    ends_at: float
    limit_s: float
    status: int
    retry_after_s: float | None = None


@dataclass
class _Kept:
    client: Any  # httpx.Client or httpx.AsyncClient
    made_at: float


class HttpTransport:
    """One client per kind (blocking, async), shared by all calls and replaced when it is old (S-04).

    Args:
        service_name: for errors.
        target: where the service is.
        limit_s: of one attempt; bounds how long a replaced client lives on.
        connections: that are kept open.
        clock: monotonic seconds.
        make_transport: makes httpx's transport of each client; None for the network.
    """

    def __init__(
        self,
        service_name: str,
        target: Target,
        *,
        limit_s: float,
        connections: int,
        clock: Callable[[], float] = time.monotonic,
        make_transport: Callable[[], Any] | None = None,
    ) -> None:
        self._service_name = service_name
        self._target = target
        self._url = target.http_url
        self._limit_s = limit_s
        self._connections = connections
        self._clock = clock
        self._make_transport = make_transport
        self._lock = threading.Lock()
        self._blocking: _Kept | None = None
        self._async: dict[asyncio.AbstractEventLoop, _Kept] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def send(self, body: bytes, headers: dict[str, str]) -> Answer:
        """One exchange, cancelled from outside when it takes too long."""
        with self._translated():
            response = await self._async_client().post(
                self._url, content=body, headers=self._headers(headers)
            )
            return _answer(response, response.content)

    async def open(self, body: bytes, headers: dict[str, str], limit_s: float) -> Answer | OpenStream:
        """Send, and return when the headers are there; an error answer is read whole."""
        ends_at = self._clock() + limit_s
        with self._translated():
            client = self._async_client()
            request = client.build_request("POST", self._url, content=body, headers=self._headers(headers))
            response = await client.send(request, stream=True)
            if response.status_code < 400:
                return OpenStream(response, ends_at, limit_s, response.status_code)
            try:
                return _answer(response, await response.aread())
            finally:
                await response.aclose()

    async def chunks(
        self, stream: OpenStream, timeout_error: Callable[[float], TimeoutError]
    ) -> AsyncIterator[bytes]:
        """The body as it arrives, closed at the end; the limit of the attempt goes on counting (S-11)."""
        received = stream.response.aiter_bytes()
        try:
            while True:
                timeout = asyncio.timeout(stream.ends_at - self._clock())
                try:
                    with self._translated("the stream of `{}` broke off"):
                        async with timeout:
                            chunk = await anext(received, None)
                except TimeoutError:
                    raise timeout_error(stream.limit_s) from None
                if chunk is None:
                    return
                yield chunk
        finally:
            await stream.response.aclose()

    def send_sync(self, body: bytes, headers: dict[str, str], limit_s: float) -> Answer:
        """One exchange of at most `limit_s` seconds, blocking."""
        httpx = _load_httpx()
        ends_at = self._clock() + limit_s
        # httpx limits each phase; the whole is limited by looking at the clock between chunks.
        timeout = httpx.Timeout(limit_s)
        client = self._blocking_client()
        with (
            self._translated(),
            client.stream(
                "POST", self._url, content=body, headers=self._headers(headers), timeout=timeout
            ) as response,
        ):
            parts: list[bytes] = []
            for chunk in response.iter_bytes():
                if self._clock() > ends_at:
                    raise TimeoutError
                parts.append(chunk)
            return _answer(response, b"".join(parts))

    def close(self) -> None:
        """Close the blocking client."""
        with self._lock:
            kept, self._blocking = self._blocking, None
        if kept is not None:
            kept.client.close()

    async def aclose(self) -> None:
        """Close the running loop's client, and wait for those that are being replaced."""
        loop = asyncio.get_running_loop()
        with self._lock:
            kept = self._async.pop(loop, None)
        if kept is not None:
            await kept.client.aclose()
        await asyncio.gather(*(task for task in tuple(self._closing) if task.get_loop() is loop))

    # --- clients -----------------------------------------------------------------------------------

    def _async_client(self) -> "httpx.AsyncClient":
        loop = asyncio.get_running_loop()
        kept = self._async.get(loop)
        if kept is not None and not self._is_old(kept):
            return kept.client  # type: ignore[no-any-return]  # of this kind
        httpx = _load_httpx()
        client: Any = httpx.AsyncClient(
            transport=self._transport(httpx.AsyncHTTPTransport),
            timeout=None,  # the limit of the attempt cancels the whole exchange
            follow_redirects=True,
            # Open streams hold connections beyond the limit of calls, so only idle ones are bounded.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=self._connections),
        )
        with self._lock:
            # A client belongs to its loop, and each `asyncio.run` has one: those of closed loops go.
            used = {other: one for other, one in self._async.items() if not other.is_closed()}
            self._async = {**used, loop: _Kept(client, self._clock())}
        if kept is not None:
            self._close_later(kept)
        return client  # type: ignore[no-any-return]  # of this kind

    def _blocking_client(self) -> "httpx.Client":
        with self._lock:
            kept = self._blocking
            if kept is not None and not self._is_old(kept):
                return kept.client  # type: ignore[no-any-return]  # of this kind
            httpx = _load_httpx()
            client: Any = httpx.Client(
                transport=self._transport(httpx.HTTPTransport),
                follow_redirects=True,
                limits=httpx.Limits(
                    max_connections=None, max_keepalive_connections=min(SYNC_KEEPALIVE, self._connections)
                ),
            )
            self._blocking = _Kept(client, self._clock())
        if kept is not None:
            # Other threads may be using it: closed when the last of their calls must have ended.
            timer = threading.Timer(self._limit_s * GRACE, kept.client.close)
            timer.daemon = True
            timer.start()
        return client  # type: ignore[no-any-return]  # of this kind

    def _is_old(self, kept: _Kept) -> bool:
        return self._clock() - kept.made_at >= CLIENT_MAX_AGE_S

    def _close_later(self, kept: _Kept) -> None:
        async def close() -> None:
            await asyncio.sleep(self._limit_s * GRACE)
            await kept.client.aclose()

        task = asyncio.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _transport(self, make: Callable[..., Any]) -> Any:
        if self._make_transport is not None:
            return self._make_transport()
        path = self._target.socket_path
        return None if path is None else make(uds=path)

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        return headers if self._target.host is None else {**headers, "Host": self._target.host}

    @contextmanager
    def _translated(self, text: str = "`{}` can't be reached") -> Iterator[None]:
        """httpx's errors as Python's own."""
        httpx = _load_httpx()
        try:
            yield
        except httpx.TimeoutException:
            raise TimeoutError from None
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise ConnectionError(f"{text.format(self._service_name)}: {reason}") from error


def _answer(response: "httpx.Response", body: bytes) -> Answer:
    return Answer(response.status_code, body, _retry_after_s(response.headers.get("retry-after", "")))


def _retry_after_s(text: str) -> float | None:
    """Seconds; a date is not honoured."""
    return float(text) if text.isdecimal() else None


def _load_httpx() -> Any:
    try:
        import httpx
    except ImportError as error:
        raise missing_module("httpx", "calls of deployed services") from error
    return httpx


__all__ = ["CLIENT_MAX_AGE_S", "HttpTransport", "OpenStream", "Target"]
