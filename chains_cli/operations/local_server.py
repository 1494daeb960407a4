"""Serves a local chain over HTTP: the inside of `chains run-local --serve`.

Runs in the user's interpreter with the standard library, pydantic and our SDK. `POST
/run_remote` calls the entrypoint; the body and the answer are as behind a gateway. Pages are
texts that were given.
"""

import asyncio
import inspect
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from chains_protocol.rpc import BINARY_TYPE, JSON_TYPE, ErrorBody, RemoteErrorDetail
from truss_chains.endpoint_wire import BadInputError, BadResultError, EndpointWire, wire_of
from truss_chains.remote_errors import exception_to_detail, status_of

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_END: Final = object()
_WHAT_THERE_IS: Final = "there are `POST /run_remote`, `GET /` and `GET /openapi.json`"


Pages = Mapping[str, Sequence[str]]
"""Path -> content type, text."""
Described = Callable[[BaseException], str]


def serve(
    chainlet: type,
    instance: Any,
    listen_fd: int,
    *,
    ready: Callable[[], None],
    pages: Pages,
    described: Described,
) -> None:
    """Serve until SIGTERM or SIGINT; requests that are being served are finished.

    Args:
        chainlet: the entrypoint's class.
        instance: of it.
        listen_fd: the listening socket, which others may hold, too.
        ready: called when requests are served.
        pages: to be served besides.
        described: what to print about an exception of the user's code.
    """
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="chains-loop", daemon=True).start()
    server = _Server(listen_fd, _Target(instance, wire_of(chainlet), loop), pages, described)

    def stop(*_: object) -> None:
        threading.Thread(target=server.shutdown).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    ready()
    server.serve_forever(poll_interval=0.05)
    server.server_close()


class _Target:
    """The entrypoint's instance, called from any thread; its coroutines run on one loop."""

    def __init__(self, instance: Any, wire: EndpointWire, loop: asyncio.AbstractEventLoop) -> None:
        self._method: Callable[..., Any] = getattr(instance, wire.endpoint.method_name)
        self._loop = loop
        self.wire = wire

    def call(self, body: bytes) -> bytes:
        """The answer's body."""
        result = self._method(**self.wire.decode_inputs(body, binary=False))
        if inspect.isawaitable(result):
            result = self._on_loop(result)
        return self.wire.encode_output(result, binary=False)

    def stream(self, body: bytes) -> Iterator[bytes]:
        """The chunks of the answer."""
        stream = self._method(**self.wire.decode_inputs(body, binary=False))
        return (self._chunk(item) for item in self._items(stream))

    def _items(self, stream: Any) -> Iterator[Any]:
        if isinstance(stream, Iterator):
            yield from stream
            return
        while True:
            item = self._on_loop(anext(stream, _END))
            if item is _END:
                return
            yield item

    def _on_loop(self, awaitable: Awaitable[Any]) -> Any:
        result, error = asyncio.run_coroutine_threadsafe(_outcome(awaitable), self._loop).result()
        if error is not None:
            raise error
        return result

    def _chunk(self, item: Any) -> bytes:
        if isinstance(item, bytes):
            return item
        if isinstance(item, str):
            return item.encode()
        return self.wire.encode_output(item, binary=False) + b"\n"


async def _outcome(awaitable: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """A result or what was raised; a `SystemExit` that leaves a task would end the loop of all requests."""
    try:
        return await awaitable, None
    except BaseException as error:
        return None, error


class _Gone(Exception):
    """The client does not read on."""


class _Server(ThreadingHTTPServer):
    """Serves on a socket that others listen on too; its end waits for what is being served."""

    daemon_threads = False

    def __init__(self, listen_fd: int, target: _Target, pages: Pages, described: Described) -> None:
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=listen_fd)
        self.target = target
        self.pages = pages
        self.described = described

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no error of ours."""
        if not isinstance(sys.exception(), ConnectionError | _Gone):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One request a connection."""

    server: "_Server"
    protocol_version = "HTTP/1.1"
    server_version = "chains"
    sys_version = ""

    def do_POST(self) -> None:
        begin = time.perf_counter()
        status = self._answer()
        took = (time.perf_counter() - begin) * 1000
        sys.stderr.write(f"POST {self.path} {status} {took:.0f} ms\n")

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        page = self.server.pages.get(path)
        if not self._is_local():
            self._send(403, _error("only this machine may call"))
        elif page is not None:
            self._send(200, page[1].encode(), f"{page[0]}; charset=utf-8")
        elif path == "/run_remote":
            self._send(405, _error("send a `POST` with the input as JSON"))
        else:
            self._send(404, _error(_WHAT_THERE_IS))

    def log_message(self, format: str, *args: object) -> None:
        """Our own line says more."""

    def _answer(self) -> int:
        length = self.headers.get("Content-Length", "")
        body = self.rfile.read(int(length)) if length.isdecimal() else b""
        if (refusal := self._refusal()) is not None:
            return self._send(*refusal)
        target = self.server.target
        try:
            if not target.wire.is_streaming:
                status, answer = 200, target.call(body)
            else:
                chunks = target.stream(body)
                first = next(chunks, b"")  # an early error has a status of its own
                return self._stream(first, chunks)
        except BadInputError as error:
            status, answer = 400, _error(str(error))
        except BadResultError as error:
            sys.stderr.write(f"{error}\n")
            status, answer = 500, _error(str(error))
        except _Gone:
            raise
        except BaseException as error:  # whatever the user's code raises is answered
            sys.stderr.write(self.server.described(error))
            status, answer = status_of(error), _error(exception_to_detail(error))
        return self._send(status, answer)

    def _refusal(self) -> tuple[int, bytes] | None:
        """Only this machine, and no web page of another site, may call."""
        if not self._is_local():
            return 403, _error("only this machine may call")
        if self.headers.get_content_type() != JSON_TYPE:
            return 415, _error(f"send `Content-Type: {JSON_TYPE}`")
        if urlsplit(self.path).path != "/run_remote":
            return 404, _error(_WHAT_THERE_IS)
        return None

    def _is_local(self) -> bool:
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        origin = self.headers.get("Origin")
        return host in _LOOPBACK and (not origin or urlsplit(origin).hostname in _LOOPBACK)

    def _send(self, status: int, body: bytes, content_type: str = JSON_TYPE) -> int:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        return status

    def _stream(self, first: bytes, chunks: Iterator[bytes]) -> int:
        self.send_response(200)
        self.send_header("Content-Type", BINARY_TYPE)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        self._write_chunk(first)
        try:
            for chunk in chunks:
                self._write_chunk(chunk)
        except _Gone:
            raise
        except BaseException as error:  # a broken stream must not look complete: no last chunk
            sys.stderr.write(f"the stream broke off\n{self.server.described(error)}")
            return 200
        self.wfile.write(b"0\r\n\r\n")
        return 200

    def _write_chunk(self, chunk: bytes) -> None:
        if chunk:
            try:
                self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                self.wfile.flush()
            except OSError as error:
                raise _Gone from error


def _error(error: str | RemoteErrorDetail) -> bytes:
    return json.dumps(ErrorBody(error=error).model_dump(mode="json")).encode()


__all__ = ["serve"]
