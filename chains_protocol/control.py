"""Requests and replies of the control plane's HTTP API, `/v1`.

Times are Unix seconds (float, UTC). An error answer is `ApiError` with a fitting status:
400 CH306, 401/403 CH302, 404 CH303/CH304/CH316/CH317, 409 CH305, 422 diagnostics of a
refused deployment.
"""

from enum import StrEnum

from pydantic import Field, JsonValue

from chains_protocol.base import Frozen, Reply
from chains_protocol.digest import Digest
from chains_protocol.errors import Diagnostic
from chains_protocol.manifest import ChainManifest
from chains_protocol.replica import ReplicaState
from chains_protocol.version import PROTOCOL_VERSION


class Health(Reply):
    """`GET /v1/health`, the one route without a token."""

    ok: bool = True
    protocol: int = PROTOCOL_VERSION
    version: str = ""
    instance: str = ""
    """Random per state directory: tells one platform from another."""
    gateway_url: str = ""


class ApiError(Reply):
    """The body of every error answer of the control plane."""

    diagnostics: tuple[Diagnostic, ...]


class DeploymentKind(StrEnum):
    PUBLISHED = "published"
    DEVELOPMENT = "development"


class DeploymentState(StrEnum):
    """`active` serves; `inactive` was superseded and stopped, a promote starts it again."""

    QUEUED = "queued"
    BUILDING = "building"
    STARTING = "starting"
    ACTIVE = "active"
    FAILED = "failed"
    INACTIVE = "inactive"
    DELETED = "deleted"

    @property
    def is_settled(self) -> bool:
        return self in (
            DeploymentState.ACTIVE,
            DeploymentState.FAILED,
            DeploymentState.INACTIVE,
            DeploymentState.DELETED,
        )


class DeployAction(StrEnum):
    """What a deployment does for one Chainlet."""

    KEEP = "keep"
    START = "start"
    STOP = "stop"


class DeployReason(StrEnum):
    """Why; shown to users."""

    SAME_DIGEST = "same package and settings run already"
    NEW = "not running yet"
    PACKAGE_CHANGED = "its package changed"
    SETTINGS_CHANGED = "its settings changed"
    NOT_RUNNING = "known, but no replica runs"
    DEVELOPMENT = "a development deployment has its own replicas"
    REMOVED = "no longer part of the chain"


class PlanRequest(Frozen):
    manifest: ChainManifest
    kind: DeploymentKind = DeploymentKind.PUBLISHED
    allow_missing: tuple[str, ...] = ()
    """Needs that may go unmet, such as "gpu"."""


class PlannedChainlet(Reply):
    display_name: str
    action: DeployAction
    reason: DeployReason
    package_digest: Digest
    environment_ready: bool = True
    """False: requirements have to be installed first."""


class PlanReply(Reply):
    """What a deployment of this manifest would do now. `diagnostics` with errors: it would be refused."""

    chainlets: tuple[PlannedChainlet, ...]
    missing_blobs: tuple[Digest, ...] = ()
    current_deployment: str | None = None
    unchanged: bool = False
    """Everything would be kept: the current deployment already is this."""
    current: "DeploymentInfo | None" = None
    """The current deployment, given when `unchanged`, so that a push of it is one round trip."""
    diagnostics: tuple[Diagnostic, ...] = ()


class BlobReply(Reply):
    stored: int
    received_bytes: int


class DeployRequest(Frozen):
    """`POST /v1/chains/{chain}/deployments`. `environment` is promoted to when all is active.

    `user_root` is the author's workspace directory, shown in tracebacks; never read.
    """

    manifest: ChainManifest
    kind: DeploymentKind = DeploymentKind.PUBLISHED
    deployment_name: str | None = Field(default=None, pattern=r"^[0-9a-zA-Z_.-]{1,64}$")
    environment: str | None = Field(default=None, pattern=r"^[0-9a-zA-Z_-]{1,64}$")
    allow_missing: tuple[str, ...] = ()
    user_root: str = ""


class ReplicaInfo(Reply):
    replica_id: str
    pid: int | None = None
    state: ReplicaState
    started_at: float | None = None
    restarts: int = 0
    load_count: int = 0
    in_flight: int = 0
    calls_on_old: int = 0
    """Calls still inside an older generation of code."""


class ChainletStatus(Reply):
    display_name: str
    class_name: str
    is_entrypoint: bool = False
    package_digest: Digest
    state: ReplicaState
    reason: str = ""
    """Why it is not ready, for people."""
    replicas: tuple[ReplicaInfo, ...] = ()
    shared_with: tuple[str, ...] = ()
    """Other deployments whose requests the same replicas serve."""


class DeploymentInfo(Reply):
    id: str
    chain_name: str
    name: str | None = None
    kind: DeploymentKind
    state: DeploymentState
    version: int = 1
    entrypoint: str
    created_at: float
    environments: tuple[str, ...] = ()
    chainlets: tuple[ChainletStatus, ...] = ()
    run_remote_url: str = ""
    environment_url: str = ""
    is_websocket: bool = False
    is_streaming: bool = False
    input_schema: dict[str, JsonValue] = Field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()


class ChainInfo(Reply):
    name: str
    created_at: float
    deployments: tuple[DeploymentInfo, ...] = ()
    """Newest first."""


class ChainList(Reply):
    chains: tuple[ChainInfo, ...] = ()


class EventKind(StrEnum):
    """What happened; the `data` of each is named in `docs/architecture.md`."""

    DEPLOYMENT_STATE = "deployment_state"
    CHAINLET_STATE = "chainlet_state"
    BUILD_STARTED = "build_started"
    BUILD_OUTPUT = "build_output"
    BUILD_FINISHED = "build_finished"
    REPLICA_STATE = "replica_state"
    PATCH = "patch"
    PROMOTED = "promoted"
    DIAGNOSTIC = "diagnostic"


class Event(Reply):
    """A row of the event log; ids grow, so a stream resumes with `Last-Event-ID` or `?after=`."""

    id: int
    kind: EventKind
    at: float
    chain_name: str
    deployment: str | None = None
    chainlet: str | None = None
    message: str = ""
    data: dict[str, JsonValue] = Field(default_factory=dict)


class LogLine(Reply):
    """One line a replica wrote. `stream` is stdout or stderr."""

    at: float
    chainlet: str
    replica_id: str
    stream: str = "stderr"
    text: str


class PackageReply(Reply):
    """`GET .../deployments/{id}/manifest`: what exactly runs; the base of a patch."""

    deployment: str
    version: int
    manifest: ChainManifest
    user_root: str = ""
    allow_missing: tuple[str, ...] = ()
    """As its push said (`DeployRequest`); what makes a deployment of the same bytes the same."""


class VersionInfo(Reply):
    """One version of a development deployment: what ran from `at` on. `packages` are by display name.

    `restores`: it brought that earlier version back.
    """

    version: int
    at: float
    entrypoint: str
    packages: dict[str, Digest]
    restores: int | None = None


class VersionList(Reply):
    """`GET .../deployments/{id}/versions`: those that can be gone back to, newest first."""

    deployment: str
    versions: tuple[VersionInfo, ...] = ()


class PromoteRequest(Frozen):
    deployment: str


class SecretValue(Frozen):
    value: str = Field(repr=False, max_length=65536)


class SecretNames(Reply):
    names: tuple[str, ...] = ()


class GcRequest(Frozen):
    """`POST /v1/gc`: remove what no deployment refers to. `dry_run` only counts."""

    older_than_s: float = Field(default=600.0, ge=0)
    """What was sent or wanted later stays: a push that is under way may need it."""
    dry_run: bool = False


class GcReply(Reply):
    """How many went; bytes of files that are linked elsewhere (uv's cache) count as none."""

    environments: int = 0
    packages: int = 0
    blobs: int = 0
    freed_bytes: int = 0
    kept_environments: int = 0


__all__ = [
    "ApiError",
    "BlobReply",
    "ChainInfo",
    "ChainList",
    "ChainletStatus",
    "DeployAction",
    "DeployReason",
    "DeployRequest",
    "DeploymentInfo",
    "DeploymentKind",
    "DeploymentState",
    "Event",
    "EventKind",
    "GcReply",
    "GcRequest",
    "Health",
    "LogLine",
    "PackageReply",
    "PlanReply",
    "PlanRequest",
    "PlannedChainlet",
    "PromoteRequest",
    "ReplicaInfo",
    "SecretNames",
    "SecretValue",
    "VersionInfo",
    "VersionList",
]
