"""The one interface between the control plane and whatever runs replicas.

An engine builds environments, starts one process (or its equivalent) a replica, says
whether it is alive and why it died, and stops it. It decides nothing: which replicas are
wanted is the business of `reconcile`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from chains_platform.engines.collecting import Collected
from chains_protocol.errors import Diagnostic
from chains_protocol.manifest import EnvironmentSpec
from chains_protocol.replica import ReplicaLaunch
from chains_protocol.spec import ChainletSpec


@dataclass(frozen=True)
class StartRequest:
    """All that is needed to start one replica.

    `package_dir` is a materialised package, `python` the interpreter of its environment,
    `env_variables` are the user's and are added to a minimal environment, `log_dir` is
    created if it is missing and receives `stdout.log` and `stderr.log`. `cpu_count` bounds the
    threads that numeric libraries start by themselves.
    """

    replica_id: str
    package_dir: Path
    python: Path
    launch: ReplicaLaunch
    log_dir: Path
    env_variables: Mapping[str, str] = field(default_factory=dict)
    cpu_count: int = 1


@dataclass(frozen=True)
class ReplicaHandle:
    """Names one started replica for as long as it lives; plain data, so that it can be stored.

    `started_at` is the process's start time (Unix seconds, as the operating system keeps
    it): with the pid it tells this process from a later one. `address` is
    `unix:<absolute path>` or `http://host:port`.
    """

    replica_id: str
    pid: int
    started_at: float
    address: str


class Engine(Protocol):
    """Runs replicas. Handles stay valid when the control plane is restarted."""

    def check(
        self, spec: ChainletSpec, environment: EnvironmentSpec, allow_missing: Collection[str]
    ) -> tuple[Diagnostic, ...]:
        """What this engine can't honour: errors refuse the deployment, warnings are shown.

        `allow_missing` names needs that may go unmet, such as "gpu".
        """
        ...

    def environment_ready(self, spec: EnvironmentSpec) -> bool:
        """Whether `ensure_environment` would return at once."""
        ...

    async def ensure_environment(self, spec: EnvironmentSpec, report: Callable[[str], None]) -> Path:
        """Build the environment unless it is there.

        Args:
            spec: what to install.
            report: receives each line of the installer's output.

        Returns:
            The path of the environment's interpreter.

        Raises:
            DiagnosticsError: CH312 with the resolver's own output in `detail`.
        """
        ...

    def collect_environments(
        self, kept: Iterable[EnvironmentSpec], older_than: float, *, dry_run: bool
    ) -> Collected:
        """Remove environments that none of `kept` asks for, that nobody wanted since `older_than`
        (Unix seconds) and that no process runs in; `dry_run` only counts."""
        ...

    async def start(self, request: StartRequest) -> ReplicaHandle:
        """Start a replica and return at once; `ReplicaClient.wait_ready` waits for it.

        Raises:
            DiagnosticsError: CH502 if the process can't be started at all.
        """
        ...

    def is_alive(self, handle: ReplicaHandle) -> bool:
        """Whether exactly this process still runs; a zombie does not."""
        ...

    async def wait_exit(self, handle: ReplicaHandle) -> None:
        """Return when the process is gone, also if an earlier control plane started it."""
        ...

    def failure(self, handle: ReplicaHandle, log_dir: Path) -> tuple[Diagnostic, ...]:
        """Why a replica that is gone went: its own diagnostics, else CH502 with its last output."""
        ...

    async def stop(self, handle: ReplicaHandle, drain_timeout_s: float) -> None:
        """Ask the process to finish, wait at most `drain_timeout_s`, kill it; nothing of it remains."""
        ...

    async def stop_strays(self, known: Collection[ReplicaHandle]) -> int:
        """Kill replicas of this platform that are not among `known`; returns how many there were.

        A control plane that is killed may have started some that nobody has a record of.
        """
        ...


__all__ = ["Engine", "ReplicaHandle", "StartRequest"]
