"""How a replica's stubs reach other replicas, from whichever thread or event loop they are used."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, TypeVar

from chains_runtime.connection import BodyStream
from chains_runtime.route_table import RouteTable, Way
from chains_runtime.transport import Client, NotReached, Request
from truss_chains.calling import Answer
from truss_chains.errors import ChainsRuntimeError

ResultT = TypeVar("ResultT")


WAIT_S: Final = 10.0
"""So long a call waits for a replica that is starting, as a request does at the gateway."""
_FIRST_PAUSE_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 0.25


class Outbound:
    """What all stubs of a replica share: routes and clients.

    Args:
        routes: returns the table that holds now.
        client: for calls made on `loop`.
        loop: the replica's event loop.
        wait_s: how long a call waits for a replica that takes it; less if its own limit is less.
    """

    def __init__(
        self,
        routes: Callable[[], RouteTable],
        client: Client,
        loop: asyncio.AbstractEventLoop,
        wait_s: float = WAIT_S,
    ) -> None:
        self.routes = routes
        self.client = client
        self.loop = loop
        self.waiting = 0
        """Calls that wait for a replica."""
        self._wait_s = wait_s
        self._side: _SideLoop | None = None
        self._lock = threading.Lock()

    async def fetch(self, way: Way, request: Request) -> Answer:
        """A whole answer."""
        if asyncio.get_running_loop() is self.loop:
            return _whole(await self._send(self.client, way, request))
        # A loop that user code runs itself: connections belong to another one.
        side = self._side_loop()
        work = asyncio.run_coroutine_threadsafe(self._send(side.client, way, request), side.loop)
        return _whole(await asyncio.wrap_future(work))

    async def open(self, way: Way, request: Request) -> Answer | BodyStream:
        """A stream, or the error answer that came instead."""
        if asyncio.get_running_loop() is not self.loop:
            raise ChainsRuntimeError(
                "a stream of a dependency can be read on the Chainlet's own event loop only: "
                "read it in an `async def run_remote`"
            )
        return await self._send(self.client, way, request)

    def fetch_blocking(self, way: Way, request: Request, limit_s: float) -> Answer:
        """A whole answer for a caller that blocks, in any thread; `TimeoutError` after `limit_s`."""
        side = self._side_loop()

        async def fetch() -> Answer:
            async with asyncio.timeout(limit_s):
                return _whole(await self._send(side.client, way, request))

        return side.run(fetch())

    async def _send(self, client: Client, way: Way, request: Request) -> Answer | BodyStream:
        try:
            return await client.send(way.addresses, request)
        except NotReached as error:
            self._wait_more(1)
            try:
                return await self._send_when_reached(client, way, request, error)
            finally:
                self._wait_more(-1)

    async def _send_when_reached(
        self, client: Client, way: Way, request: Request, error: NotReached
    ) -> Answer | BodyStream:
        """Look again and again where the dependency is: its replica may be starting anew."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._wait_s
        pause_s = _FIRST_PAUSE_S
        was_sent = error.was_sent
        while (left_s := ends_at - loop.time()) > 0:
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
            way, request = self._again(way, request)
            try:
                return await client.send(way.addresses, request, was_sent=was_sent)
            except NotReached as another:
                error, was_sent = another, another.was_sent
        if error.answer is not None:
            return error.answer
        # what crosses to other processes as an error has to be of a class that all have
        raise ConnectionRefusedError(f"no replica of `{way.class_name}` can be reached: {error}") from error

    def _wait_more(self, calls: int) -> None:
        with self._lock:  # there are two event loops
            self.waiting += calls

    def _again(self, way: Way, request: Request) -> tuple[Way, Request]:
        """The same request by the table that holds now."""
        now = self.routes().way(way.class_name, way.revision)
        if now is None or now is way:
            return way, request
        start = now.binary_start if request.start == way.binary_start else now.json_start
        return now, replace(request, start=start)

    def _side_loop(self) -> "_SideLoop":
        with self._lock:
            if self._side is None:
                self._side = _SideLoop()
            return self._side

    def close(self) -> None:
        self.client.close()
        if self._side is not None:
            self._side.close()


def _whole(answer: Answer | BodyStream) -> Answer:
    if isinstance(answer, Answer):
        return answer
    answer.close()
    raise ChainsRuntimeError("a stream came where one answer was asked for")


class _SideLoop:
    """An event loop in a thread of its own, so that blocking calls work from any thread.

    From the replica's event loop, too: the call blocks that loop (S-15), but it does get its answer.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.client = Client()
        self._thread = threading.Thread(target=self.loop.run_forever, name="chains-calls", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Do `work` there and wait for it here."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def close(self) -> None:
        async def end() -> None:
            self.client.close()
            await asyncio.sleep(0)  # let the closed connections say so

        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5)
        self.loop.close()


__all__ = ["WAIT_S", "Outbound"]
