"""Carries a plan out through a remote, and reports what it does."""

from dataclasses import dataclass

from chains_cli.packaging.package import ChainPackages
from chains_cli.planning.events import Deployed, Patched, Report, StepStarted, UploadProgress
from chains_cli.planning.plan import Deploy, Patch, Plan, Step, UploadBlobs
from chains_cli.remotes.remote import Remote
from chains_protocol.control import DeploymentInfo
from chains_protocol.errors import DiagnosticsError, Severity
from chains_protocol.patch import PatchOutcome


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the remote answered: a deployment (need not be active yet), or a patch's outcome."""

    deployment: DeploymentInfo | None = None
    patch: PatchOutcome | None = None


def execute(plan: Plan, packages: ChainPackages, remote: Remote, report: Report) -> Outcome:
    """Carry out `plan`.

    Raises:
        DiagnosticsError: the plan is one that the remote refuses, or the remote failed.
    """
    errors = [d for d in plan.diagnostics if d.severity is Severity.ERROR]
    if errors:
        raise DiagnosticsError(errors)
    outcome = Outcome()
    for step in plan.steps:
        report(StepStarted(step))
        outcome = _carry_out(step, packages, remote, report, outcome)
    if plan.unchanged and plan.current_deployment is not None:
        current = plan.current or remote.deployment(plan.chain_name, plan.current_deployment)
        return Outcome(deployment=current)
    return outcome


def _carry_out(
    step: Step, packages: ChainPackages, remote: Remote, report: Report, outcome: Outcome
) -> Outcome:
    """Do one step. Steps about single Chainlets are what the deployment's own step does."""
    match step:
        case UploadBlobs():
            _upload(step, packages, remote, report)
        case Deploy():
            deployment = remote.deploy(step.chain_name, step.request)
            report(Deployed(deployment))
            return Outcome(deployment=deployment)
        case Patch():
            patched = remote.patch(step.chain_name, step.request)
            report(Patched(patched))
            return Outcome(patch=patched)
        case _:
            pass
    return outcome


def _upload(step: UploadBlobs, packages: ChainPackages, remote: Remote, report: Report) -> None:
    blobs = packages.blobs(step.digests)
    total, files = step.size_bytes, len(blobs)

    def progress(done_bytes: int) -> None:
        report(UploadProgress(min(done_bytes, total), total, files))

    report(UploadProgress(0, total, files))
    remote.upload(blobs, progress)
    report(UploadProgress(total, total, files))


__all__ = ["Outcome", "execute"]
