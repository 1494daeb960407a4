"""Read what a remote knows: chains, deployments, logs, history. Changes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from chains_cli import events
from chains_cli.events import Report
from chains_cli.exits import Exit
from chains_cli.remotes.remote import DEVELOPMENT, LATEST, Remote
from chains_protocol.control import (
    ChainInfo,
    DeploymentInfo,
    DeploymentKind,
    DeploymentState,
    Event,
    EventKind,
    VersionList,
)
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.patch import Action, PatchOutcome
from chains_protocol.replica import ReplicaState

PRODUCTION: Final = "production"
_FAILED_PREFIX: Final = "CHAINS-FAILED "
"""Begins the line in which a replica tells the control plane why it could not start."""

_HISTORY: Final = frozenset({EventKind.DEPLOYMENT_STATE, EventKind.PATCH, EventKind.PROMOTED})


@dataclass(frozen=True, slots=True)
class ChainsResult:
    """Chains as the remote tells them; `at` is when it was asked, Unix seconds."""

    at: float
    chains: tuple[ChainInfo, ...]
    everything: bool = False
    exit_code: int = Exit.OK


@dataclass(frozen=True, slots=True)
class LogsResult:
    """How many lines were shown."""

    chain: str
    lines: int
    exit_code: int = Exit.OK


@dataclass(frozen=True, slots=True)
class VersionChange:
    """What one version of the development deployment did to a Chainlet, and why."""

    chainlet: str
    action: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the development deployment that `chains undo` can bring back.

    `changes` is empty for one that was pushed; `restores` is the one it brought back.
    """

    version: int
    at: float
    runs: bool
    restores: int | None
    changes: tuple[VersionChange, ...]


@dataclass(frozen=True, slots=True)
class HistoryResult:
    """What changed a chain, oldest first; `versions` are those of its development deployment."""

    chain: str
    events: tuple[Event, ...]
    versions: tuple[Version, ...] = ()
    exit_code: int = Exit.OK


def list_chains(remote: Remote, at: float) -> ChainsResult:
    """All chains, by name."""
    chains = sorted(remote.chains().chains, key=lambda c: c.name)
    return ChainsResult(at, tuple(chains))


def status(remote: Remote, chain: str | None, at: float, *, everything: bool = False) -> ChainsResult:
    """One chain, or all; without `everything` deployments that do not run and do not matter are left out."""
    found = list_chains(remote, at).chains if chain is None else (remote.chain(chain),)
    if not everything:
        found = tuple(c.model_copy(update={"deployments": tuple(_relevant(c.deployments))}) for c in found)
    return ChainsResult(at, found, everything)


def _relevant(deployments: Iterable[DeploymentInfo]) -> Iterable[DeploymentInfo]:
    """Those that run or shall run, and the newest even if it failed."""
    resting = (DeploymentState.FAILED, DeploymentState.INACTIVE, DeploymentState.DELETED)
    for number, deployment in enumerate(deployments):
        if number == 0 or deployment.environments or deployment.state not in resting:
            yield deployment


def url_of(info: DeploymentInfo, environment: str | None) -> str:
    """Where to call a deployment: by an environment that points at it, else by itself."""
    own = f"/deployment/{info.id}/"
    if environment not in info.environments or own not in info.run_remote_url:
        return info.run_remote_url
    selector = environment if environment == PRODUCTION else f"environments/{environment}"
    return info.run_remote_url.replace(own, f"/{selector}/")


def newest(remote: Remote, chain: str) -> str:
    """A selector of the deployment that people mean: the newest that is not gone.

    Raises:
        DiagnosticsError: CH303, CH304.
    """
    deployments = remote.chain(chain).deployments
    for deployment in deployments:
        if deployment.state not in (DeploymentState.INACTIVE, DeploymentState.DELETED):
            return deployment.id
    if deployments:
        return LATEST
    raise DiagnosticsError(
        [
            Diagnostic(
                code=Code.UNKNOWN_DEPLOYMENT,
                message=f"chain `{chain}` has no deployment",
                help="`chains push` makes one",
            )
        ]
    )


def logs(
    remote: Remote,
    chain: str,
    report: Report,
    *,
    chainlet: str | None = None,
    selector: str | None = None,
    follow: bool = False,
    since: float | None = None,
) -> LogsResult:
    """Report each line that the replicas wrote; with `follow` until the reader ends it."""
    selector = selector or newest(remote, chain)
    count = 0
    try:
        for line in remote.logs(chain, selector, chainlet=chainlet, follow=follow, since=since):
            if line.text.startswith(_FAILED_PREFIX):  # said in the deployment's diagnostics, for people
                continue
            count += 1
            report(events.LogWritten(line.at, line.chainlet, line.replica_id, line.stream, line.text))
    except KeyboardInterrupt:
        if not follow:  # else it is the way to end it
            raise
    return LogsResult(chain, count)


def history(remote: Remote, chain: str, selector: str | None = None) -> HistoryResult:
    """States, patches and promotions of a chain's deployments and what befell its replicas, in order."""
    deployments = remote.chain(chain).deployments
    selectors = [selector] if selector else [d.id for d in deployments]
    found: dict[int, Event] = {}
    for name in selectors:
        stream = remote.events(chain, name, follow=False)
        found |= {event.id: event for event in stream if _is_history(event)}
    told = tuple(found[i] for i in sorted(found))
    development = next((d for d in deployments if d.kind is DeploymentKind.DEVELOPMENT), None)
    if development is None or selector not in (None, DEVELOPMENT, development.id):
        return HistoryResult(chain, told)
    known = remote.versions(chain, DEVELOPMENT)
    return HistoryResult(chain, told, tuple(_versions(known, development.version, told)))


def _versions(known: VersionList, running: int, told: Iterable[Event]) -> Iterable[Version]:
    """Oldest first, each with what its patch did if that is still remembered."""
    outcomes = {o.version: o for o in map(_outcome, told) if o is not None and o.committed}
    for version in reversed(known.versions):
        outcome = outcomes.get(version.version)
        changes = tuple(
            VersionChange(c.display_name, c.action.value, c.reasons)
            for c in (outcome.chainlets if outcome is not None else ())
            if c.action is not Action.UNCHANGED
        )
        yield Version(version.version, version.at, version.version == running, version.restores, changes)


def _outcome(event: Event) -> PatchOutcome | None:
    given = event.data.get("outcome") if event.kind is EventKind.PATCH else None
    return PatchOutcome.model_validate(given) if given is not None else None


def _is_history(event: Event) -> bool:
    """A replica's life is history when it ended unasked, or did not answer well."""
    if event.kind is EventKind.REPLICA_STATE:
        return event.data.get("state") in (ReplicaState.UNHEALTHY, ReplicaState.FAILED) and bool(
            event.message
        )
    return event.kind in _HISTORY


__all__ = [
    "PRODUCTION",
    "ChainsResult",
    "HistoryResult",
    "LogsResult",
    "Version",
    "VersionChange",
    "history",
    "list_chains",
    "logs",
    "newest",
    "status",
    "url_of",
]
