"""How a replica's stubs reach other replicas, from whichever thread or event loop they are used."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from chains_runtime.connection import BodyStream
from chains_runtime.route_table import RouteTable
from chains_runtime.transport import Client, Request
from truss_chains.calling import Answer
from truss_chains.errors import ChainsRuntimeError

ResultT = TypeVar("ResultT")


class Outbound:
    """What all stubs of a replica share: routes and clients.

    Args:
        routes: returns the table that holds now.
        client: for calls made on `loop`.
        loop: the replica's event loop.
    """

    def __init__(
        self, routes: Callable[[], RouteTable], client: Client, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.routes = routes
        self.client = client
        self.loop = loop
        self._side: _SideLoop | None = None
        self._lock = threading.Lock()

    async def fetch(self, addresses: Sequence[str], request: Request) -> Answer:
        """A whole answer."""
        if asyncio.get_running_loop() is self.loop:
            return _whole(await self.client.send(addresses, request))
        # A loop that user code runs itself: connections belong to another one.
        side = self._side_loop()
        work = asyncio.run_coroutine_threadsafe(side.client.send(addresses, request), side.loop)
        return _whole(await asyncio.wrap_future(work))

    async def open(self, addresses: Sequence[str], request: Request) -> Answer | BodyStream:
        """A stream, or the error answer that came instead."""
        if asyncio.get_running_loop() is not self.loop:
            raise ChainsRuntimeError(
                "a stream of a dependency can be read on the Chainlet's own event loop only: "
                "read it in an `async def run_remote`"
            )
        return await self.client.send(addresses, request)

    def fetch_blocking(self, addresses: Sequence[str], request: Request, limit_s: float) -> Answer:
        """A whole answer for a caller that blocks, in any thread; `TimeoutError` after `limit_s`."""
        side = self._side_loop()

        async def fetch() -> Answer:
            async with asyncio.timeout(limit_s):
                return _whole(await side.client.send(addresses, request))

        return side.run(fetch())

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


__all__ = ["Outbound"]
