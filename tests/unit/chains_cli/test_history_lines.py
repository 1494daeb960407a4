"""One line for each thing that changed a chain."""

from typing import Any

from chains_cli.console.palette import Palette
from chains_cli.console.status import history_lines
from chains_cli.operations.inspect import HistoryResult, history
from chains_protocol.control import ChainInfo, Event, EventKind
from chains_protocol.patch import Action, ChainletOutcome, PatchOutcome

DIGEST = "0" * 64


def event(number: int, kind: EventKind, message: str = "", **data: Any) -> Event:
    return Event(id=number, kind=kind, at=number, chain_name="c", deployment="d1", message=message, data=data)


def outcome(committed: bool, **more: Any) -> dict[str, Any]:
    chainlets = tuple(
        ChainletOutcome(display_name=name, action=action, package_digest=DIGEST)
        for name, action in (("Glue", Action.PATCHED), ("Model", Action.UNCHANGED))
    )
    found = PatchOutcome(committed=committed, version=2, chainlets=chainlets, elapsed_ms=12.4, **more)
    return found.model_dump(mode="json")


def test_states_patches_and_promotions() -> None:
    result = HistoryResult(
        "c",
        (
            event(0, EventKind.DEPLOYMENT_STATE, state="active"),
            event(1, EventKind.DEPLOYMENT_STATE, "`Model` could not be loaded", state="failed"),
            event(2, EventKind.PATCH, outcome=outcome(True)),
            event(3, EventKind.PATCH, "`Glue` changed meanwhile", outcome=outcome(False)),
            event(4, EventKind.PROMOTED, environment="staging"),
        ),
    )
    assert list(history_lines(result, Palette())) == [
        "1970-01-01 00:00:00  d1  state     active",
        "1970-01-01 00:00:01  d1  state     failed: `Model` could not be loaded",
        "1970-01-01 00:00:02  d1  patch     version 2: Glue patched in 12 ms",
        "1970-01-01 00:00:03  d1  patch     refused: `Glue` changed meanwhile",
        "1970-01-01 00:00:04  d1  promoted  to staging",
    ]


def test_a_replica_that_ended_is_told_with_its_reason() -> None:
    ended = event(0, EventKind.REPLICA_STATE, "replica `r1` was ended by SIGKILL", state="unhealthy")
    result = HistoryResult("c", (ended.model_copy(update={"chainlet": "Glue"}),))
    assert list(history_lines(result, Palette())) == [
        "1970-01-01 00:00:00  d1  replica  Glue unhealthy: replica `r1` was ended by SIGKILL"
    ]


class Told:
    """A remote of which only the events are asked."""

    def __init__(self, *events: Event) -> None:
        self._events = events

    def chain(self, chain: str) -> ChainInfo:
        return ChainInfo(name=chain, created_at=0.0)

    def events(self, chain: str, selector: str, *, follow: bool) -> tuple[Event, ...]:
        return self._events


def test_a_replica_that_starts_is_no_history() -> None:
    ended = event(0, EventKind.REPLICA_STATE, "ended by SIGKILL", state="unhealthy")
    starts = event(1, EventKind.REPLICA_STATE, "ended by SIGKILL", state="starting")
    remote: Any = Told(ended, starts, event(2, EventKind.REPLICA_STATE, state="ready"))
    assert history(remote, "c", "d1").events == (ended,)


def test_nothing() -> None:
    assert list(history_lines(HistoryResult("c", ()), Palette())) == ["c: nothing has happened yet"]
