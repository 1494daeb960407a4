"""An engine, replicas and a gateway in memory, and made-up packages. No process, no socket."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from chains_platform.engines.collecting import Collected
from chains_platform.engines.engine import ReplicaHandle, StartRequest
from chains_protocol.digest import bytes_digest, tree_digest
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Severity
from chains_protocol.manifest import (
    SPEC_FILE,
    ChainManifest,
    EnvironmentSpec,
    FileEntry,
    PackageManifest,
)
from chains_protocol.replica import (
    GenerationStatus,
    PrepareReply,
    PrepareRequest,
    ReplicaState,
    ReplicaStatus,
)
from chains_protocol.routes import GatewayRoutes, GatewayStatus, ReplicaRoutes
from chains_protocol.rpc import Revision
from chains_protocol.spec import (
    AssetsSpec,
    AutoscalingSpec,
    ChainletSpec,
    ComputeSpec,
    DependencySpec,
    EndpointSpec,
    OptionsSpec,
    RPCOptions,
)


@dataclass
class Bytes:
    """What a test would upload, by digest."""

    by_digest: dict[str, bytes] = field(default_factory=dict)

    def add(self, data: bytes) -> str:
        digest = bytes_digest(data)
        self.by_digest[digest] = data
        return digest


BYTES = Bytes()


def package(
    name: str,
    code: str = "1",
    *,
    calls: Collection[str] = (),
    requirements: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
    secrets: tuple[str, ...] = (),
    takes_context: bool = False,
    replicas: int = 1,
    gpu: str | None = None,
    cpus: int = 1,
    health_checks: dict[str, int | None] | None = None,
    retries: int = 1,
    store: Bytes = BYTES,
) -> PackageManifest:
    """A package of one source file; `code` is its content."""
    spec = ChainletSpec(
        class_name=name,
        display_name=name,
        module="chain",
        qualname=name,
        file="chain.py",
        dependencies=tuple(
            DependencySpec(
                parameter=c.lower(), class_name=c, display_name=c, options=RPCOptions(retries=retries)
            )
            for c in calls
        ),
        endpoint=EndpointSpec(has_health_check=health_checks is not None),
        takes_context=takes_context,
        options=OptionsSpec(env_variables=env or {}, health_checks=health_checks or {}),
        assets=AssetsSpec(secret_keys=secrets),
        autoscaling=AutoscalingSpec(min_replicas=replicas, max_replicas=replicas),
        compute=ComputeSpec(cpu_count=cpus, gpu=gpu),
    )
    files = {
        SPEC_FILE: spec.model_dump_json().encode(),
        "model/model.py": b"",
        "packages/chain.py": f"# {name}\n{code}\n".encode(),
    }
    entries = tuple(
        FileEntry(path=path, digest=store.add(data), size_bytes=len(data))
        for path, data in sorted(files.items())
    )
    return PackageManifest(
        digest=tree_digest({e.path: e.digest for e in entries}),
        files=entries,
        spec=spec,
        environment=EnvironmentSpec(python_version="3.12", requirements=requirements),
    )


def manifest(*packages: PackageManifest, chain: str = "poems", entrypoint: str = "") -> ChainManifest:
    """A Chain of these, dependencies first; the last is the entrypoint."""
    return ChainManifest(
        chain_name=chain,
        entrypoint=entrypoint or packages[-1].spec.display_name,
        packages=packages,
    )


@dataclass
class Script:
    """What is to go wrong, by display name."""

    fail_start: dict[str, int] = field(default_factory=dict)
    """How many starts fail."""
    unhealthy: set[str] = field(default_factory=set)
    broken_start: set[str] = field(default_factory=set)
    hang_start: set[str] = field(default_factory=set)
    gate: asyncio.Event | None = None
    """Processes start when it is set."""
    prepare: dict[str, list[PrepareReply]] = field(default_factory=dict)
    """Answers of `prepare` in order; when there are none left, it succeeds."""
    die_at_prepare: set[str] = field(default_factory=set)
    hang_prepare: set[str] = field(default_factory=set)
    fail_commit: set[str] = field(default_factory=set)


class FakeReplica:
    """Process and admin endpoint in one."""

    def __init__(self, request: StartRequest, handle: ReplicaHandle, name: str, script: Script) -> None:
        self.request = request
        self.handle = handle
        self.name = name
        self.script = script
        self.routes: ReplicaRoutes = request.launch.routes
        self.digest = request.launch.package_digest
        self.generations = [
            GenerationStatus(number=1, since=request.launch.since, package_digest=self.digest)
        ]
        self.prepared: dict[str, PrepareRequest] = {}
        self.exited = asyncio.Event()
        self.load_count = 1
        self.calls: list[str] = []

    @property
    def alive(self) -> bool:
        return not self.exited.is_set()

    def die(self) -> None:
        self.exited.set()

    def digest_at(self, version: int) -> str:
        """The package that a request of that version runs."""
        fitting = [g for g in self.generations if g.since <= version]
        return (fitting or self.generations)[-1 if fitting else 0].package_digest

    def _require(self) -> None:
        if not self.alive:
            raise ConnectionError("nobody listens")

    async def status(self) -> ReplicaStatus:
        self._require()
        return ReplicaStatus(
            replica_id=self.request.replica_id,
            pid=self.handle.pid,
            state=ReplicaState.READY,
            package_digest=self.digest,
            generations=tuple(self.generations),
            load_count=self.load_count,
        )

    async def put_routes(self, routes: ReplicaRoutes) -> ReplicaStatus:
        self._require()
        self.calls.append("routes")
        self.routes = routes
        return await self.status()

    async def prepare(self, request: PrepareRequest, timeout_s: float = 600.0) -> PrepareReply:
        self._require()
        self.calls.append(f"prepare {request.action}")
        if self.name in self.script.die_at_prepare:
            self.die()
            raise ConnectionError("died")
        if self.name in self.script.hang_prepare:
            await asyncio.Event().wait()
        if request.base_digest != self.digest:
            return PrepareReply(ok=False, action=request.action)
        answers = self.script.prepare.get(self.name, [])
        if answers:
            answer = answers.pop(0)
            if answer.ok:
                self.prepared[request.transaction] = request
            return answer
        self.prepared[request.transaction] = request
        return PrepareReply(ok=True, action=request.action, elapsed_ms=1.0)

    async def commit(self, transaction: str) -> ReplicaStatus:
        self._require()
        self.calls.append("commit")
        if self.name in self.script.fail_commit:
            raise ConnectionError("lost")
        request = self.prepared.pop(transaction)
        self.digest = request.package_digest
        number = len(self.generations) + 1
        self.generations.append(
            GenerationStatus(number=number, since=request.since, package_digest=self.digest)
        )
        return await self.status()

    async def abort(self, transaction: str) -> ReplicaStatus:
        self._require()
        self.calls.append("abort")
        self.prepared.pop(transaction, None)
        return await self.status()

    async def retire(self, below: int, open_versions: tuple[int, ...] = ()) -> ReplicaStatus:
        self._require()
        self.calls.append(f"retire {below}")
        needed = {below, *open_versions}
        serving = [max((g.since for g in self.generations if g.since <= v), default=0) for v in needed]
        self.generations = [g for g in self.generations if g.since in serving or g.since > below]
        return await self.status()

    async def wait_ready(self, is_alive: Callable[[], bool], timeout_s: float) -> ReplicaStatus:
        left = self.script.fail_start.get(self.name, 0)
        if left > 0:
            self.script.fail_start[self.name] = left - 1
            self.die()
            raise DiagnosticsError([Diagnostic(code=Code.REPLICA_CRASHED, message="ended")])
        if self.name in self.script.hang_start:
            await asyncio.Event().wait()
        return await self.status()

    async def close(self) -> None:
        return None


class FakeEngine:
    """Replicas as objects; addresses name them."""

    def __init__(self) -> None:
        self.script = Script()
        self.replicas: dict[str, FakeReplica] = {}
        self.starts: list[str] = []
        self.stops: list[str] = []
        self.built: list[EnvironmentSpec] = []
        self.ready_environments: set[tuple[str, ...]] = {()}
        self.unbuildable: set[tuple[str, ...]] = set()
        self.python = Path("/nonexistent/python")
        self.collected: list[tuple[frozenset[EnvironmentSpec], float, bool]] = []
        self.begun = asyncio.Event()
        """A start waits at the script's gate."""
        self._pid = 1000

    # --- for tests

    def running(self, name: str | None = None) -> list[FakeReplica]:
        found = [r for r in self.replicas.values() if r.alive and name in (None, r.name)]
        return sorted(found, key=lambda r: r.handle.pid)

    def names(self) -> list[str]:
        return sorted(r.name for r in self.running())

    async def ask_health(self, address: str) -> bool:
        return self.replicas[address].name not in self.script.unhealthy

    def connect(self, address: str, replica_id: str) -> FakeReplica:
        return self.replicas[address]

    # --- Engine

    def check(
        self, spec: ChainletSpec, environment: EnvironmentSpec, allow_missing: Collection[str]
    ) -> tuple[Diagnostic, ...]:
        if spec.compute.gpu is None:
            return ()
        severity = Severity.WARNING if "gpu" in allow_missing else Severity.ERROR
        return (
            Diagnostic(
                code=Code.GPU_MISSING, message="no GPU", severity=severity, chainlet=spec.display_name
            ),
        )

    def environment_ready(self, spec: EnvironmentSpec) -> bool:
        return spec.requirements in self.ready_environments

    async def ensure_environment(self, spec: EnvironmentSpec, report: Callable[[str], None]) -> Path:
        if not self.environment_ready(spec):
            report("Resolving")
            if spec.requirements in self.unbuildable:
                raise DiagnosticsError(
                    [Diagnostic(code=Code.ENVIRONMENT_BUILD_FAILED, message="no such thing")]
                )
            report("Installed")
            self.built.append(spec)
            self.ready_environments.add(spec.requirements)
        return self.python

    def collect_environments(
        self, kept: Iterable[EnvironmentSpec], older_than: float, *, dry_run: bool
    ) -> Collected:
        self.collected.append((frozenset(kept), older_than, dry_run))
        return Collected(2, 1000)

    async def start(self, request: StartRequest) -> ReplicaHandle:
        if self.script.gate is not None:
            self.begun.set()
            await self.script.gate.wait()
        self._pid += 1
        spec = ChainletSpec.model_validate_json((request.package_dir / SPEC_FILE).read_bytes())
        if spec.display_name in self.script.broken_start:
            raise RuntimeError("not expected")
        address = f"unix:/fake/{request.replica_id}-{self._pid}"
        handle = ReplicaHandle(request.replica_id, self._pid, float(self._pid), address)
        self.replicas[address] = FakeReplica(request, handle, spec.display_name, self.script)
        self.starts.append(spec.display_name)
        request.log_dir.mkdir(parents=True, exist_ok=True)
        return handle

    def is_alive(self, handle: ReplicaHandle) -> bool:
        found = self.replicas.get(handle.address)
        return found is not None and found.alive and found.handle == handle

    async def wait_exit(self, handle: ReplicaHandle) -> None:
        await self.replicas[handle.address].exited.wait()

    def failure(self, handle: ReplicaHandle, log_dir: Path) -> tuple[Diagnostic, ...]:
        name = self.replicas[handle.address].name
        return (
            Diagnostic(
                code=Code.INIT_FAILED,
                message=f"`{name}` could not be made",
                detail="Traceback: boom",
                chainlet=name,
            ),
        )

    async def stop(self, handle: ReplicaHandle, drain_timeout_s: float) -> None:
        self.stops.append(self.replicas[handle.address].name)
        self.replicas[handle.address].die()

    async def stop_strays(self, known: Collection[ReplicaHandle]) -> int:
        found = [r for r in self.running() if r.handle.pid not in {handle.pid for handle in known}]
        for replica in found:
            replica.die()
        return len(found)


class FakeSmoke:
    """Notes the trial calls; `error` lets them fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, object]]] = []
        self.tokens: list[str] = []
        self.error: Diagnostic | None = None

    async def __call__(self, address: str, token: str, revision: Revision, body: dict[str, object]) -> None:
        self.calls.append((address, str(revision), body))
        self.tokens.append(token)
        if self.error is not None:
            raise DiagnosticsError([self.error])


class FakeGateway:
    """Keeps the tables it was given; requests in flight are what a test says."""

    def __init__(self) -> None:
        self.tables: list[GatewayRoutes] = []
        self.in_flight: dict[str, int] = {}
        self.down = False
        self._changed = asyncio.Event()

    @property
    def table(self) -> GatewayRoutes:
        return self.tables[-1]

    def version(self, deployment: str) -> int | None:
        return next((t.version for t in self.table.targets if t.deployment == deployment), None)

    def selectors(self) -> dict[str, str]:
        return {r.selector: r.deployment for r in self.table.routes}

    def set_in_flight(self, **counts: int) -> None:
        self.in_flight = {k.replace("__", "."): v for k, v in counts.items()}
        self.finish()

    def finish(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def put_routes(self, routes: GatewayRoutes) -> GatewayStatus:
        if self.down:
            raise ConnectionError("the gateway is down")
        if self.tables and routes.serial < self.tables[-1].serial:
            raise DiagnosticsError([Diagnostic(code=Code.INTERNAL, message="an older table")])
        self.tables.append(routes)
        return await self.status()

    async def status(self) -> GatewayStatus:
        if self.down:
            raise ConnectionError("the gateway is down")
        serial = self.tables[-1].serial if self.tables else 0
        return GatewayStatus(pid=1, serial=serial, in_flight=self.in_flight)

    async def wait_drained(self, deployment: str, below: int, timeout_s: float) -> bool:
        while any(
            count
            for revision, count in self.in_flight.items()
            if revision.rpartition(".")[0] == deployment and int(revision.rpartition(".")[2]) < below
        ):
            await self._changed.wait()
        return True

    async def close(self) -> None:
        return None
