"""What a watch session reports: plain facts."""

from collections.abc import Callable
from dataclasses import dataclass

from chains_analysis import Reason
from chains_protocol.errors import Diagnostic
from chains_protocol.patch import Action


@dataclass(frozen=True, slots=True)
class Watching:
    """Saves below these directories are being waited for."""

    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RoundStarted:
    """Files whose content changed, relative to the workspace (absolute outside of it)."""

    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decided:
    """What one Chainlet was judged to need, before anything is done."""

    display_name: str
    action: Action
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class ChainletResult:
    """What is true now for one Chainlet. `is_skipped`: it was not selected, its former code runs on."""

    display_name: str
    action: Action
    reasons: tuple[str, ...] = ()
    elapsed_ms: float = 0.0
    calls_on_old: int = 0
    is_skipped: bool = False


@dataclass(frozen=True, slots=True)
class RoundFinished:
    """A round came to an end. `is_changed` False: nothing had to be done; `version` is what serves."""

    version: int
    chainlets: tuple[ChainletResult, ...]
    elapsed_ms: float
    is_changed: bool


@dataclass(frozen=True, slots=True)
class RoundFailed:
    """Nothing that runs was changed; the next good save is compared with what really runs."""

    diagnostics: tuple[Diagnostic, ...]
    elapsed_ms: float


@dataclass(frozen=True, slots=True)
class RoundGivenUp:
    """Its files were saved again while it ran. Nothing that runs was changed."""

    elapsed_ms: float


@dataclass(frozen=True, slots=True)
class Noted:
    """Something about the Chain that its author should know; no reason to refuse a save."""

    diagnostic: Diagnostic


WatchEvent = Watching | RoundStarted | Decided | RoundFinished | RoundFailed | RoundGivenUp | Noted
Report = Callable[[WatchEvent], None]

__all__ = [
    "ChainletResult",
    "Decided",
    "Noted",
    "Report",
    "RoundFailed",
    "RoundFinished",
    "RoundGivenUp",
    "RoundStarted",
    "WatchEvent",
    "Watching",
]
