"""What operations report while they work: plain facts, drawn by the console.

An event is a frozen dataclass. Its `type` names it in JSON output; its fields are the rest
of that JSON object. Operations know nothing of how an event looks.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from chains_protocol.errors import Diagnostic


@dataclass(frozen=True, slots=True)
class Event:
    """The base of all events; `type` is the JSON name."""

    type: ClassVar[str] = "event"


@dataclass(frozen=True, slots=True)
class Step(Event):
    """One line of the story: what is being done, or what is true now. `detail` only when verbose."""

    type: ClassVar[str] = "step"
    text: str
    detail: bool = False


@dataclass(frozen=True, slots=True)
class Found(Event):
    """A diagnostic that does not end the command: a note, a warning, a broken save."""

    type: ClassVar[str] = "diagnostic"
    diagnostic: Diagnostic


@dataclass(frozen=True, slots=True)
class UserOutput(Event):
    """Text that the user's own code printed, verbatim. `stream` is "stdout" or "stderr"."""

    type: ClassVar[str] = "user_output"
    text: str
    stream: str = "stderr"


@dataclass(frozen=True, slots=True)
class Upload(Event):
    """Progress of an upload; the last one has `sent_bytes == total_bytes`."""

    type: ClassVar[str] = "upload"
    sent_bytes: int
    total_bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class PlanLine(Event):
    """What will happen to one Chainlet, and why; `bytes` are those still to be sent.

    `detail`: it is carried out at once, so that only a verbose console tells it.
    """

    type: ClassVar[str] = "plan"
    chainlet: str
    action: str
    reason: str
    files: int = 0
    bytes: int = 0
    detail: bool = False


@dataclass(frozen=True, slots=True)
class PackageFile(Event):
    """A file of a Chainlet's package, and why it is there; only a verbose console tells it."""

    type: ClassVar[str] = "package_file"
    chainlet: str
    path: str
    bytes: int
    reason: str
    detail: bool = True


@dataclass(frozen=True, slots=True)
class DeploymentChanged(Event):
    """A deployment reached a state."""

    type: ClassVar[str] = "deployment_state"
    chain: str
    deployment: str
    state: str


@dataclass(frozen=True, slots=True)
class ChainletChanged(Event):
    """A Chainlet of the deployment reached a state; `reason` says why it is not ready."""

    type: ClassVar[str] = "chainlet_state"
    chainlet: str
    state: str
    reason: str = ""
    is_entrypoint: bool = False


@dataclass(frozen=True, slots=True)
class BuildOutput(Event):
    """A line of an environment's build."""

    type: ClassVar[str] = "build_output"
    chainlet: str
    text: str


@dataclass(frozen=True, slots=True)
class Watching(Event):
    """Files are being watched; `version` is that of the development deployment."""

    type: ClassVar[str] = "watching"
    chain: str
    deployment: str
    version: int
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RoundStarted(Event):
    """Saves that belong together are being looked at; `files` are relative to the workspace."""

    type: ClassVar[str] = "round_started"
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RoundFinished(Event):
    """What a round came to. `committed` False with `changed`: the former version goes on serving.

    `serves` False: it is not known to, because the chain is gone or its platform can't be reached.
    `superseded`: it was given up, because its files were saved again; another round follows.
    """

    type: ClassVar[str] = "round_finished"
    version: int
    committed: bool
    changed: bool
    elapsed_ms: float = 0.0
    serves: bool = True
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Explained(Event):
    """Why a Chainlet needs what it needs: a symbol that changed, and how the Chainlet reaches it."""

    type: ClassVar[str] = "explained"
    chainlet: str
    action: str
    symbol: str
    path: str
    line: int
    via: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Patched(Event):
    """What a save did to one Chainlet. `elapsed_ms` is from save to the new code serving.

    `detail`: nothing had to be done for any Chainlet, so that only a verbose console tells it.
    """

    type: ClassVar[str] = "patched"
    chainlet: str
    action: str
    reasons: tuple[str, ...] = ()
    elapsed_ms: float = 0.0
    calls_on_old: int = 0
    version: int = 0
    detail: bool = False


@dataclass(frozen=True, slots=True)
class LogWritten(Event):
    """One line of a replica's log."""

    type: ClassVar[str] = "log"
    at: float
    chainlet: str
    replica_id: str
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Line(Event):
    """A line of the result that comes before the result is complete."""

    type: ClassVar[str] = "line"
    text: str


@dataclass(frozen=True, slots=True)
class Item(Event):
    """One item of a result that streams: text or bytes as they came, or a JSON value."""

    type: ClassVar[str] = "item"
    value: Any  # what the user's endpoint yields: any JSON value, text or bytes


Report = Callable[[Event], None]
"""How an operation reports; called in the thread of the operation."""


def ignore(event: Event) -> None:
    """A `Report` for callers that want the result only."""


def in_turn(report: Report) -> Report:
    """A `Report` that several threads may use."""
    lock = threading.Lock()

    def tell(event: Event) -> None:
        with lock:
            report(event)

    return tell


__all__ = [
    "BuildOutput",
    "ChainletChanged",
    "DeploymentChanged",
    "Event",
    "Explained",
    "Found",
    "Item",
    "Line",
    "LogWritten",
    "PackageFile",
    "Patched",
    "PlanLine",
    "Report",
    "RoundFinished",
    "RoundStarted",
    "Step",
    "Upload",
    "UserOutput",
    "Watching",
    "ignore",
    "in_turn",
]
