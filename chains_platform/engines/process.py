"""The process engine: replicas are processes of this machine, environments are built with uv.

`Compute.cpu_count` and `memory` are wishes here, not limits: an address-space limit would
stop programs that only map memory (torch does), and anything finer needs rights that a
user's process does not have. Numeric libraries are told the `cpu_count`, because each would
otherwise start a thread a core of the machine, in every replica. `predict_concurrency` is kept
by the replica itself.
"""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from chains_platform import processes
from chains_platform.engines.checks import Machine, check_chainlet
from chains_platform.engines.collecting import Collected
from chains_platform.engines.engine import ReplicaHandle, StartRequest
from chains_platform.engines.environments import Environments
from chains_platform.engines.indexes import default_pip_files, installer_environment
from chains_platform.engines.pythons import Pythons, managed_roots, own_interpreter, uv_runner
from chains_platform.engines.runtime_tree import ensure_runtime_tree
from chains_platform.engines.strays import REPLICA_MODULE, strays
from chains_platform.layout import Layout
from chains_platform.processes import ProcessId
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.manifest import EnvironmentSpec
from chains_protocol.spec import ChainletSpec

FAILED_PREFIX: Final = "CHAINS-FAILED "
STDOUT_LOG: Final = "stdout.log"
STDERR_LOG: Final = "stderr.log"
_START_FILE: Final = "start.json"
_LAST_LINES: Final = 40
_MAX_TAIL_BYTES: Final = 256 * 1024
_ALL_THREADS: Final = "OMP_NUM_THREADS"
_LIBRARY_THREADS: Final = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_DIAGNOSTICS: Final = TypeAdapter(tuple[Diagnostic, ...])


@dataclass
class ProcessEngine:
    """See `engine.Engine`.

    Args:
        layout: where things are kept.
        environments: builds virtual environments.
        runtime: returns the directory of the runtime tree.
        environ: the environment from which replicas get paths, language and GPU settings.
        has_gpu: whether this machine has a GPU.
    """

    layout: Layout
    environments: Environments
    runtime: Callable[[], Path]
    environ: Mapping[str, str]
    has_gpu: Callable[[], bool]
    _exit_codes: dict[ProcessId, int] = field(default_factory=dict)

    def check(
        self, spec: ChainletSpec, environment: EnvironmentSpec, allow_missing: Collection[str]
    ) -> tuple[Diagnostic, ...]:
        found = self.environments.pythons.find(environment.python_version)
        machine = Machine(has_gpu=self.has_gpu(), python_version=found.version)
        return check_chainlet(spec, environment, machine, allow_missing)

    def environment_ready(self, spec: EnvironmentSpec) -> bool:
        return self.environments.ready(spec) is not None

    async def ensure_environment(self, spec: EnvironmentSpec, report: Callable[[str], None]) -> Path:
        return await self.environments.ensure(spec, report)

    def collect_environments(
        self, kept: Iterable[EnvironmentSpec], older_than: float, *, dry_run: bool
    ) -> Collected:
        return self.environments.collect(kept, older_than, dry_run=dry_run)

    async def start(self, request: StartRequest) -> ReplicaHandle:
        try:
            started = await asyncio.to_thread(self._spawn, request)
        except OSError as error:
            raise DiagnosticsError([_not_started(request, error)]) from error
        address = f"unix:{self.layout.replica_socket(request.replica_id)}"
        return ReplicaHandle(request.replica_id, started.pid, started.started, address)

    def _spawn(self, request: StartRequest) -> ProcessId:
        socket = self.layout.replica_socket(request.replica_id)
        socket.unlink(missing_ok=True)
        request.log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        stdout, stderr = request.log_dir / STDOUT_LOG, request.log_dir / STDERR_LOG
        offsets = {STDOUT_LOG: _size(stdout), STDERR_LOG: _size(stderr)}
        (request.log_dir / _START_FILE).write_text(json.dumps(offsets))
        package, python = str(request.package_dir), str(request.python)
        # -P: the working directory is not on the path; -s: nor the user's site-packages
        module = [python, "-P", "-s", "-m", REPLICA_MODULE]
        return processes.spawn(
            [*module, "--package", package, "--socket", str(socket)],
            environ=self._environment(request),
            stdout=stdout,
            stderr=stderr,
            cwd=request.log_dir,
            payload=request.launch.model_dump_json().encode(),
        )

    def _environment(self, request: StartRequest) -> dict[str, str]:
        added = {**thread_limits(request.cpu_count, request.env_variables), **request.env_variables}
        theirs = added.get("PYTHONPATH")
        runtime = str(self.runtime())
        added["PYTHONPATH"] = f"{runtime}{os.pathsep}{theirs}" if theirs else runtime
        added.setdefault("PYTHONUNBUFFERED", "1")
        environment = processes.minimal_environment(self.environ, added)
        # programs of the environment come first, as in an activated one
        environment["PATH"] = f"{request.python.parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
        environment["VIRTUAL_ENV"] = str(request.python.parent.parent)
        return environment

    def is_alive(self, handle: ReplicaHandle) -> bool:
        alive = processes.is_alive(_process(handle))
        if not alive:
            self._collect(handle)
        return alive

    async def wait_exit(self, handle: ReplicaHandle) -> None:
        await processes.wait_exit(_process(handle))
        processes.kill_leftovers(_process(handle))
        self._collect(handle)

    def failure(self, handle: ReplicaHandle, log_dir: Path) -> tuple[Diagnostic, ...]:
        self._collect(handle)
        offsets = _read_offsets(log_dir / _START_FILE)
        said = parse_failure(_tail(log_dir / STDOUT_LOG, offsets.get(STDOUT_LOG, 0)))
        if said:
            return said
        last = _tail(log_dir / STDERR_LOG, offsets.get(STDERR_LOG, 0)).splitlines()[-_LAST_LINES:]
        return (_crashed(handle, self._exit_codes.get(_process(handle)), "\n".join(last)),)

    async def stop(self, handle: ReplicaHandle, drain_timeout_s: float) -> None:
        await processes.stop(_process(handle), drain_timeout_s)
        self._collect(handle)
        self._exit_codes.pop(_process(handle), None)
        if handle.address.startswith("unix:"):
            Path(handle.address.removeprefix("unix:")).unlink(missing_ok=True)

    async def stop_strays(self, known: Collection[ReplicaHandle]) -> int:
        pids = {handle.pid for handle in known}
        found = await asyncio.to_thread(strays, self.layout.sockets, pids)
        for handle in found:
            await self.stop(handle, 0.0)
        return len(found)

    def _collect(self, handle: ReplicaHandle) -> None:
        """Reap a child that is gone and remember how it ended."""
        code = processes.reap(_process(handle))
        if code is not None:
            self._exit_codes[_process(handle)] = code


def open_engine(layout: Layout, environ: Mapping[str, str]) -> ProcessEngine:
    """The process engine of this machine. `FileNotFoundError` if there is no uv."""
    uv = find_uv(environ)
    uv_environ = installer_environment(environ, default_pip_files(environ))
    run = uv_runner(uv, uv_environ, layout.environments)
    pythons = Pythons(run, own_interpreter(), layout.environments / "pythons.json", managed_roots(environ))
    tree: list[Path] = []

    def runtime() -> Path:
        # once a process: an upgrade below a running control plane must not mix with what it started
        if not tree:
            tree.append(ensure_runtime_tree(layout.runtimes))
        return tree[0]

    return ProcessEngine(
        layout=layout,
        environments=Environments(layout.environments, uv, pythons, uv_environ),
        runtime=runtime,
        environ=environ,
        has_gpu=lambda: machine_has_gpu(environ),
    )


def find_uv(environ: Mapping[str, str]) -> str:
    """The path of uv: the one installed beside us, else the one on `PATH`."""
    from uv import find_uv_bin

    try:
        return str(find_uv_bin())
    except FileNotFoundError:
        found = shutil.which("uv", path=environ.get("PATH"))
        if found is None:
            raise
        return found


def machine_has_gpu(environ: Mapping[str, str]) -> bool:
    """Whether an NVIDIA driver is there."""
    return Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi", path=environ.get("PATH")) is not None


def thread_limits(cpu_count: int, env_variables: Mapping[str, str]) -> dict[str, str]:
    """How many threads numeric libraries start, as environment variables.

    Nothing if the user says it with `OMP_NUM_THREADS`, which those libraries heed, too.
    """
    if _ALL_THREADS in env_variables:
        return {}
    return dict.fromkeys((_ALL_THREADS, *_LIBRARY_THREADS), str(cpu_count))


def parse_failure(output: str) -> tuple[Diagnostic, ...]:
    """The diagnostics of the last `CHAINS-FAILED` line; empty if there is none that can be read."""
    lines = [line for line in output.splitlines() if line.startswith(FAILED_PREFIX)]
    if not lines:
        return ()
    try:
        said = json.loads(lines[-1].removeprefix(FAILED_PREFIX))
        return _DIAGNOSTICS.validate_python(said["diagnostics"] if isinstance(said, dict) else said)
    except (ValueError, KeyError, ValidationError):
        return ()


def _crashed(handle: ReplicaHandle, code: int | None, last: str) -> Diagnostic:
    how, remedy = "ended unexpectedly", "look at its log"
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        how = f"was ended by {name}"
        if -code == signal.SIGKILL:
            remedy = "the system ends processes this way when memory runs out; look at its log"
    elif code is not None:
        how = f"ended with exit code {code}"
    return Diagnostic(
        code=Code.REPLICA_CRASHED,
        message=f"replica `{handle.replica_id}` {how}",
        help=remedy,
        detail=last or None,
    )


def _not_started(request: StartRequest, error: OSError) -> Diagnostic:
    return Diagnostic(
        code=Code.REPLICA_CRASHED,
        message=f"replica `{request.replica_id}` can't be started: {error.strerror or error}",
        help=f"check that `{request.python}` exists and can be run",
    )


def _process(handle: ReplicaHandle) -> ProcessId:
    return ProcessId(handle.pid, handle.started_at)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _read_offsets(path: Path) -> dict[str, int]:
    try:
        return {str(name): int(value) for name, value in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _tail(path: Path, offset: int) -> str:
    """What was written from `offset` on, at most the last part of it."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(min(offset, size), size - _MAX_TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


__all__ = [
    "FAILED_PREFIX",
    "ProcessEngine",
    "find_uv",
    "machine_has_gpu",
    "open_engine",
    "parse_failure",
    "thread_limits",
]
