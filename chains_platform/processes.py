"""Processes that live on their own: started, recognised, awaited, stopped.

A process is named by pid and start time together, because the operating system gives
a pid to another process later. What is started here is a session of its own, gets only
the environment it needs, and inherits no open file.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import psutil

_SAME_START_S: Final = 2.0
"""Start times of one process, read twice, differ by less (they move with the system's idea of when
it booted); a pid comes round again only after much longer."""
_POLL_S: Final = 0.02
"""Where the system can't tell when a process ends, it is looked at so often."""

_PASSED_ON: Final = frozenset(
    [
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
        *("XDG_CACHE_HOME", "HF_HOME", "TORCH_HOME"),
    ]
)
_PASSED_ON_PREFIXES: Final = ("LC_", "CUDA_", "NVIDIA_", "NCCL_", "ROCR_", "HIP_")


@dataclass(frozen=True)
class ProcessId:
    """A pid and the Unix time, in seconds, at which that process started."""

    pid: int
    started: float


def minimal_environment(environ: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """What a replica sees: paths, language and GPU settings of `environ`, then what is `added`.

    Everything else stays out, because the author's shell holds tokens that are nobody's business.
    """
    kept = {k: v for k, v in environ.items() if k in _PASSED_ON or k.startswith(_PASSED_ON_PREFIXES)}
    return {**kept, **added}


def spawn(
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str],
    stdout: Path,
    stderr: Path,
    cwd: Path | None = None,
    payload: bytes = b"",
) -> ProcessId:
    """Start a detached process; `payload` is all it finds on its standard input.

    Output files are appended to and readable by their owner only. `reap` collects the child
    when it is gone; the system does if this process ends first.

    Raises:
        OSError: the program can't be started.
    """
    with _append(stdout) as out, _append(stderr) as err:
        process = subprocess.Popen(
            list(arguments),
            env=dict(environ),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            close_fds=True,
            start_new_session=True,
        )
    # Popen warns when it is dropped while the child lives; this child outlives us on purpose
    process.returncode = 0
    started = _start_time(process.pid)
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(payload)
    return ProcessId(process.pid, started if started is not None else 0.0)


def is_alive(process: ProcessId) -> bool:
    """Whether exactly this process runs; a zombie does not."""
    try:
        status = psutil.Process(process.pid).status()
    except psutil.Error:
        return False
    return status not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) and _is_same(process)


def identify(pid: int) -> ProcessId | None:
    """The full name of a process that runs; None if it does not."""
    started = _start_time(pid)
    return ProcessId(pid, started) if started is not None else None


async def wait_exit(process: ProcessId) -> None:
    """Return when the process is gone, whoever started it. A child of ours is left to `reap`."""
    watched = _pidfd(process)
    if watched is None:
        while is_alive(process):  # noqa: ASYNC110 (no pidfd on this system, nobody sets an event)
            await asyncio.sleep(_POLL_S)
        return
    try:
        await _readable(watched)
    finally:
        os.close(watched)


def reap(process: ProcessId) -> int | None:
    """The exit code of a child of ours that is gone (negative: the signal), once; else None."""
    try:
        pid, status = os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if pid else None


async def stop(process: ProcessId, grace_s: float) -> None:
    """Ask with SIGTERM, wait, then kill it; what it left in its process group goes too."""
    send_signal(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(grace_s):
            await wait_exit(process)
    except TimeoutError:
        send_signal(process, signal.SIGKILL)
        await wait_exit(process)
    kill_leftovers(process)


def send_signal(process: ProcessId, number: signal.Signals) -> None:
    """Signal exactly this process; nothing happens if it is gone."""
    if is_alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def kill_leftovers(process: ProcessId) -> None:
    """Kill what a process that is gone left in its process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, 0)
        later = identify(process.pid)
        if later is None or abs(later.started - process.started) < _SAME_START_S:
            os.killpg(process.pid, signal.SIGKILL)


def _append(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def _start_time(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def _is_same(process: ProcessId) -> bool:
    started = _start_time(process.pid)
    return started is not None and abs(started - process.started) < _SAME_START_S


def _pidfd(process: ProcessId) -> int | None:
    """A descriptor that becomes readable when the process ends; None where there is no such thing."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        watched = os.pidfd_open(process.pid)
    except OSError:
        return None
    if _is_same(process):  # only now is it sure that the descriptor is of this process
        return watched
    os.close(watched)
    return None


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(descriptor, end)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)


__all__ = [
    "ProcessId",
    "identify",
    "is_alive",
    "kill_leftovers",
    "minimal_environment",
    "reap",
    "send_signal",
    "spawn",
    "stop",
    "wait_exit",
]
