"""The platform of this machine: start, stop, look at it. Speaks to it as any tool does."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chains_cli import events
from chains_cli.events import Report
from chains_cli.exits import Exit
from chains_cli.remotes import embedded
from chains_cli.remotes.remote import Remote
from chains_protocol.control import GcRequest
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError

_LOGS: Final = ("control.log", "gateway.log")
_CHUNK: Final = 65536
_IS_DOWN: Final = "does not run; `chains push` or `chains platform up` starts it"
_CRASHED: Final = (
    "ended without being stopped, and what it started may go on; "
    "`chains platform up` takes that over, `chains platform down` ends it"
)


@dataclass(frozen=True, slots=True)
class PlatformState:
    """What is known about the platform of one home. `is_broken`: it lives but does not answer."""

    home: str
    running: bool = False
    is_broken: bool = False
    message: str = ""
    control_url: str = ""
    gateway_url: str = ""
    pid: int | None = None
    gateway_pid: int | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class PlatformResult:
    """What is true after `up`, `down` or `status`. `status` of a platform that is down exits 4."""

    state: PlatformState
    changed: bool = False
    exit_code: int = Exit.OK


@dataclass(frozen=True, slots=True)
class PlatformLogResult:
    """How many lines were shown."""

    lines: int
    exit_code: int = Exit.OK


@dataclass(frozen=True, slots=True)
class GcResult:
    """What was removed, or would be; `freed_bytes` without what is linked elsewhere."""

    environments: int
    packages: int
    blobs: int
    freed_bytes: int
    dry_run: bool = False
    exit_code: int = Exit.OK


def platform_state(home: Path) -> PlatformState:
    """Find the platform of `home` and ask how it is."""
    running = embedded.find_running(home)
    if running is None:
        return PlatformState(str(home), message=_CRASHED if embedded.has_crashed(home) else _IS_DOWN)
    file = running.file
    remote = running.remote()
    try:
        health = remote.health()
    except DiagnosticsError as error:
        reason = error.diagnostics[0].message
        message = f"process {file.pid} lives but does not answer: {reason}"
        return PlatformState(str(home), True, True, message, file.control_url, file.gateway_url, file.pid)
    finally:
        remote.close()
    return PlatformState(
        home=str(home),
        running=True,
        message=f"runs at {file.control_url}",
        control_url=file.control_url,
        gateway_url=file.gateway_url,
        pid=file.pid,
        gateway_pid=file.gateway_pid,
        version=health.version,
    )


def up(home: Path, environ: Mapping[str, str], report: Report) -> PlatformResult:
    """Start the platform unless it runs.

    Raises:
        DiagnosticsError: CH308, CH309, CH314.
    """
    was_running = embedded.find_running(home) is not None
    embedded.ensure_running(home, lambda text: report(events.Step(text)), environ=environ).close()
    return PlatformResult(platform_state(home), changed=not was_running)


def down(home: Path, environ: Mapping[str, str], report: Report) -> PlatformResult:
    """Drain and stop the platform with everything that runs on it.

    Only a control plane knows what an earlier one left behind, so after a crash one is started
    to end that.

    Raises:
        DiagnosticsError: CH313 if it does not end, CH309 if what was left can't be taken over.
    """
    if embedded.has_crashed(home):
        up(home, environ, report)
    changed = embedded.shutdown(home)
    return PlatformResult(platform_state(home), changed)


def status(home: Path) -> PlatformResult:
    """How the platform is."""
    state = platform_state(home)
    is_fine = state.running and not state.is_broken
    return PlatformResult(state, exit_code=Exit.OK if is_fine else Exit.REMOTE)


def collect(remote: Remote, *, older_than_s: float, dry_run: bool) -> GcResult:
    """Remove what no deployment of `remote` needs and nothing wanted in the last `older_than_s` seconds.

    Raises:
        DiagnosticsError: CH301.
    """
    found = remote.collect(GcRequest(older_than_s=older_than_s, dry_run=dry_run))
    return GcResult(found.environments, found.packages, found.blobs, found.freed_bytes, dry_run)


def run_in_foreground(
    home: Path,
    environ: Mapping[str, str],
    report: Report,
    *,
    host: str | None = None,
    port: int | None = None,
) -> int:
    """Run the control plane as a child of this process and report each line of its log; returns its status.

    Raises:
        DiagnosticsError: CH309 if it runs already, and what kept it from starting, such as CH308.
    """
    if embedded.find_running(home) is not None:
        diagnostic = Diagnostic(
            code=Code.PLATFORM_START_FAILED,
            message="the platform of this machine runs already",
            help="`chains platform logs -f` shows what it says; `chains platform down` stops it",
        )
        raise DiagnosticsError([diagnostic])
    command = [*embedded.SERVE_COMMAND]
    command += ["--host", host] if host else []
    command += ["--port", str(port)] if port else []
    env = {**environ, embedded.HOME_VARIABLE: str(home)}
    failures: tuple[Diagnostic, ...] = ()
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as child:
        lines = iter(child.stderr or ())
        while True:
            try:
                for line in lines:
                    failures += (said := embedded.failures_in(line))
                    if not said:
                        report(events.Line(line.rstrip("\n")))
                status = child.wait()
                break
            except KeyboardInterrupt:
                continue  # the child got it too and ends in order
    if failures:
        raise DiagnosticsError(failures)
    return status


def logs(
    home: Path, report: Report, *, follow: bool = False, wait: Callable[[], None] | None = None
) -> PlatformLogResult:
    """Report the lines of the platform's own logs: those of the control plane, then the gateway's.

    Args:
        home: whose platform.
        report: told each line.
        follow: go on with new lines until interrupted.
        wait: returns when there may be more; sleeps a little by default.
    """
    directory = home / "platform" / "logs"
    tails = [_Tail(directory / name) for name in _LOGS]
    count = 0
    try:
        while True:
            for line in (line for tail in tails for line in tail.lines()):
                count += 1
                report(events.Line(line))
            if not follow:
                break
            (wait or _pause)()
    except KeyboardInterrupt:
        if not follow:  # else it is the way to end it
            raise
    return PlatformLogResult(count)


def _pause() -> None:
    import time

    time.sleep(0.2)


class _Tail:
    """Reads a growing file line by line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._rest = b""

    def lines(self) -> Iterator[str]:
        """The lines written since the last call."""
        try:
            with self._path.open("rb") as file:
                if self._at > os.fstat(file.fileno()).st_size:  # begun anew
                    self._at, self._rest = 0, b""
                file.seek(self._at)
                while data := file.read(_CHUNK):
                    self._at += len(data)
                    *whole, self._rest = (self._rest + data).split(b"\n")
                    for line in whole:
                        yield line.decode("utf-8", "replace")
        except FileNotFoundError:
            return


__all__ = [
    "GcResult",
    "PlatformLogResult",
    "PlatformResult",
    "PlatformState",
    "collect",
    "down",
    "logs",
    "platform_state",
    "run_in_foreground",
    "status",
    "up",
]
