"""Keep the development deployment of a chain current while its author edits."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chains_cli import events
from chains_cli.events import Report
from chains_cli.exits import Exit, diagnostics_exit
from chains_cli.operations.packages import Prepared
from chains_cli.operations.push import PushOptions, push_prepared
from chains_cli.operations.source import SourceOptions, read_chain
from chains_cli.operations.watch_remote import Companion
from chains_cli.operations.watch_roots import watch_roots
from chains_cli.packaging.build import build_packages
from chains_cli.packaging.package import ChainPackages
from chains_cli.remotes.remote import DEVELOPMENT, Remote
from chains_cli.settings import Settings
from chains_cli.watching import events as watching
from chains_cli.watching.loop import saves
from chains_cli.watching.rebuild import Rebuilder
from chains_cli.watching.session import WatchSession
from chains_cli.watching.snapshot import Snapshot
from chains_cli.watching.target import RemoteTarget
from chains_protocol.control import DeploymentState
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.spec import ChainSpec

_GONE: Final = (Code.REMOTE_UNREACHABLE, Code.UNKNOWN_CHAIN, Code.UNKNOWN_DEPLOYMENT)
"""Failures after which nobody can say that the former version goes on serving."""

Saves = Callable[[Snapshot], AsyncIterator[tuple[Path, ...]]]
"""Bursts of files whose content changed since the snapshot, until the user ends it."""


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
        self.last_failure = event.diagnostics
        for diagnostic in event.diagnostics:
            self.report(events.Found(diagnostic))
        serves = not any(d.code in _GONE for d in event.diagnostics)
        self.report(events.RoundFinished(self.version, False, True, event.elapsed_ms, serves))


def watch(
    source: Path,
    entrypoint: str | None,
    settings: Settings,
    *,
    options: WatchOptions,
    remote: Remote,
    report: Report,
    environ: Mapping[str, str] = os.environ,
    follow: Saves | None = None,
) -> WatchResult:
    """Bring the development deployment up to date, then patch it after each save until interrupted.

    Args:
        source: the file that declares the Chain.
        entrypoint: class name, or None.
        settings: where we are.
        options: see `WatchOptions`.
        remote: where the development deployment is, or will be made.
        report: told what happens.
        environ: of the interpreter that reads the file.
        follow: where saves come from; the operating system by default.

    Raises:
        DiagnosticsError: CH1xx, CH2xx if the Chain is not valid at the start, CH317 for an
            unknown Chainlet, CH3xx from the remote.
    """
    how = SourceOptions(options.chain_name, options.mocks, options.python)

    def discover() -> ChainSpec:
        return read_chain(source, entrypoint, settings, options=how, report=report, environ=environ)

    spec = discover()
    _check_selection(spec, options.chainlets)
    # before the first build: a save during the first push must not be missed
    snapshot = Snapshot(watch_roots(spec, settings.home))
    rebuilder = Rebuilder(lambda chain, reader: build_packages(chain, reader=reader))
    packages = rebuilder.full(spec)
    for note in packages.notes:
        report(events.Found(note))
    if (failed := _ensure_deployment(Prepared(spec, packages), options, remote, report)) is not None:
        return failed
    teller = _Teller(report, options.explain)
    target = RemoteTarget(remote, packages.chain_name, lambda event: None, _smoke(options))
    session = WatchSession(
        spec=spec,
        packages=packages,
        rebuilder=rebuilder,
        discover=discover,
        target=target,
        report=teller,
        selected=options.chainlets or None,
    )
    teller.version = session.state.base.version
    is_current = session.catch_up()
    if not options.once:
        with suppress(KeyboardInterrupt):  # the way to end it (P-15)
            companion = Companion(session, remote, packages.chain_name, report, lambda: teller.has_unsent)
            _follow(session, companion, snapshot, report, follow or _system_saves)
        is_current = True
    return _result(session, teller, packages, is_current)


def _follow(
    session: WatchSession, companion: Companion, snapshot: Snapshot, report: Report, follow: Saves
) -> None:
    base = session.state.base
    roots = tuple(str(root.path) for root in snapshot.roots)
    chain = session.state.packages.chain_name

    async def run() -> None:
        report(events.Watching(chain, base.deployment, base.version, roots))
        with companion.observing():
            async for changed in follow(snapshot):
                session.run_round(changed)

    asyncio.run(run())


def _system_saves(snapshot: Snapshot) -> AsyncIterator[tuple[Path, ...]]:
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


def _ensure_deployment(
    prepared: Prepared, options: WatchOptions, remote: Remote, report: Report
) -> WatchResult | None:
    """Make the development deployment unless one serves; the result of the command if that failed."""
    chain = prepared.packages.chain_name
    try:
        if remote.deployment(chain, DEVELOPMENT).state is DeploymentState.ACTIVE:
            return None
    except DiagnosticsError as error:
        unknown = (Code.UNKNOWN_CHAIN, Code.UNKNOWN_DEPLOYMENT)
        if any(d.code not in unknown for d in error.diagnostics):
            raise
    report(events.Step(f"making the development deployment of {chain}"))
    how = PushOptions(development=True, allow_missing=options.allow_missing)
    pushed = push_prepared(prepared, options=how, remote=remote, report=report)
    if not pushed.exit_code:
        return None
    deployment = pushed.deployment.id if pushed.deployment is not None else ""
    return WatchResult(chain, deployment, 0, diagnostics=pushed.diagnostics, exit_code=pushed.exit_code)


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


__all__ = ["Saves", "WatchOptions", "WatchResult", "watch"]
