"""FILE -> deployment: discovery, packaging, planning, executor, and the wait until it serves."""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from chains_cli import events
from chains_cli.events import Report
from chains_cli.exits import Exit
from chains_cli.operations.inspect import PRODUCTION, url_of
from chains_cli.operations.packages import Prepared, prepare, report_files
from chains_cli.operations.places import in_workspace, places_in
from chains_cli.operations.progress import wait_until_settled
from chains_cli.operations.source import SourceOptions
from chains_cli.planning.events import PlanEvent, UploadProgress
from chains_cli.planning.executor import execute
from chains_cli.planning.plan import KeepChainlet, Plan, StartChainlet, StopChainlet, UploadBlobs
from chains_cli.planning.planner import DeployWish, make_plan, plan_request
from chains_cli.remotes.remote import DEVELOPMENT, Remote
from chains_cli.settings import Settings
from chains_protocol.control import DeploymentInfo, DeploymentKind, DeploymentState
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Severity

_NAME: Final = re.compile(r"[0-9a-zA-Z_.-]{1,64}")
_NEEDS: Final = frozenset(["gpu"])
"""Needs of a Chainlet that a target may be told to ignore."""
_ENVIRONMENT: Final = re.compile(r"[0-9a-zA-Z_-]{1,64}")


@dataclass(frozen=True, slots=True)
class PushOptions:
    """How to deploy. `timeout_s` bounds the wait only; `mocks` are values of `--mock`.

    `is_kept` False: a deployment that is not active yet goes if the user stops waiting for it.
    """

    chain_name: str | None = None
    environment: str | None = None
    promote: bool = False
    development: bool = False
    wait: bool = True
    dry_run: bool = False
    if_changed: bool = False
    deployment_name: str | None = None
    mocks: tuple[str, ...] = ()
    timeout_s: float | None = None
    allow_missing: tuple[str, ...] = ()
    strict_target: bool = False
    python: str | None = None
    is_kept: bool = True

    @property
    def target_environment(self) -> str | None:
        """The environment to promote to; an explicit name wins over `promote`."""
        return self.environment or (PRODUCTION if self.promote else None)


@dataclass(frozen=True, slots=True)
class PushResult:
    """What is true after a push. `unchanged`: nothing was sent and nothing restarted."""

    chain: str
    deployment: DeploymentInfo | None = None
    url: str = ""
    plan: Plan | None = None
    unchanged: bool = False
    dry_run: bool = False
    waited: bool = False
    sent_files: int = 0
    sent_bytes: int = 0
    diagnostics: tuple[Diagnostic, ...] = ()
    input_schema: Mapping[str, object] = field(default_factory=dict)
    exit_code: int = Exit.OK


def option_conflict(options: PushOptions) -> str | None:
    """What is contradictory about `options`, in one sentence; None if nothing is."""
    if options.development and options.target_environment:
        return "a development deployment cannot be promoted; leave out `--environment` and `--promote`"
    if options.development and options.deployment_name:
        return "a development deployment has no name of its own; leave out `--deployment-name`"
    if options.deployment_name is not None and not _NAME.fullmatch(options.deployment_name):
        return "`--deployment-name` has 1 to 64 letters, digits, `_`, `-` and `.`"
    environment = options.environment
    if environment is not None and not _ENVIRONMENT.fullmatch(environment):
        return "`--environment` has 1 to 64 letters, digits, `_` and `-`"
    if environment == DEVELOPMENT:
        return "`development` is not an environment; `--development` makes a development deployment"
    if unknown := set(options.allow_missing) - _NEEDS:
        return f"`--allow-missing {min(unknown)}`: a need that may go unmet is `gpu`"
    if options.timeout_s is not None and options.timeout_s <= 0:
        return "`--timeout` is a number of seconds above 0"
    return None


def push(
    source: Path,
    entrypoint: str | None,
    settings: Settings,
    *,
    options: PushOptions,
    remote: Remote,
    report: Report,
    environ: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.monotonic,
) -> PushResult:
    """Deploy the chain that `source` declares.

    Raises:
        DiagnosticsError: CH306 for contradictory options, CH1xx and CH2xx for a chain that
            is not valid, CH3xx from the remote. A deployment that fails is a result with
            `exit_code` 3.
    """
    if conflict := option_conflict(options):
        raise DiagnosticsError([Diagnostic(code=Code.BAD_REQUEST, message=conflict)])
    how = SourceOptions(options.chain_name, options.mocks, options.python)
    prepared = prepare(source, entrypoint, settings, options=how, report=report, environ=environ)
    return push_prepared(prepared, options=options, remote=remote, report=report, clock=clock)


def push_prepared(
    prepared: Prepared,
    *,
    options: PushOptions,
    remote: Remote,
    report: Report,
    clock: Callable[[], float] = time.monotonic,
) -> PushResult:
    """`push` for packages that are built already."""
    with places_in(prepared.spec.workspace):
        return _pushed(prepared, options, remote, report, clock)


def _pushed(
    prepared: Prepared, options: PushOptions, remote: Remote, report: Report, clock: Callable[[], float]
) -> PushResult:
    packages = prepared.packages
    wish = DeployWish(
        kind=DeploymentKind.DEVELOPMENT if options.development else DeploymentKind.PUBLISHED,
        deployment_name=options.deployment_name,
        environment=options.target_environment,
        allow_missing=options.allow_missing,
        strict_target=options.strict_target,
        user_root=prepared.spec.workspace,
    )
    plan = make_plan(packages, remote.plan(packages.chain_name, plan_request(packages, wish)), wish)
    for diagnostic in plan.diagnostics:
        if diagnostic.severity is not Severity.ERROR:
            report(events.Found(in_workspace(diagnostic, prepared.spec.workspace)))
    _report_plan(plan, prepared, report, detail=not options.dry_run)
    result = PushResult(
        packages.chain_name, plan=plan, dry_run=options.dry_run, input_schema=prepared.input_schema
    )
    if options.dry_run or (options.if_changed and plan.unchanged):
        return _not_executed(result, plan, options, remote)
    with _taken_back(result.chain, options, remote, report):
        outcome = execute(plan, packages, remote, _PlanTeller(report))
        if outcome.deployment is None:
            raise RuntimeError("the plan of a push ended without a deployment")
        result = _sent(result, plan, options)
        return follow_deployment(
            result, outcome.deployment, options, remote=remote, report=report, clock=clock
        )


def _sent(result: PushResult, plan: Plan, options: PushOptions) -> PushResult:
    uploads = [step for step in plan.steps if isinstance(step, UploadBlobs)]
    return replace(
        result,
        sent_files=sum(len(step.digests) for step in uploads),
        sent_bytes=sum(step.size_bytes for step in uploads),
        unchanged=plan.unchanged,
        waited=options.wait,
    )


@contextmanager
def _taken_back(chain: str, options: PushOptions, remote: Remote, report: Report) -> Iterator[None]:
    """Of a development deployment that is not to be kept, nothing is left if the user stops waiting."""
    try:
        yield
    except KeyboardInterrupt:
        if not options.is_kept:
            report(events.Step(f"stopping the development deployment of {chain}, which is not ready yet"))
            with suppress(DiagnosticsError):  # it was not begun, or the remote is gone
                remote.delete_deployment(chain, DEVELOPMENT)
                if not remote.chain(chain).deployments:
                    remote.delete_chain(chain)
        raise


def follow_deployment(
    result: PushResult,
    deployment: DeploymentInfo,
    options: PushOptions,
    *,
    remote: Remote,
    report: Report,
    clock: Callable[[], float] = time.monotonic,
) -> PushResult:
    """Wait for a deployment that was asked for, unless `options` say not to; what is true then."""
    if options.wait and not deployment.state.is_settled:
        follower = _Follower(remote, report, clock, options.timeout_s, options.is_kept)
        deployment = follower.wait(deployment)
    return _settled(result, deployment, options.target_environment)


def _not_executed(result: PushResult, plan: Plan, options: PushOptions, remote: Remote) -> PushResult:
    errors = tuple(d for d in plan.diagnostics if d.severity is Severity.ERROR)
    if errors:
        raise DiagnosticsError(errors)
    deployment = plan.current
    if options.if_changed and deployment is None and plan.current_deployment and plan.unchanged:
        deployment = remote.deployment(plan.chain_name, plan.current_deployment)
    url = url_of(deployment, options.target_environment) if deployment and options.if_changed else ""
    return replace(result, deployment=deployment, url=url, unchanged=plan.unchanged)


def _settled(result: PushResult, deployment: DeploymentInfo, environment: str | None) -> PushResult:
    failed = deployment.state in (DeploymentState.FAILED, DeploymentState.DELETED)
    return replace(
        result,
        deployment=deployment,
        url=url_of(deployment, environment),
        diagnostics=_failure(deployment) if failed else (),
        exit_code=Exit.DEPLOY_FAILED if failed else Exit.OK,
    )


@dataclass(frozen=True, slots=True)
class _Follower:
    """Waits for a deployment, and says what is true if the user stops waiting."""

    remote: Remote
    report: Report
    clock: Callable[[], float]
    timeout_s: float | None
    is_kept: bool

    def wait(self, deployment: DeploymentInfo) -> DeploymentInfo:
        try:
            return wait_until_settled(
                self.remote, deployment, self.report, timeout_s=self.timeout_s, clock=self.clock
            )
        except KeyboardInterrupt:
            chain = deployment.chain_name
            if self.is_kept:
                text = f"stopped waiting; deployment {deployment.id} goes on: `chains status {chain}`"
                self.report(events.Step(text))
            raise


def _failure(deployment: DeploymentInfo) -> tuple[Diagnostic, ...]:
    """Why it failed; never empty."""
    errors = tuple(d for d in deployment.diagnostics if d.severity is Severity.ERROR)
    if errors:
        return errors
    reasons = [f"{c.display_name}: {c.reason}" for c in deployment.chainlets if c.reason]
    chain = deployment.chain_name
    return (
        Diagnostic(
            code=Code.REPLICA_CRASHED,
            message=f"deployment `{deployment.id}` of `{chain}` failed",
            detail="\n".join(reasons) or None,
            help=f"`chains logs {chain}` shows what its replicas wrote",
        ),
    )


@dataclass(slots=True)
class _PlanTeller:
    """The executor's events in the tool's own words; the plan's lines were told before."""

    report: Report
    last: events.Upload | None = None

    def __call__(self, event: PlanEvent) -> None:
        if isinstance(event, UploadProgress) and event.total_bytes:
            upload = events.Upload(event.done_bytes, event.total_bytes, event.files)
            if upload != self.last:
                self.last = upload
                self.report(upload)


def _report_plan(plan: Plan, prepared: Prepared, report: Report, *, detail: bool) -> None:
    missing = {digest for step in plan.steps if isinstance(step, UploadBlobs) for digest in step.digests}
    by_name = {built.display_name: built for built in prepared.packages}
    for step in plan.steps:
        if not isinstance(step, KeepChainlet | StartChainlet | StopChainlet):
            continue
        built = None if isinstance(step, StopChainlet) else by_name[step.display_name]
        files = built.manifest.files if built is not None else ()
        sizes = {f.digest: f.size_bytes for f in files if f.digest in missing}
        builds = isinstance(step, StartChainlet) and step.builds_environment
        reason = f"{step.reason.value}; its environment is built first" if builds else step.reason.value
        line = events.PlanLine(step.display_name, step.type, reason, len(sizes), sum(sizes.values()), detail)
        report(line)
        if built is not None and not detail:
            report_files(built, report)


__all__ = [
    "PushOptions",
    "PushResult",
    "follow_deployment",
    "option_conflict",
    "push",
    "push_prepared",
]
