"""Serves a local chain over HTTP: the inside of `chains run-local --serve`.

Runs in the user's interpreter with the standard library, pydantic and our SDK. `POST
/run_remote` calls the entrypoint; the body and the answer are as behind a gateway.
"""

import asyncio
import inspect
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from chains_protocol.rpc import BINARY_TYPE, JSON_TYPE, ErrorBody, RemoteErrorDetail
from truss_chains.endpoint_wire import BadInputError, BadResultError, EndpointWire, wire_of
from truss_chains.remote_errors import exception_to_detail, status_of

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_END: Final = object()


def serve(chainlet: type, instance: Any, listen_fd: int, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; requests that are being served are finished."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="chains-loop", daemon=True).start()
    server = _Server(listen_fd, _Target(instance, wire_of(chainlet), loop))

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
            result = asyncio.run_coroutine_threadsafe(_awaited(result), self._loop).result()
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
            item = asyncio.run_coroutine_threadsafe(_next(stream), self._loop).result()
            if item is _END:
                return
            yield item

    def _chunk(self, item: Any) -> bytes:
        if isinstance(item, bytes):
            return item
        if isinstance(item, str):
            return item.encode()
        return self.wire.encode_output(item, binary=False) + b"\n"


async def _awaited(result: Any) -> Any:
    return await result


async def _next(stream: AsyncIterator[Any]) -> Any:
    return await anext(stream, _END)


class _Server(ThreadingHTTPServer):
    """Serves on a socket that others listen on too; its end waits for what is being served."""

    daemon_threads = False

    def __init__(self, listen_fd: int, target: _Target) -> None:
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=listen_fd)
        self.target = target


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

    def log_message(self, format: str, *args: object) -> None:
        """Our own line says more."""

    def _answer(self) -> int:
        length = self.headers.get("Content-Length", "")
        body = self.rfile.read(int(length)) if length.isdecimal() else b""
        if (refusal := self._refusal()) is not None:
            return self._send(*refusal)
        try:
            if self.server.target.wire.is_streaming:
                return self._stream(self.server.target.stream(body))
            return self._send(200, self.server.target.call(body))
        except BadInputError as error:
            return self._send(400, _error(str(error)))
        except BadResultError as error:
            return self._send(500, _error(str(error)))
        except Exception as error:  # whatever the user's code raises is answered
            return self._send(status_of(error), _error(exception_to_detail(error)))

    def _refusal(self) -> tuple[int, bytes] | None:
        """Only this machine, and no web page of another site, may call."""
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        origin = self.headers.get("Origin")
        if host not in _LOOPBACK or (origin and urlsplit(origin).hostname not in _LOOPBACK):
            return 403, _error("only this machine may call")
        if self.headers.get_content_type() != JSON_TYPE:
            return 415, _error(f"send `Content-Type: {JSON_TYPE}`")
        if urlsplit(self.path).path != "/run_remote":
            return 404, _error("there is only `POST /run_remote`")
        return None

    def _send(self, status: int, body: bytes) -> int:
        self.send_response(status)
        self.send_header("Content-Type", JSON_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        return status

    def _stream(self, chunks: Iterator[bytes]) -> int:
        """Headers go out with the first chunk, so that an early error has a status."""
        first = next(chunks, b"")
        self.send_response(200)
        self.send_header("Content-Type", BINARY_TYPE)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        self._write_chunk(first)
        try:
            for chunk in chunks:
                self._write_chunk(chunk)
        except Exception as error:  # a broken stream must not look complete: no last chunk
            sys.stderr.write(f"the stream broke off: {type(error).__name__}: {error}\n")
            return 200
        self.wfile.write(b"0\r\n\r\n")
        return 200

    def _write_chunk(self, chunk: bytes) -> None:
        if chunk:
            self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            self.wfile.flush()


def _error(error: str | RemoteErrorDetail) -> bytes:
    return json.dumps(ErrorBody(error=error).model_dump(mode="json")).encode()


__all__ = ["serve"]
