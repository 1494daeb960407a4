"""A plan: frozen steps with reasons. Printable, comparable, JSON-able; holds no open thing."""

from dataclasses import asdict, dataclass
from typing import ClassVar

from pydantic import JsonValue

from chains_protocol.control import DeploymentInfo, DeployReason, DeployRequest
from chains_protocol.errors import Diagnostic
from chains_protocol.patch import Action, PatchRequest


@dataclass(frozen=True, slots=True)
class UploadBlobs:
    """Send the file contents that the remote lacks."""

    type: ClassVar[str] = "upload"
    digests: tuple[str, ...]
    size_bytes: int

    def describe(self) -> str:
        return f"upload {len(self.digests)} file(s), {format_bytes(self.size_bytes)}"


@dataclass(frozen=True, slots=True)
class KeepChainlet:
    """Its replicas stay as they are."""

    type: ClassVar[str] = "keep"
    display_name: str
    reason: DeployReason
    package_digest: str

    def describe(self) -> str:
        return f"keep {self.display_name}: {self.reason}"


@dataclass(frozen=True, slots=True)
class StartChainlet:
    """New replicas; `builds_environment` if requirements are installed first."""

    type: ClassVar[str] = "start"
    display_name: str
    reason: DeployReason
    package_digest: str
    builds_environment: bool = False

    def describe(self) -> str:
        build = "; its environment is built first" if self.builds_environment else ""
        return f"start {self.display_name}: {self.reason}{build}"


@dataclass(frozen=True, slots=True)
class StopChainlet:
    """Its replicas drain and go."""

    type: ClassVar[str] = "stop"
    display_name: str
    reason: DeployReason
    package_digest: str

    def describe(self) -> str:
        return f"stop {self.display_name}: {self.reason}"


@dataclass(frozen=True, slots=True)
class PatchChainlet:
    """Running replicas take over new code; what exactly happens is `action`."""

    type: ClassVar[str] = "patch"
    display_name: str
    action: Action
    reasons: tuple[str, ...]
    package_digest: str

    def describe(self) -> str:
        why = f": {'; '.join(self.reasons)}" if self.reasons else ""
        return f"{_IMPERATIVE[self.action]} {self.display_name}{why}"


@dataclass(frozen=True, slots=True)
class Deploy:
    """Ask the remote for the deployment; the Chainlets' steps are what it then does."""

    type: ClassVar[str] = "deploy"
    chain_name: str
    request: DeployRequest

    def describe(self) -> str:
        name = f" as {self.request.deployment_name}" if self.request.deployment_name else ""
        return f"deploy {self.chain_name} ({self.request.kind}){name}"


@dataclass(frozen=True, slots=True)
class Promote:
    """Point an environment at the deployment when it is active; the remote does so by itself."""

    type: ClassVar[str] = "promote"
    chain_name: str
    environment: str

    def describe(self) -> str:
        return f"promote it to {self.environment} when it is active"


@dataclass(frozen=True, slots=True)
class Patch:
    """Send the patch of the development deployment, all or nothing."""

    type: ClassVar[str] = "send_patch"
    chain_name: str
    request: PatchRequest

    def describe(self) -> str:
        return f"patch {self.chain_name} from version {self.request.base_version}"


Step = UploadBlobs | KeepChainlet | StartChainlet | StopChainlet | PatchChainlet | Deploy | Promote | Patch


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, in order. `diagnostics` with errors: the remote would refuse it.

    `unchanged`: all that was asked for is true already, and nothing will be sent. `current` is
    the deployment that is this already, when `unchanged` and the remote told it.
    """

    chain_name: str
    steps: tuple[Step, ...]
    current_deployment: str | None = None
    unchanged: bool = False
    current: DeploymentInfo | None = None
    diagnostics: tuple[Diagnostic, ...] = ()

    def describe(self) -> tuple[str, ...]:
        """One line a step, for people."""
        if self.unchanged:
            return (*(s.describe() for s in self.steps), "nothing to do: this is what runs already")
        return tuple(step.describe() for step in self.steps)

    def to_json(self) -> dict[str, JsonValue]:
        """The plan as JSON data; the requests of deploy and patch steps are left out."""
        return {
            "chain_name": self.chain_name,
            "current_deployment": self.current_deployment,
            "unchanged": self.unchanged,
            "steps": [step_json(step) for step in self.steps],
            "diagnostics": [d.model_dump(mode="json", exclude_none=True) for d in self.diagnostics],
        }


def step_json(step: Step) -> dict[str, JsonValue]:
    """One step as JSON data, with its `type` first."""
    if isinstance(step, Deploy):
        request = step.request
        fields: dict[str, JsonValue] = {
            "chain_name": step.chain_name,
            "kind": request.kind.value,
            "deployment_name": request.deployment_name,
            "environment": request.environment,
        }
    elif isinstance(step, Patch):
        fields = {
            "chain_name": step.chain_name,
            "deployment": step.request.deployment,
            "base_version": step.request.base_version,
        }
    else:
        fields = {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(step).items()
        }
    return {"type": step.type, **fields}


def format_bytes(count: int) -> str:
    """A size for people: `812 B`, `3.1 kB`, `12.0 MB`."""
    size, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{int(size)} B" if unit == "B" else f"{size:.1f} {unit}"


_IMPERATIVE = {
    Action.UNCHANGED: "leave",
    Action.PATCHED: "patch",
    Action.RELOADED: "reload",
    Action.RESTARTED: "restart",
    Action.REBUILT: "rebuild",
    Action.REDEPLOYED: "redeploy",
}

__all__ = [
    "Deploy",
    "KeepChainlet",
    "Patch",
    "PatchChainlet",
    "Plan",
    "Promote",
    "StartChainlet",
    "Step",
    "StopChainlet",
    "UploadBlobs",
    "format_bytes",
    "step_json",
]
