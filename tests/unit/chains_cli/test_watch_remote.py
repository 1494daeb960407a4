"""What a watch tells of its platform while a round runs."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from chains_cli import events
from chains_cli.operations.watch_remote import Companion
from chains_cli.remotes.memory import MemoryRemote
from chains_protocol.control import Event, EventKind
from tests.unit.chains_cli.watching.fakes import Bench


class Building(MemoryRemote):
    """Its development deployment was pushed before, and builds an environment now."""

    def __init__(self) -> None:
        super().__init__()
        self.happened = [_event(1, EventKind.BUILD_STARTED, "Python 3.12, 1 requirements")]

    def events(self, chain: str, selector: str, *, after: int = 0, follow: bool = True) -> Iterator[Event]:
        found = [event for event in self.happened if event.id > after]
        if after == 1 and len(self.happened) == 1:
            self.happened.append(_event(2, EventKind.BUILD_STARTED, "Python 3.12, 9 requirements"))
            self.happened.append(_event(3, EventKind.BUILD_OUTPUT, "Resolved 9 packages"))
        return iter(found)


def _event(number: int, kind: EventKind, message: str) -> Event:
    return Event(
        id=number, at=0.0, kind=kind, chain_name="c", deployment="d1", chainlet="Model", message=message
    )


async def test_a_build_is_told_while_it_goes_on(tmp_path: Path) -> None:
    told: asyncio.Queue[events.Event] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def report(event: events.Event) -> None:
        loop.call_soon_threadsafe(told.put_nowait, event)

    session = Bench(tmp_path).session
    companion = Companion(session, Building(), "c", report, lambda: False, every_s=0.001)
    with companion.observing():
        async with asyncio.timeout(10):
            found = [await told.get(), await told.get()]

    assert found == [
        events.Step("building the environment of Model (Python 3.12, 9 requirements)"),
        events.BuildOutput("Model", "Resolved 9 packages"),
    ]
