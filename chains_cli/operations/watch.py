"""Keep the development deployment of a chain current while its author edits."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chains_cli import events
from chains_cli.discovery.process import Children
from chains_cli.events import Report
from chains_cli.exits import Exit, diagnostics_exit
from chains_cli.operations.packages import Prepared
from chains_cli.operations.places import in_workspace, places_in
from chains_cli.operations.progress import wait_until_settled
from chains_cli.operations.push import PushOptions, push_prepared
from chains_cli.operations.source import SourceOptions, read_chain
from chains_cli.operations.watch_follow import Follower, Saves
from chains_cli.operations.watch_remote import Companion
from chains_cli.operations.watch_roots import watch_roots
from chains_cli.packaging.build import build_packages
from chains_cli.packaging.package import ChainPackages
from chains_cli.packaging.reader import WorkspaceReader
from chains_cli.remotes.remote import DEVELOPMENT, Remote
from chains_cli.settings import Settings
from chains_cli.watching import events as watching
from chains_cli.watching.loop import saves
from chains_cli.watching.rebuild import Rebuilder
from chains_cli.watching.session import Discover, WatchSession
from chains_cli.watching.snapshot import Snapshot
from chains_cli.watching.target import RemoteTarget
from chains_protocol.control import DeploymentState
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Severity
from chains_protocol.spec import ChainSpec

_GONE: Final = (Code.REMOTE_UNREACHABLE, Code.UNKNOWN_CHAIN, Code.UNKNOWN_DEPLOYMENT)
"""Failures after which nobody can say that the former version goes on serving."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How to watch. `chainlets` empty: all; `smoke` is a JSON document; `mocks` are values of `--mock`."""

    chain_name: str | None = None
    chainlets: tuple[str, ...] = ()
    explain: bool = False
    once: bool = False
    smoke: str | None = None
    mocks: tuple[str, ...] = ()
    python: str | None = None
    allow_missing: tuple[str, ...] = ()
    strict_target: bool = False


@dataclass(frozen=True, slots=True)
class WatchResult:
    """Where it ended: the version that serves, how many rounds there were and how many were refused."""

    chain: str
    deployment: str
    version: int
    rounds: int = 0
    refused: int = 0
    diagnostics: tuple[Diagnostic, ...] = ()
    exit_code: int = Exit.OK


@dataclass(slots=True)
class _Teller:
    """The session's events in the tool's own words."""

    report: Report
    explain: bool
    workspace: str
    version: int = 0
    rounds: int = 0
    refused: int = 0
    last_failure: tuple[Diagnostic, ...] = field(default=())

    def __call__(self, event: watching.WatchEvent) -> None:
        match event:
            case watching.RoundStarted():
                self.report(events.RoundStarted(event.files))
            case watching.Decided():
                self._decided(event)
            case watching.RoundFinished():
                self._finished(event)
            case watching.RoundFailed():
                self._failed(event)
            case watching.RoundGivenUp():
                self.rounds += 1
                self.report(
                    events.RoundFinished(self.version, False, True, event.elapsed_ms, superseded=True)
                )
            case watching.Noted():
                self.report(events.Found(event.diagnostic))
            case _:
                pass

    @property
    def has_unsent(self) -> bool:
        """The last round could not reach the remote."""
        return any(d.code is Code.REMOTE_UNREACHABLE for d in self.last_failure)

    def _decided(self, event: watching.Decided) -> None:
        for reason in event.reasons if self.explain else ():
            self.report(
                events.Explained(
                    event.display_name,
                    reason.action.value,
                    reason.symbol,
                    reason.path,
                    reason.line,
                    reason.via,
                    reason.text,
                )
            )

    def _finished(self, event: watching.RoundFinished) -> None:
        self.rounds += 1
        self.version = event.version
        self.last_failure = ()
        for chainlet in event.chainlets:
            reasons = (*chainlet.reasons, "not selected") if chainlet.is_skipped else chainlet.reasons
            self.report(
                events.Patched(
                    chainlet.display_name,
                    chainlet.action.value,
                    reasons,
                    chainlet.elapsed_ms,
                    chainlet.calls_on_old,
                    event.version,
                    detail=not event.is_changed and not chainlet.is_skipped,
                )
            )
        self.report(events.RoundFinished(event.version, True, event.is_changed, event.elapsed_ms))

    def _failed(self, event: watching.RoundFailed) -> None:
        self.rounds += 1
        self.refused += 1
        self.last_failure = tuple(in_workspace(found, self.workspace) for found in event.diagnostics)
        for diagnostic in self.last_failure:
            self.report(events.Found(diagnostic))
        serves = not any(d.code in _GONE for d in event.diagnostics)
        self.report(events.RoundFinished(self.version, False, True, event.elapsed_ms, serves))


@dataclass(frozen=True, slots=True)
class Watched:
    """A Chain as its files say, before anybody was contacted."""

    spec: ChainSpec
    packages: ChainPackages
    rebuilder: Rebuilder
    snapshot: Snapshot
    discover: Discover
    stop_reading: Callable[[], None]
    options: WatchOptions
    home: Path
    smoke: Mapping[str, Any] | None = None  # Any: JSON values


def read_watched(
    source: Path,
    entrypoint: str | None,
    settings: Settings,
    *,
    options: WatchOptions,
    report: Report,
    environ: Mapping[str, str] = os.environ,
    children: Children | None = None,
) -> Watched:
    """Read what is to be watched.

    Args:
        source: the file that declares the Chain.
        entrypoint: class name, or None.
        settings: where we are.
        options: see `WatchOptions`.
        report: told what happens.
        environ: of the interpreter that reads the file.
        children: read the file.

    Raises:
        DiagnosticsError: CH1xx, CH2xx if the Chain is not valid, CH317 for an unknown Chainlet.
    """
    children = children or Children()
    how = SourceOptions(options.chain_name, options.mocks, options.python, children)
    report = _Once(report)

    def discover() -> ChainSpec:
        return read_chain(source, entrypoint, settings, options=how, report=report, environ=environ)

    smoke = _smoke(options)
    spec = discover()
    _check_selection(spec, options.chainlets)
    # before the first build: a save during the first push must not be missed
    snapshot = Snapshot(watch_roots(spec, settings.home))
    rebuilder = Rebuilder(_build)
    packages = rebuilder.full(spec)
    for note in packages.notes:
        report(events.Found(in_workspace(note, spec.workspace)))
    return Watched(
        spec, packages, rebuilder, snapshot, discover, children.give_up, options, settings.home, smoke
    )


def _build(chain: ChainSpec, reader: WorkspaceReader) -> ChainPackages:
    with places_in(chain.workspace):
        return build_packages(chain, reader=reader)


def watch(watched: Watched, *, remote: Remote, report: Report, follow: Saves | None = None) -> WatchResult:
    """Bring the development deployment up to date, then patch it after each save until interrupted.

    Args:
        watched: what `read_watched` found.
        remote: where the development deployment is, or will be made.
        report: told what happens, also in other threads than this one.
        follow: where saves come from; the operating system by default.

    Raises:
        DiagnosticsError: CH3xx from the remote.
    """
    options, packages = watched.options, watched.packages
    if (failed := _ensure_deployment(watched, remote, report)) is not None:
        return failed
    teller = _Teller(report, options.explain, watched.spec.workspace)
    target = RemoteTarget(remote, packages.chain_name, lambda event: None, watched.smoke)
    session = WatchSession(
        spec=watched.spec,
        packages=packages,
        rebuilder=watched.rebuilder,
        discover=watched.discover,
        target=target,
        report=teller,
        selected=options.chainlets or None,
        stop_reading=watched.stop_reading,
    )
    teller.version = session.state.base.version
    is_current = session.catch_up()
    if not options.once:
        companion = Companion(session, remote, packages.chain_name, report, lambda: teller.has_unsent)
        follower = Follower(
            session, companion, lambda spec: watch_roots(spec, watched.home), follow or _system_saves, report
        )
        follower.run(watched.snapshot)
        is_current = True
    return _result(session, teller, packages, is_current)


class _Once:
    """A report that tells each note and warning about the Chain once, though it is read again and again."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._told: set[tuple[Code, str]] = set()

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.Found) and event.diagnostic.severity is not Severity.ERROR:
            key = (event.diagnostic.code, event.diagnostic.message)  # the line may move
            if key in self._told:
                return
            self._told.add(key)
        self._report(event)


def _system_saves(snapshot: Snapshot) -> AsyncGenerator[tuple[Path, ...], None]:
    return saves(snapshot, asyncio.Event())


def _result(session: WatchSession, teller: _Teller, packages: ChainPackages, is_current: bool) -> WatchResult:
    base = session.state.base
    return WatchResult(
        packages.chain_name,
        base.deployment,
        base.version,
        teller.rounds,
        teller.refused,
        exit_code=Exit.OK if is_current else _failure_exit(teller.last_failure),
    )


def _failure_exit(diagnostics: tuple[Diagnostic, ...]) -> Exit:
    """A conflict and an unreachable remote are told apart; anything else is a patch that failed."""
    found = diagnostics_exit(diagnostics)
    return found if found in (Exit.CONFLICT, Exit.REMOTE) else Exit.DEPLOY_FAILED


def _ensure_deployment(watched: Watched, remote: Remote, report: Report) -> WatchResult | None:
    """Make the development deployment unless one serves; the result of the command if that failed."""
    chain = watched.packages.chain_name
    if _serves(remote, chain, report):
        return None
    report(events.Step(f"making the development deployment of {chain}"))
    how = PushOptions(
        development=True,
        allow_missing=watched.options.allow_missing,
        strict_target=watched.options.strict_target,
        is_kept=False,
    )
    prepared = Prepared(watched.spec, watched.packages)
    pushed = push_prepared(prepared, options=how, remote=remote, report=report)
    if not pushed.exit_code:
        return None
    deployment = pushed.deployment.id if pushed.deployment is not None else ""
    return WatchResult(chain, deployment, 0, diagnostics=pushed.diagnostics, exit_code=pushed.exit_code)


def _serves(remote: Remote, chain: str, report: Report) -> bool:
    """Whether there is a development deployment that serves; one that is being started is waited for."""
    try:
        found = remote.deployment(chain, DEVELOPMENT)
    except DiagnosticsError as error:
        unknown = (Code.UNKNOWN_CHAIN, Code.UNKNOWN_DEPLOYMENT)
        if any(d.code not in unknown for d in error.diagnostics):
            raise
        return False
    if not found.state.is_settled:
        report(events.Step(f"waiting for the development deployment of {chain}, which is being started"))
        found = wait_until_settled(remote, found, report)
    return found.state is DeploymentState.ACTIVE


def _check_selection(spec: ChainSpec, selected: tuple[str, ...]) -> None:
    names = [found.spec.display_name for found in spec.chainlets]
    unknown = [name for name in selected if name not in names]
    if unknown:
        diagnostic = Diagnostic(
            code=Code.UNKNOWN_CHAINLET,
            message=f"chain `{spec.chain_name}` has no chainlet `{unknown[0]}`",
            help=f"its chainlets are: {', '.join(names)}",
        )
        raise DiagnosticsError([diagnostic])


def _smoke(options: WatchOptions) -> dict[str, Any] | None:  # Any: JSON values
    if options.smoke is None:
        return None
    given = json.loads(options.smoke)
    if isinstance(given, dict):
        return given
    diagnostic = Diagnostic(
        code=Code.BAD_INPUT,
        message="the smoke call's input is not an object",
        help="give the entrypoint's arguments by name: `--smoke '{\"name\": ...}'`",
    )
    raise DiagnosticsError([diagnostic])


__all__ = ["Saves", "WatchOptions", "WatchResult", "Watched", "read_watched", "watch"]
