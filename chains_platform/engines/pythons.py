"""Which interpreter an environment gets: the wanted minor version, else the nearest there is."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chains_platform.layout import write_private

_LOOK_TIMEOUT_S: Final = 60.0
_OLDEST_MINOR: Final = 11
_RELEASE: Final = re.compile(r"(3\.\d+)\.(\d+)")

Run = Callable[[Sequence[str]], str]
"""Runs uv with these arguments and returns its standard output; "" if it failed."""


@dataclass(frozen=True)
class Interpreter:
    """An executable and its minor version, "3.12"."""

    executable: str
    version: str


@dataclass
class Pythons:
    """Looks interpreters up, each minor version once.

    Args:
        run: runs uv.
        own: the interpreter that is preferred when it has the wanted version, because it needs no look-up.
        kept: a file that remembers what was found, for the next process.
        managed: directories that version managers keep interpreters in (`managed_roots`).
    """

    run: Run
    own: Interpreter
    kept: Path
    managed: tuple[Path, ...] = ()
    _found: dict[str, Interpreter] = field(default_factory=dict)

    def find(self, version: str) -> Interpreter:
        """The interpreter for "3.12"; its `version` differs if there is none and another is nearest."""
        if version == self.own.version:
            return self.own
        if version not in self._found:
            self._found[version] = self._look(version)
        return self._found[version]

    def _look(self, version: str) -> Interpreter:
        known = self._read() if is_supported(version) else {}
        if os.access(known.get(version, ""), os.X_OK):
            return Interpreter(known[version], version)
        executable = self._executable(version) if is_supported(version) else ""
        if executable:
            write_private(self.kept, json.dumps({**known, version: executable}).encode())
            return Interpreter(executable, version)
        others = [*parse_list(self.run(_LIST)), *managed_versions(self.managed)]
        instead = nearest(version, [self.own.version, *others])
        executable = self._executable(instead) if instead != self.own.version else ""
        return Interpreter(executable, instead) if executable else self.own

    def _executable(self, version: str) -> str:
        """Of uv's choice, else of a version manager that uv does not ask; "" if there is none."""
        return self.run([*_FIND, version]).strip() or managed_versions(self.managed).get(version, "")

    def _read(self) -> dict[str, str]:
        try:
            return {str(version): str(path) for version, path in json.loads(self.kept.read_bytes()).items()}
        except (OSError, ValueError, AttributeError):
            return {}


_FIND: Final = ("python", "find", "--no-project", "--system")
_LIST: Final = ("python", "list", "--only-installed", "--output-format", "json")


def parse_list(text: str) -> list[str]:
    """The minor versions of CPython in what `uv python list --output-format json` prints."""
    try:
        entries = json.loads(text or "[]")
    except ValueError:
        return []
    parts = [e.get("version_parts") or {} for e in entries if e.get("implementation") == "cpython"]
    return [f"{p['major']}.{p['minor']}" for p in parts if "major" in p and "minor" in p]


def is_supported(version: str) -> bool:
    """Whether replicas can run on that minor version."""
    return _minor(version) >= _OLDEST_MINOR


def managed_roots(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where pyenv, asdf and mise keep interpreters, one directory a version with `bin/python` inside."""
    home = Path(environ.get("HOME") or "~").expanduser()
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return (
        Path(environ.get("PYENV_ROOT") or home / ".pyenv") / "versions",
        Path(environ.get("ASDF_DATA_DIR") or home / ".asdf") / "installs" / "python",
        Path(environ.get("MISE_DATA_DIR") or data / "mise") / "installs" / "python",
    )


def managed_versions(roots: Sequence[Path]) -> dict[str, str]:
    """Minor version -> executable of its newest patch release; the first root that has it wins."""
    found: dict[str, tuple[int, str]] = {}
    for root in roots:
        for directory in sorted(root.glob("3.*")) if root.is_dir() else ():
            match = _RELEASE.fullmatch(directory.name)
            executable = directory / "bin" / "python"
            if match is None or not os.access(executable, os.X_OK):
                continue
            version, patch = match.group(1), int(match.group(2))
            known = found.get(version)
            if known is None or (known[1].startswith(f"{root}{os.sep}") and known[0] < patch):
                found[version] = (patch, str(executable))
    return {version: executable for version, (_, executable) in found.items()}


def nearest(version: str, candidates: Sequence[str]) -> str:
    """The candidate nearest to a version, the newer of two; at least 3.11 if there is one."""
    wanted = _minor(version)
    usable = [c for c in candidates if c.startswith("3.") and _minor(c) >= _OLDEST_MINOR]
    return min(usable or candidates, key=lambda c: (abs(_minor(c) - wanted), -_minor(c)))


def own_interpreter() -> Interpreter:
    """The interpreter below this process's own virtual environment."""
    executable = getattr(sys, "_base_executable", None) or sys.executable
    return Interpreter(executable, f"{sys.version_info.major}.{sys.version_info.minor}")


def uv_runner(uv: str, environ: dict[str, str], cwd: Path) -> Run:
    """A `Run` that starts the given uv."""

    def run(arguments: Sequence[str]) -> str:
        try:
            done = subprocess.run(
                [uv, *arguments],
                env=environ,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_LOOK_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout if done.returncode == 0 else ""

    return run


def _minor(version: str) -> int:
    return int(version.partition(".")[2])


__all__ = [
    "Interpreter",
    "Pythons",
    "is_supported",
    "managed_roots",
    "managed_versions",
    "nearest",
    "own_interpreter",
    "parse_list",
    "uv_runner",
]
