"""The event log: what happened, with growing ids, kept in the store and followed live."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

from pydantic import JsonValue

from chains_platform.store.writer import Writer
from chains_protocol.control import DeploymentState, Event, EventKind

_TAIL: Final = 5000
"""Events kept in memory; older ones are read from the store."""

_PAGE: Final = 500


class EventLog:
    """Adds events and streams them. `last_id` is the largest id in the store."""

    def __init__(self, writer: Writer, clock: Callable[[], float], last_id: int) -> None:
        self._writer = writer
        self._clock = clock
        self._last_id = last_id
        self._tail: deque[Event] = deque(maxlen=_TAIL)
        self._changed = asyncio.Event()
        self._closed = False
        self._begun: dict[str, int] = {}

    def add(
        self,
        kind: EventKind,
        chain: str,
        *,
        deployment: str | None = None,
        chainlet: str | None = None,
        message: str = "",
        **data: JsonValue,
    ) -> Event:
        """Record that something happened."""
        self._last_id += 1
        event = Event(
            id=self._last_id,
            kind=kind,
            at=self._clock(),
            chain_name=chain,
            deployment=deployment,
            chainlet=chainlet,
            message=message,
            data=data,
        )
        self._tail.append(event)
        if kind is EventKind.DEPLOYMENT_STATE and data.get("state") == DeploymentState.QUEUED.value:
            self._begun[deployment or ""] = event.id
        self._writer.submit(partial(self._writer.store.add_events, events=[event]))
        self._wake()
        return event

    def beginning(self, deployment: str) -> int:
        """The id before the events of a deployment's last push; 0 if it is not known."""
        return max(0, self._begun.get(deployment, 1) - 1)

    async def stream(self, deployment: str, after: int, follow: bool) -> AsyncIterator[Event | None]:
        """The events of a deployment with larger ids than `after`, in order.

        Args:
            deployment: whose events.
            after: the last id the reader has.
            follow: go on with those to come; None is then yielded whenever all known ones
                were, so that the caller can keep its connection alive.
        """
        while True:
            changed = self._changed
            found = await self._page(deployment, after)
            for event in found:
                after = event.id
                yield event
            if found:
                continue
            if not follow or self._closed:
                return
            yield None
            await changed.wait()

    def close(self) -> None:
        """End the streams that follow."""
        self._closed = True
        self._wake()

    async def _page(self, deployment: str, after: int) -> list[Event]:
        if after >= self._last_id:
            return []
        if self._tail and self._tail[0].id <= after + 1:
            return [e for e in self._tail if e.id > after and e.deployment == deployment]
        return list(await self._writer.read(lambda store: store.events(deployment, after, _PAGE)))

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


__all__ = ["EventLog"]
