"""Follow a deployment until it is settled; tell what happens in the tool's own events."""

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from chains_cli import events
from chains_cli.events import Report
from chains_cli.remotes.remote import Remote
from chains_protocol.control import ChainletStatus, DeploymentInfo, DeploymentState, Event, EventKind
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError

Clock = Callable[[], float]
_SETTLED: Final = frozenset({"active", "failed", "inactive", "deleted"})


@dataclass(slots=True)
class _Told:
    """What was reported already, so that nothing is said twice."""

    report: Report
    deployment: DeploymentInfo
    states: dict[str, tuple[str, str]] = field(default_factory=dict)
    state: str = ""

    def chainlet(self, name: str, state: str, reason: str) -> None:
        if self.states.get(name) == (state, reason):
            return
        self.states[name] = (state, reason)
        is_entrypoint = name == self.deployment.entrypoint
        self.report(events.ChainletChanged(name, state, reason, is_entrypoint))

    def deployment_state(self, state: str) -> None:
        if state != self.state:
            self.state = state
            info = self.deployment
            self.report(events.DeploymentChanged(info.chain_name, info.id, state))

    def info(self, info: DeploymentInfo) -> None:
        for status in info.chainlets:
            self.chainlet(status.display_name, status.state.value, status_reason(status))


def status_reason(status: ChainletStatus) -> str:
    """The first line of a status' reason; the rest belongs to the diagnostics."""
    return status.reason.strip().split("\n", 1)[0]


def wait_until_settled(
    remote: Remote,
    deployment: DeploymentInfo,
    report: Report,
    *,
    timeout_s: float | None = None,
    clock: Clock = time.monotonic,
) -> DeploymentInfo:
    """Follow the events of `deployment` until it is active or has failed; returns how it is then.

    Raises:
        DiagnosticsError: CH313 if it is not settled after `timeout_s` seconds; it goes on by itself.
    """
    told = _Told(report, deployment)
    told.info(deployment)
    deadline = None if timeout_s is None else clock() + timeout_s
    chain, name = deployment.chain_name, deployment.id
    if not deployment.state.is_settled:
        stream = remote.events(chain, name, follow=True)
        with closing(_until(stream, deadline, clock)) as feed:
            if not any(_tell(event, told) for event in feed):
                raise DiagnosticsError([_timed_out(deployment, timeout_s)])
    final = remote.deployment(chain, name)
    if final.state is DeploymentState.FAILED or final.state is DeploymentState.ACTIVE:
        told.info(final)
    told.deployment_state(final.state.value)
    return final


def _tell(event: Event, told: _Told) -> bool:
    """Report one event of the remote; True if the deployment is settled."""
    if event.deployment not in (None, told.deployment.id):
        return False
    state = str(event.data.get("state", ""))
    if event.kind is EventKind.CHAINLET_STATE and event.chainlet and state:
        told.chainlet(event.chainlet, state, event.message.split("\n", 1)[0])
    elif event.kind is EventKind.BUILD_STARTED and event.chainlet:
        told.chainlet(event.chainlet, "building", event.message.split("\n", 1)[0])
    elif event.kind is EventKind.BUILD_OUTPUT:
        told.report(events.BuildOutput(event.chainlet or "", event.message))
    elif event.kind is EventKind.DEPLOYMENT_STATE:
        return state in _SETTLED
    return False


def _until(stream: Iterator[Event], deadline: float | None, clock: Clock) -> Generator[Event]:
    """The events of `stream`; ends when `deadline` passes, even while none comes."""
    if deadline is None:
        yield from stream
        return
    feed: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()
    gone = threading.Event()

    def pump() -> None:
        try:
            for event in stream:
                feed.put(event)
                if gone.is_set():
                    break
            feed.put(None)
        except BaseException as error:  # handed to the reader, which raises it
            feed.put(error)

    threading.Thread(target=pump, name="chains-events", daemon=True).start()
    try:
        while (left := deadline - clock()) > 0:
            try:
                item = feed.get(timeout=left)
            except queue.Empty:
                return
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        gone.set()


def _timed_out(deployment: DeploymentInfo, timeout_s: float | None) -> Diagnostic:
    chain = deployment.chain_name
    return Diagnostic(
        code=Code.WAIT_TIMED_OUT,
        message=f"deployment `{deployment.id}` of `{chain}` is not active after {timeout_s:g} s",
        help=f"it goes on by itself: `chains status {chain}` shows how far it is",
    )


__all__ = ["status_reason", "wait_until_settled"]
