"""What the executor reports while it works: plain facts."""

from collections.abc import Callable
from dataclasses import dataclass

from chains_cli.planning.plan import Step
from chains_protocol.control import DeploymentInfo
from chains_protocol.patch import PatchOutcome


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step is about to be carried out."""

    step: Step


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """Bytes of blobs sent so far; the last report has `done_bytes == total_bytes`."""

    done_bytes: int
    total_bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class Deployed:
    """The remote accepted the deployment; it need not be active yet."""

    deployment: DeploymentInfo


@dataclass(frozen=True, slots=True)
class Patched:
    """The development deployment answered a patch."""

    outcome: PatchOutcome


PlanEvent = StepStarted | UploadProgress | Deployed | Patched
Report = Callable[[PlanEvent], None]

__all__ = ["Deployed", "Patched", "PlanEvent", "Report", "StepStarted", "UploadProgress"]
