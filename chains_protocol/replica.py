"""Between the control plane and one replica: how it is launched and what it is told later.

Launch: `python -m chains_runtime --package DIR --socket PATH` (or `--port N`), with one
`ReplicaLaunch` as JSON on standard input (then closed), so that no secret stands in argv,
environment or a file. Later messages go to the replica's own address below
`/_chains/`, with `Authorization: Bearer <admin token>`:

    GET  /_chains/status                -> ReplicaStatus
    PUT  /_chains/routes  ReplicaRoutes -> ReplicaStatus
    POST /_chains/prepare PrepareRequest -> PrepareReply   (load beside; nothing serves it yet)
    POST /_chains/commit  TransactionRequest -> ReplicaStatus
    POST /_chains/abort   TransactionRequest -> ReplicaStatus (idempotent)
    POST /_chains/retire  RetireRequest -> ReplicaStatus   (drop generations nobody needs)
    POST /_chains/drain                 -> ReplicaStatus   (refuse new work, finish what runs, exit)
"""

from enum import StrEnum

from pydantic import Field

from chains_protocol.base import Frozen, Reply
from chains_protocol.digest import Digest
from chains_protocol.errors import Diagnostic
from chains_protocol.patch import Action, JudgedStep
from chains_protocol.routes import ReplicaRoutes

ADMIN_PREFIX = "/_chains"


class ReplicaState(StrEnum):
    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
    FAILED = "failed"
    STOPPED = "stopped"


class ReplicaLaunch(Frozen):
    """All that a replica needs besides its package.

    `since` is the version its first generation serves from. `environment` is the
    deployment's environment name, if any. `user_root` is the author's workspace, so that
    tracebacks can show the author's own paths; empty when unknown.
    """

    replica_id: str
    deployment: str
    since: int = 1
    admin_token: str = Field(repr=False)
    package_digest: Digest
    secrets: dict[str, str] = Field(default_factory=dict, repr=False)
    environment: str | None = None
    user_root: str = ""
    drain_timeout_s: float = 3600.0
    routes: ReplicaRoutes = ReplicaRoutes()


class GenerationStatus(Frozen):
    """One generation of code: from which version it serves, its package, calls still inside it."""

    number: int
    since: int
    package_digest: Digest
    in_flight: int = 0
    committed: bool = True


class ReplicaStatus(Reply):
    """What a replica says of itself. `load_count` counts how often `__init__` ran in this process."""

    replica_id: str
    pid: int
    state: ReplicaState
    package_digest: Digest
    generations: tuple[GenerationStatus, ...] = ()
    load_count: int = 0
    in_flight: int = 0
    queued: int = 0
    requests_total: int = 0
    errors_total: int = 0
    load_time_s: float | None = None
    diagnostics: tuple[Diagnostic, ...] = ()


class PrepareRequest(Frozen):
    """Load `package_dir` beside what runs, to serve from version `since` on.

    `action` is what the author's side judged sufficient: `patched` or `reloaded`. The
    replica asks the same verdict module about the same source, or takes what that said to
    the author's side if it was about these very packages (`judged`). It may answer with a
    heavier action; it never does less than asked.
    """

    transaction: str
    since: int
    base_digest: Digest
    package_digest: Digest
    package_dir: str
    action: Action
    judged: JudgedStep | None = None


class PrepareReply(Reply):
    """`ok` False: nothing was changed; `required` then names the action that would do."""

    ok: bool
    action: Action
    required: Action | None = None
    reasons: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    elapsed_ms: float = 0.0


class TransactionRequest(Frozen):
    transaction: str


class RetireRequest(Frozen):
    """No request of a version below `below` will come any more.

    `open_versions` are those below it that requests, streams or websockets still have.
    """

    below: int
    open_versions: tuple[int, ...] = ()


__all__ = [
    "ADMIN_PREFIX",
    "GenerationStatus",
    "PrepareReply",
    "PrepareRequest",
    "ReplicaLaunch",
    "ReplicaState",
    "ReplicaStatus",
    "RetireRequest",
    "TransactionRequest",
]
