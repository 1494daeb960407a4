"""Recording and replaying calls between Chainlets: part of the child of `chains run-local`.

A file of calls has one JSON object a line, as `truss_chains.replaying` writes them; values of
secrets are replaced.
"""

import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Location
from truss_chains.entrypoint import registry
from truss_chains.errors import ChainsUsageError
from truss_chains.recording import CallRecord
from truss_chains.replaying import Redaction, replay_mocks, write_call

_PRIVATE = 0o600
"""Inputs and outputs may be anybody's data."""


@dataclass
class Recorder:
    """Writes each call when it ends; what can't be written is told at the end and harms no call."""

    path: Path
    redaction: Redaction
    recorded: int = 0
    unrecorded: dict[str, str] = field(default_factory=dict)
    """Why, by callee; the first reason."""
    _fd: int = -1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "Recorder":
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            os.close(self._fd)
            self._fd = -1

    def record(self, call: CallRecord) -> None:
        """Give this to `run_local(record=...)`."""
        try:
            line = write_call(call, registry, self.redaction) + "\n"
        except (ValueError, ChainsUsageError) as error:
            self.unrecorded.setdefault(call.callee, str(error))
            return
        with self._lock:
            if self._fd >= 0:  # a call that ends after the run is over
                _write_all(self._fd, line.encode())
                self.recorded += 1

    def summary(self) -> Mapping[str, Any]:
        """For the last frame of the run."""
        return {"recorded": self.recorded, "unrecorded": dict(self.unrecorded)}


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def stand_ins(path: Path, names: Iterable[str], redaction: Redaction) -> dict[Any, Any]:
    """Mocks that answer from the recorded calls in `path`.

    Args:
        path: a file that was recorded.
        names: class or display names of the Chainlets to stand in for; none means all that were called.
        redaction: of this run's secrets.

    Raises:
        DiagnosticsError: CH317, CH127.
    """
    try:
        only = [_named(name) for name in names]
        lines = path.read_text("utf-8").splitlines()
        return dict(replay_mocks(lines, registry, redaction, only=only or None))
    except ChainsUsageError as error:
        code = error.code or Code.BAD_MOCK
        problem = Diagnostic(
            code=code,
            message=str(error).removeprefix(f"{code.value}: "),
            location=Location(path=str(path)),
            help="choose others with `--replay-chainlets`, or record the calls again with `--record`",
        )
        raise DiagnosticsError([problem]) from error


def _named(name: str) -> type:
    for cls in registry:
        with suppress(AttributeError):
            if name in (cls.__name__, cls.display_name):  # type: ignore[attr-defined]  # every Chainlet has one
                return cls
    known = ", ".join(f"`{cls.__name__}`" for cls in registry)
    raise ChainsUsageError(f"no Chainlet is called `{name}`; known are {known}", code=Code.UNKNOWN_CHAINLET)


__all__ = ["Recorder", "stand_ins"]
