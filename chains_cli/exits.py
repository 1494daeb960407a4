"""Exit statuses, and which one a diagnostic stands for."""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from chains_protocol.errors import Code, Diagnostic, Severity


class Exit(IntEnum):
    """The exit statuses of `chains`; `docs/cli.md` lists them for users."""

    OK = 0
    INVALID = 1
    USAGE = 2
    DEPLOY_FAILED = 3
    REMOTE = 4
    CONFLICT = 5
    INTERNAL = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


_BY_CODE: Final = {
    Code.REMOTE_UNREACHABLE: Exit.REMOTE,
    Code.REMOTE_REFUSED_TOKEN: Exit.REMOTE,
    Code.PORT_IN_USE: Exit.REMOTE,
    Code.PLATFORM_START_FAILED: Exit.REMOTE,
    Code.PROTOCOL_MISMATCH: Exit.REMOTE,
    Code.STALE_BASE: Exit.CONFLICT,
    Code.GPU_MISSING: Exit.DEPLOY_FAILED,
    Code.TARGET_MISMATCH: Exit.DEPLOY_FAILED,
    Code.ENVIRONMENT_BUILD_FAILED: Exit.DEPLOY_FAILED,
    Code.WAIT_TIMED_OUT: Exit.DEPLOY_FAILED,
    Code.DISK_FULL: Exit.DEPLOY_FAILED,
    Code.CALL_FAILED: Exit.INVALID,
    Code.OVERLOADED: Exit.INVALID,
    Code.NOT_READY: Exit.INVALID,
}

_BY_HUNDRED: Final = {
    "CH1": Exit.INVALID,
    "CH2": Exit.INVALID,
    "CH3": Exit.INVALID,
    "CH4": Exit.DEPLOY_FAILED,
    "CH5": Exit.DEPLOY_FAILED,
    "CH9": Exit.INTERNAL,
}

_RANK: Final = (
    Exit.OK,
    Exit.INVALID,
    Exit.DEPLOY_FAILED,
    Exit.CONFLICT,
    Exit.REMOTE,
    Exit.INTERNAL,
)


def code_exit(code: Code) -> Exit:
    """The status that an error with this code ends with."""
    return _BY_CODE.get(code, _BY_HUNDRED[code.value[:3]])


def diagnostics_exit(diagnostics: Iterable[Diagnostic]) -> Exit:
    """The status for a set of diagnostics: the gravest of its errors; 0 if there is no error."""
    exits = [code_exit(d.code) for d in diagnostics if d.severity is Severity.ERROR]
    return max(exits, key=_RANK.index, default=Exit.OK)


__all__ = ["Exit", "code_exit", "diagnostics_exit"]
