"""One process for each home and purpose."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError


@contextmanager
def hold_lock(path: Path, subject: str) -> Iterator[None]:
    """Hold a lock file while the block runs; the system releases it however the process ends.

    Raises:
        DiagnosticsError: CH309 if another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DiagnosticsError([_running(subject, path)]) from error
        yield
    finally:
        os.close(descriptor)


def _running(subject: str, path: Path) -> Diagnostic:
    return Diagnostic(
        code=Code.PLATFORM_START_FAILED,
        message=f"{subject} of `{path.parent.parent}` runs already",
        help="use the one that runs, or choose another directory with CHAINS_HOME",
    )


__all__ = ["hold_lock"]
