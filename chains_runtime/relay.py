"""A loopback HTTP address for the siblings of one replica: rewrites a request's head, then passes bytes.

`/chainlet/<display name>/run_remote` is the sibling's predict endpoint, `/websocket` its websocket,
`/sync/<path>` any other path of its server. It runs in a thread with a loop of its own, so that a
client which blocks the replica's event loop gets its answer all the same.
"""

import asyncio
import contextlib
import hmac
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from chains_protocol.routes import ReplicaSet
from chains_protocol.rpc import PREDICT_PATH, REVISION, WEBSOCKET_PATH, Revision, bearer_token
from chains_runtime.route_table import RouteTable
from chains_runtime.transport import CONNECT_TIMEOUT_S, Target

_PREFIX: Final = "/chainlet/"
_MAX_HEAD_BYTES: Final = 64 * 1024
_PIECE_BYTES: Final = 64 * 1024
_REPLACED: Final = frozenset({"authorization", "host", "connection", "keep-alive", "proxy-connection"})
_CLOSE_WITHIN_S: Final = 5.0


@dataclass(frozen=True)
class _Refused(Exception):
    status: int
    text: str


@dataclass(frozen=True)
class Head:
    """The first lines of a request; header names keep their spelling."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, data: bytes) -> "Head":
        """Read it; `ValueError` if it is no request of HTTP/1.1."""
        first, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, path, version = first.split(" ")
        if not version.startswith("HTTP/1.") or not path.startswith("/"):
            raise ValueError("not a request")
        pairs = [line.partition(":") for line in lines]
        if any(not colon or not name or name != name.strip() for name, colon, _ in pairs):
            raise ValueError("not a header")
        return cls(method, path, tuple((name, value.strip()) for name, _, value in pairs))

    def value(self, name: str) -> str:
        """Of a header, empty if it is not there."""
        return next((value for known, value in self.headers if known.lower() == name), "")


def inner_path(path: str) -> tuple[str, str] | None:
    """The display name and the path at that sibling; None if the path means nothing here.

    >>> inner_path("/chainlet/My%20Truss/sync/v1/embeddings?x=1")
    ('My Truss', '/v1/embeddings?x=1')
    """
    if not path.startswith(_PREFIX):
        return None
    name, _, rest = path.removeprefix(_PREFIX).partition("/")
    action, _, query = rest.partition("?")
    fixed = {"run_remote": PREDICT_PATH, "websocket": WEBSOCKET_PATH}.get(action)
    if fixed is not None:
        return unquote(name), f"{fixed}?{query}" if query else fixed
    return (unquote(name), "/" + rest.removeprefix("sync/")) if rest.startswith("sync/") else None


class Relay:
    """Listens as soon as it is made. `port` is where.

    Args:
        routes: returns the table that holds now.
        revision: of requests that carry none.
        key: what `Authorization` has to hold.
    """

    def __init__(
        self,
        routes: Callable[[], RouteTable],
        revision: Callable[[], Revision],
        key: str,
    ) -> None:
        self.names: Mapping[str, str] = {}
        """Display name -> class name of what may be called; replaced as a whole."""
        self.key = key
        self._routes = routes
        self._revision = revision
        self._turn = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chains-relay", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_MAX_HEAD_BYTES)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._pass_on(reader, writer)
        except _Refused as refused:
            body = refused.text.encode()
            head = f"HTTP/1.1 {refused.status} Refused\r\ncontent-type: text/plain\r\nconnection: close\r\n"
            writer.write(head.encode() + b"content-length: %d\r\n\r\n%s" % (len(body), body))
            with contextlib.suppress(OSError):
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # either side has gone: the other one sees its connection end
        finally:
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = Head.parse(await reader.readuntil(b"\r\n\r\n"))
        except ValueError as error:
            raise _Refused(400, "the request is not understood") from error
        chosen, path = self._chosen(head)
        inner, outer = await _connect(chosen, self._next())
        try:
            outer.write(self._rewritten(head, path, chosen.token))
            await _both_ways(reader, writer, inner, outer)
        finally:
            outer.close()

    def _chosen(self, head: Head) -> tuple[ReplicaSet, str]:
        """The replicas that a request goes to, and the path there."""
        if not hmac.compare_digest(bearer_token(head.value("authorization")).encode(), self.key.encode()):
            raise _Refused(401, "the key of this replica is required")
        found = inner_path(head.path)
        class_name = self.names.get(found[0]) if found is not None else None
        if found is None or class_name is None:
            raise _Refused(404, "there is no such sibling")
        name, path = found
        chosen = self._routes().target(class_name, self._stamp(head))
        if chosen is None or not chosen.addresses:
            raise _Refused(503, f"no replica of `{name}` is known")
        return chosen, path

    def _stamp(self, head: Head) -> Revision:
        try:
            return Revision.parse(head.value(REVISION))
        except ValueError:
            return self._revision()

    def _next(self) -> int:
        self._turn += 1
        return self._turn

    def _rewritten(self, head: Head, path: str, token: str) -> bytes:
        lines = [f"{head.method} {path} HTTP/1.1", "host: chainlet", f"authorization: Api-Key {token}"]
        if not head.value(REVISION):
            lines.append(f"{REVISION}: {self._revision()}")
        # one exchange a connection: nothing has to be read to know where the next one begins
        lines.append(f"connection: {'Upgrade' if head.value('upgrade') else 'close'}")
        lines += [f"{name}: {value}" for name, value in head.headers if name.lower() not in _REPLACED]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def close(self) -> None:
        """Accept nothing more and end what is open."""

        async def end() -> None:
            self._server.close()
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(_CLOSE_WITHIN_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=_CLOSE_WITHIN_S)
        self._loop.close()


async def _connect(chosen: ReplicaSet, turn: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to one of the replicas; the next one is tried where one cannot be reached."""
    addresses = chosen.addresses
    for number in range(len(addresses)):
        target = Target.parse(addresses[(turn + number) % len(addresses)])
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                if target.path is not None:
                    return await asyncio.open_unix_connection(target.path)
                return await asyncio.open_connection(target.host, target.port)
        except (OSError, TimeoutError):
            continue
    raise _Refused(503, "no replica of the sibling can be reached")


async def _both_ways(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    inner: asyncio.StreamReader,
    outer: asyncio.StreamWriter,
) -> None:
    """Until the sibling has answered; a client that goes away ends it, too."""
    sending = asyncio.create_task(_pump(reader, outer))
    answering = asyncio.create_task(_pump(inner, writer))
    try:
        await asyncio.wait([sending, answering], return_when=asyncio.FIRST_COMPLETED)
        if not answering.done() and not reader.at_eof():
            await answering
    finally:
        for task in (sending, answering):
            task.cancel()
        await asyncio.gather(sending, answering, return_exceptions=True)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while piece := await source.read(_PIECE_BYTES):
        sink.write(piece)
        await sink.drain()


__all__ = ["Head", "Relay", "inner_path"]
