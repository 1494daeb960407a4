"""What is wrong with this machine: one check a subject, none changes anything but a probe file."""

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from chains_cli.exits import Exit
from chains_cli.operations.platform import PlatformState, platform_state
from chains_cli.operations.source import truss_conflict

_MINIMUM_PYTHON: Final = (3, 11)
_MINIMUM_WATCHES: Final = 8192
_MINIMUM_FREE_BYTES: Final = 1_000_000_000
_WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `help` says what to do if it is not `ok`."""

    name: str
    ok: bool
    message: str
    help: str | None = None


@dataclass(frozen=True, slots=True)
class DoctorResult:
    """All checks, in a fixed order."""

    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        return Exit.OK if all(c.ok for c in self.checks) else Exit.INVALID


def doctor(home: Path, environ: Mapping[str, str]) -> DoctorResult:
    """Look at Python, uv, the home directory, the platform, ports, file watching and conflicts."""
    state = platform_state(home)
    checks: Iterable[Callable[[], Check]] = (
        check_python,
        lambda: check_uv(environ),
        lambda: check_home(home),
        lambda: check_space(home),
        lambda: check_platform(state),
        check_loopback,
        lambda: check_watches(_WATCHES),
        check_truss,
    )
    return DoctorResult(tuple(check() for check in checks))


def check_python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check(
        "python",
        sys.version_info >= _MINIMUM_PYTHON,
        f"{version} at {sys.executable}",
        "install Python 3.11 or newer",
    )


def check_uv(environ: Mapping[str, str]) -> Check:
    """uv builds the environments of chainlets."""
    try:
        found = distribution("uv").version
    except PackageNotFoundError:
        path = shutil.which("uv", path=environ.get("PATH"))
        return Check("uv", path is not None, path or "not found", "install it: `pip install uv`")
    return Check("uv", True, found)


def check_home(home: Path) -> Check:
    """The home directory can be made and written."""
    probe = home / f".probe-{os.getpid()}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        remedy = "make it writable, or name another directory in CHAINS_HOME"
        return Check("home", False, f"{home}: {error.strerror}", remedy)
    return Check("home", True, str(home))


def check_space(home: Path) -> Check:
    existing = next(p for p in (home, *home.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    remedy = "free some space, or name a directory on another disk in CHAINS_HOME"
    return Check("disk", free >= _MINIMUM_FREE_BYTES, f"{free / 1e9:.1f} GB free", remedy)


def check_platform(state: PlatformState) -> Check:
    """Not running is fine: a push starts it. Half running is not."""
    if state.is_broken:
        return Check("platform", False, state.message, "start it again: `chains platform up`")
    return Check("platform", True, state.message)


def check_loopback() -> Check:
    """The platform listens on loopback ports."""
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    except OSError as error:
        return Check(
            "ports", False, f"127.0.0.1 cannot be used: {error.strerror}", "enable loopback networking"
        )
    return Check("ports", True, f"127.0.0.1 gives ports (probed {port})")


def check_watches(limit_file: Path) -> Check:
    """Linux limits how many directories one user may watch."""
    try:
        limit = int(limit_file.read_text())
    except (OSError, ValueError):
        return Check("file watching", True, "no limit known on this system")
    remedy = f"raise it: `sudo sysctl fs.inotify.max_user_watches={_MINIMUM_WATCHES * 8}`"
    return Check("file watching", limit >= _MINIMUM_WATCHES, f"{limit} inotify watches", remedy)


def check_truss() -> Check:
    """Two packages of one name in one environment: it is chance which one is imported."""
    found = truss_conflict()
    if found is None:
        return Check("truss", True, "no other `truss_chains` is installed here")
    return Check("truss", False, found.message)


__all__ = [
    "Check",
    "DoctorResult",
    "check_home",
    "check_loopback",
    "check_platform",
    "check_python",
    "check_space",
    "check_truss",
    "check_uv",
    "check_watches",
    "doctor",
]
