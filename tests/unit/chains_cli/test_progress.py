"""Following a deployment: what is told, in which order, and when it ends."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from chains_cli import events
from chains_cli.operations.inspect import url_of
from chains_cli.operations.progress import wait_until_settled
from chains_protocol.control import (
    ChainletStatus,
    DeploymentInfo,
    DeploymentKind,
    DeploymentState,
    Event,
    EventKind,
)
from chains_protocol.errors import Code, DiagnosticsError
from chains_protocol.replica import ReplicaState

DIGEST = "0" * 64


def info(
    state: DeploymentState, chainlet: ReplicaState = ReplicaState.STARTING, **more: Any
) -> DeploymentInfo:
    status = ChainletStatus(display_name="Model", class_name="Model", package_digest=DIGEST, state=chainlet)
    return DeploymentInfo(
        id="d1",
        chain_name="hello",
        kind=DeploymentKind.PUBLISHED,
        state=state,
        entrypoint="Model",
        created_at=0,
        chainlets=(status,),
        **more,
    )


def event(kind: EventKind, *, deployment: str = "d1", message: str = "", **data: Any) -> Event:
    return Event(
        id=1,
        kind=kind,
        at=0,
        chain_name="hello",
        deployment=deployment,
        chainlet="Model",
        message=message,
        data=data,
    )


class Script:
    """A remote that plays events and then shows the final state."""

    def __init__(self, final: DeploymentInfo, *played: Event, hangs: bool = False) -> None:
        self.final = final
        self.played = played
        self.hangs = hangs
        self.released = threading.Event()

    def events(self, chain: str, selector: str, *, after: int = 0, follow: bool = True) -> Iterator[Event]:
        assert (chain, selector, follow) == ("hello", "d1", True)
        yield from self.played
        if self.hangs:
            self.released.wait(30)

    def deployment(self, chain: str, selector: str) -> DeploymentInfo:
        return self.final


def follow(remote: Any, start: DeploymentInfo, **options: Any) -> tuple[DeploymentInfo, list[events.Event]]:
    told: list[events.Event] = []
    return wait_until_settled(remote, start, told.append, **options), told


def test_states_are_told_once_and_the_last_one_at_the_end() -> None:
    final = info(DeploymentState.ACTIVE, ReplicaState.READY)
    remote = Script(
        final,
        event(EventKind.BUILD_STARTED, message="Python 3.12\nnumpy"),
        event(EventKind.BUILD_OUTPUT, message="Installed numpy"),
        event(EventKind.CHAINLET_STATE, state="loading"),
        event(EventKind.CHAINLET_STATE, state="loading"),
        event(EventKind.DEPLOYMENT_STATE, deployment="other", state="failed"),
        event(EventKind.DEPLOYMENT_STATE, state="active"),
        event(EventKind.CHAINLET_STATE, state="never seen"),
    )
    found, told = follow(remote, info(DeploymentState.QUEUED))
    assert found is final
    assert told == [
        events.ChainletChanged("Model", "starting", "", True),
        events.ChainletChanged("Model", "building", "Python 3.12", True),
        events.BuildOutput("Model", "Installed numpy"),
        events.ChainletChanged("Model", "loading", "", True),
        events.ChainletChanged("Model", "ready", "", True),
        events.DeploymentChanged("hello", "d1", "active"),
    ]


def test_what_is_settled_already_is_not_followed() -> None:
    final = info(DeploymentState.ACTIVE, ReplicaState.READY)
    found, told = follow(Script(final), final)
    assert found is final
    assert told[-1] == events.DeploymentChanged("hello", "d1", "active")


def test_a_timeout_ends_the_wait_while_no_event_comes() -> None:
    remote = Script(
        info(DeploymentState.STARTING), event(EventKind.CHAINLET_STATE, state="loading"), hangs=True
    )
    try:
        with pytest.raises(DiagnosticsError) as caught:
            follow(remote, info(DeploymentState.QUEUED), timeout_s=0.05)
    finally:
        remote.released.set()
    (found,) = caught.value.diagnostics
    assert found.code is Code.WAIT_TIMED_OUT
    assert "chains status hello" in (found.help or "")


def test_a_failure_of_the_stream_is_raised_with_a_timeout_too() -> None:
    class Broken(Script):
        def events(self, *args: Any, **options: Any) -> Iterator[Event]:
            raise OSError("gone")
            yield

    with pytest.raises(OSError, match="gone"):
        follow(Broken(info(DeploymentState.STARTING)), info(DeploymentState.QUEUED), timeout_s=5)


def test_an_environment_has_its_own_address() -> None:
    url = "http://127.0.0.1:1/chains/hello/deployment/d1/run_remote"
    found = info(DeploymentState.ACTIVE, run_remote_url=url, environments=("production", "staging"))
    assert url_of(found, None) == url
    assert url_of(found, "production") == "http://127.0.0.1:1/chains/hello/production/run_remote"
    assert url_of(found, "staging") == "http://127.0.0.1:1/chains/hello/environments/staging/run_remote"
    assert url_of(found, "elsewhere") == url
