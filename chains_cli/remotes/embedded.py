"""The platform of this machine: found by the files below its home, started when none runs.

`docs/architecture.md`, section 6, says what those files hold. The platform is a process of its
own: it is started by command line and spoken to over HTTP, never imported.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs
import psutil
from pydantic import TypeAdapter, ValidationError

from chains_cli.remotes.platform import PlatformRemote, other_protocol
from chains_protocol.base import Reply
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.version import PROTOCOL_VERSION

HOME_VARIABLE: Final = "CHAINS_HOME"
LOCAL_NAME: Final = "local"
START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 120.0
SERVE_COMMAND: Final = (sys.executable, "-m", "chains_platform", "serve")
_FAILED_PREFIX: Final = "CHAINS-FAILED "
_SAME_START_S: Final = 2.0
_POLL_S: Final = 0.02
_END_TIMEOUT_S: Final = 10.0
_TAIL_LINES: Final = 20
_NO_ROOM_BYTES: Final = 64 * 1024

Report = Callable[[str], None]


class PlatformFile(Reply):
    """`platform/platform.json`; `started` is the process's start time in Unix seconds."""

    protocol: int = PROTOCOL_VERSION
    pid: int
    started: float
    control_url: str
    gateway_url: str
    gateway_pid: int
    instance: str


@dataclass(frozen=True, slots=True)
class RunningPlatform:
    """A platform whose process lives."""

    file: PlatformFile
    token: str

    def remote(self) -> PlatformRemote:
        """A remote that speaks to it."""
        return PlatformRemote(
            self.file.control_url, self.token, name=LOCAL_NAME, gateway_url=self.file.gateway_url
        )


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a process, and by which clock."""

    timeout_s: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def find_home(environ: Mapping[str, str]) -> Path:
    """`CHAINS_HOME`, else the user's data directory."""
    chosen = environ.get(HOME_VARIABLE) or platformdirs.user_data_dir("chains")
    return Path(chosen).expanduser().absolute()


def find_running(home: Path) -> RunningPlatform | None:
    """The platform of `home`, if its process lives; a stale file counts as none."""
    directory = home / "platform"
    try:
        file = PlatformFile.model_validate_json((directory / "platform.json").read_bytes())
        token = (directory / "token").read_text("utf-8").strip()
    except (OSError, ValidationError, UnicodeDecodeError):
        return None
    return RunningPlatform(file, token) if _is_alive(file) else None


def has_crashed(home: Path) -> bool:
    """Whether a platform of `home` ended without being stopped: what it started may still run."""
    try:
        return find_running(home) is None and (home / "platform" / "platform.json").exists()
    except OSError:
        return False


def connect(home: Path) -> PlatformRemote:
    """The platform of `home`, which must run.

    Raises:
        DiagnosticsError: CH301 if it does not.
    """
    running = find_running(home)
    if running is None:
        raise DiagnosticsError(
            [
                Diagnostic(
                    code=Code.REMOTE_UNREACHABLE,
                    message="the platform of this machine does not run",
                    help="start it with `chains platform up`",
                )
            ]
        )
    return running.remote()


def ensure_running(
    home: Path,
    report: Report,
    *,
    command: Sequence[str] = SERVE_COMMAND,
    environ: Mapping[str, str] = os.environ,
    patience: Patience = Patience(START_TIMEOUT_S),
) -> PlatformRemote:
    """The platform of `home`, started if none runs. It outlives this process.

    One that runs is not asked anything: its file says what it speaks, so that a push of an
    unchanged Chain is one round trip.

    Args:
        home: its state directory; made if it is missing.
        report: told in a sentence that a platform is being started.
        command: how it is started.

    Raises:
        DiagnosticsError: CH314 a running one is of another version; CH308, CH309 or what the
            platform itself said if it did not start.
    """
    running = find_running(home)
    if running is None:
        report("starting the platform of this machine")
        running = _start(home, command, environ, patience)
    if running.file.protocol != PROTOCOL_VERSION:
        raise other_protocol(running.file.control_url, running.file.protocol)
    return running.remote()


def shutdown(home: Path, *, patience: Patience = Patience(STOP_TIMEOUT_S)) -> bool:
    """Drain and stop the platform of `home` with all it runs; False if none runs.

    Raises:
        DiagnosticsError: CH313 if it did not end in time.
    """
    running = find_running(home)
    if running is None:
        return False
    remote = running.remote()
    try:
        remote.shutdown()
    except DiagnosticsError as error:
        # it may end before it has answered
        if any(d.code is not Code.REMOTE_UNREACHABLE for d in error.diagnostics):
            raise
    finally:
        remote.close()
    deadline = patience.clock() + patience.timeout_s
    while _is_alive(running.file):
        if patience.clock() > deadline:
            raise DiagnosticsError(
                [
                    Diagnostic(
                        code=Code.WAIT_TIMED_OUT,
                        message=f"the platform (process {running.file.pid}) did not end "
                        f"within {patience.timeout_s:g} s",
                        help=f"look at `{home / 'platform' / 'logs' / 'control.log'}`",
                    )
                ]
            )
        patience.sleep(_POLL_S)
    return True


def _start(
    home: Path, command: Sequence[str], environ: Mapping[str, str], patience: Patience
) -> RunningPlatform:
    """Start it, or wait for the one that another tool is starting just now."""
    deadline = patience.clock() + patience.timeout_s
    log = home / "platform" / "logs" / "control.log"
    try:
        for directory in (home, home / "platform", log.parent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _starting(home / "platform" / "starting.lock", deadline, patience):
            return find_running(home) or _start_alone(home, command, environ, log, patience=patience)
    except OSError as error:
        raise DiagnosticsError([_unusable(home, error)]) from error


@contextlib.contextmanager
def _starting(path: Path, deadline: float, patience: Patience) -> Iterator[None]:
    """One tool at a time starts a platform; the lock goes with the process that holds it."""
    with path.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if patience.clock() > deadline:
                    raise DiagnosticsError([_not_started("another start is under way", None)]) from error
                patience.sleep(_POLL_S)
        yield


def _start_alone(
    home: Path, command: Sequence[str], environ: Mapping[str, str], log: Path, *, patience: Patience
) -> RunningPlatform:
    deadline = patience.clock() + patience.timeout_s
    begins_at = log.stat().st_size if log.exists() else 0
    process = _spawn(command, {**environ, HOME_VARIABLE: str(home)}, log)
    while True:
        running = find_running(home)
        if running is not None and _answers(running):
            break
        ended = process.poll() is not None
        if ended and find_running(home) is None:
            raise DiagnosticsError(_why_not_started(log, begins_at, process.returncode))
        if patience.clock() > deadline:
            _end(process)
            raise DiagnosticsError([_slow(log, begins_at)])
        patience.sleep(_POLL_S)
    # the platform outlives this process on purpose: Popen must not warn about it
    process.returncode = process.returncode if process.returncode is not None else 0
    return running


def _spawn(command: Sequence[str], environ: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as output:
        try:
            return subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(environ),
                cwd=log.parent,
                close_fds=True,
                start_new_session=True,
            )
        except OSError as error:
            raise DiagnosticsError([_not_started(f"{error.strerror or error}", None)]) from error


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(running: RunningPlatform) -> bool:
    remote = running.remote()
    with contextlib.closing(remote):
        try:
            remote.health()
        except DiagnosticsError as error:
            return all(d.code is not Code.REMOTE_UNREACHABLE for d in error.diagnostics)
    return True


def _is_alive(file: PlatformFile) -> bool:
    """Whether exactly that process runs: pid and start time, and no zombie."""
    try:
        process = psutil.Process(file.pid)
        is_same = abs(process.create_time() - file.started) < _SAME_START_S
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def failures_in(line: str) -> tuple[Diagnostic, ...]:
    """The diagnostics in a line that a process of the platform wrote before it gave up; else none."""
    if line.startswith(_FAILED_PREFIX):
        with contextlib.suppress(ValidationError):  # a line that only looks like one
            return TypeAdapter(tuple[Diagnostic, ...]).validate_json(line.removeprefix(_FAILED_PREFIX))
    return ()


def _why_not_started(log: Path, begins_at: int, status: int | None) -> tuple[Diagnostic, ...]:
    """What the platform said of itself, else the end of what it wrote."""
    lines = _written(log, begins_at)
    for line in reversed(lines):
        if failures := failures_in(line):
            return failures
    if not lines and shutil.disk_usage(log).free < _NO_ROOM_BYTES:  # it could not even write why
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return (_not_started(f"it ended with status {status}", "\n".join(lines[-_TAIL_LINES:]) or None),)


def _slow(log: Path, begins_at: int) -> Diagnostic:
    return _not_started(
        "it did not answer in time", "\n".join(_written(log, begins_at)[-_TAIL_LINES:]) or None
    )


def _written(log: Path, begins_at: int) -> list[str]:
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(begins_at)
        return file.read().decode("utf-8", "replace").splitlines()
    return []


def _unusable(home: Path, error: OSError) -> Diagnostic:
    where = "" if error.filename is None else f": `{error.filename}`"
    return Diagnostic(
        code=Code.DISK_FULL if error.errno == errno.ENOSPC else Code.PLATFORM_START_FAILED,
        message=f"the home of the platform, `{home}`, can't be used: "
        f"{(error.strerror or str(error)).lower()}{where}",
        help="make it a directory that you can write, or name another one with CHAINS_HOME",
    )


def _not_started(why: str, detail: str | None) -> Diagnostic:
    return Diagnostic(
        code=Code.PLATFORM_START_FAILED,
        message=f"the platform of this machine could not be started: {why}",
        detail=detail,
        help="`chains platform run` starts it in the foreground and shows everything it says",
    )


__all__ = [
    "HOME_VARIABLE",
    "LOCAL_NAME",
    "PlatformFile",
    "RunningPlatform",
    "connect",
    "ensure_running",
    "failures_in",
    "find_home",
    "find_running",
    "has_crashed",
    "shutdown",
]
