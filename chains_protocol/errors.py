"""Codes, locations and diagnostics: the one form in which anything wrong is reported."""

from collections.abc import Iterable
from enum import StrEnum

from chains_protocol.base import Frozen


class Code(StrEnum):
    """Every error code. A code never changes its meaning and is never reused.

    CH1xx the user's chain, CH2xx packaging, CH3xx remotes and network, CH4xx watch and
    patch, CH5xx the replica, CH9xx ourselves. Each has a page in `docs/errors/`.
    """

    # CH1xx: the user's chain
    INVALID_NAME = "CH101"
    DUPLICATE_NAME = "CH102"
    DUPLICATE_DISPLAY_NAME = "CH103"
    MISSING_ANNOTATION = "CH104"
    UNSUPPORTED_TYPE = "CH105"
    MISSING_RETURN_ANNOTATION = "CH106"
    MISSING_METHOD = "CH107"
    NOT_A_METHOD = "CH108"
    MISSING_SELF = "CH109"
    BAD_PARAMETER_KIND = "CH110"
    BAD_STREAM = "CH111"
    SYNC_METHOD = "CH112"
    BAD_WEBSOCKET = "CH113"
    BAD_HEALTH_CHECK = "CH114"
    BAD_REMOTE_CONFIG = "CH115"
    BAD_TRANSPORT = "CH116"
    BAD_CONTEXT = "CH117"
    BAD_INIT_PARAMETER = "CH118"
    BAD_DEPENDENCY = "CH119"
    BAD_DEPENDENCY_ANNOTATION = "CH120"
    REPEATED_DEPENDENCY = "CH121"
    BAD_TRUSS_DIR = "CH122"
    BAD_ENTRYPOINT = "CH123"
    BAD_ENGINE_BUILDER = "CH124"
    NAIVE_INSTANTIATION = "CH125"
    MARKER_USED = "CH126"
    BAD_MOCK = "CH127"
    UNSTABLE_ANNOTATION = "CH128"
    BAD_INPUT = "CH129"
    TYPE_CHECK = "CH130"
    # discovery
    SOURCE_NOT_FOUND = "CH150"
    SOURCE_NOT_A_FILE = "CH151"
    SYNTAX_ERROR = "CH152"
    IMPORT_FAILED = "CH153"
    NO_ENTRYPOINT = "CH154"
    SEVERAL_ENTRYPOINTS = "CH155"
    ENTRYPOINT_NOT_FOUND = "CH156"
    NAME_TAKEN = "CH157"
    DISCOVERY_CRASHED = "CH158"
    INTERPRETER_UNUSABLE = "CH159"
    PLACEHOLDER_USED = "CH160"
    MODULE_STOOD_IN = "CH161"
    # CH2xx: packaging
    FORBIDDEN_FILE_NAME = "CH201"
    PATH_NOT_FOUND = "CH202"
    BAD_REQUIREMENTS = "CH203"
    SECRET_LOOKING_FILE = "CH204"  # noqa: S105 (a code, not a secret)
    LARGE_PACKAGE = "CH205"
    CLOSURE_WIDENED = "CH206"
    OUTPUT_NOT_EMPTY = "CH207"
    IMPLICIT_REQUIREMENT = "CH208"
    UNREADABLE_FILE = "CH209"
    UNSUPPORTED_CHAINLET = "CH210"
    # CH3xx: remotes and network
    REMOTE_UNREACHABLE = "CH301"
    REMOTE_REFUSED_TOKEN = "CH302"  # noqa: S105 (a code, not a secret)
    UNKNOWN_CHAIN = "CH303"
    UNKNOWN_DEPLOYMENT = "CH304"
    STALE_BASE = "CH305"
    BAD_REQUEST = "CH306"
    BLOB_MISMATCH = "CH307"
    PORT_IN_USE = "CH308"
    PLATFORM_START_FAILED = "CH309"
    GPU_MISSING = "CH310"
    TARGET_MISMATCH = "CH311"
    ENVIRONMENT_BUILD_FAILED = "CH312"
    WAIT_TIMED_OUT = "CH313"
    PROTOCOL_MISMATCH = "CH314"
    TRUSS_INSTALLED = "CH315"
    UNKNOWN_ENVIRONMENT = "CH316"
    UNKNOWN_CHAINLET = "CH317"
    DISK_FULL = "CH318"
    # CH4xx: watch and patch
    BROKEN_SAVE = "CH401"
    PATCH_REFUSED = "CH402"
    PATCH_FAILED = "CH403"
    NOT_DEVELOPMENT = "CH404"
    # CH5xx: the replica
    INIT_FAILED = "CH501"
    REPLICA_CRASHED = "CH502"
    REPLICA_START_TIMED_OUT = "CH503"
    NOT_READY = "CH504"
    OVERLOADED = "CH505"
    CALL_FAILED = "CH506"
    BAD_PACKAGE = "CH507"
    MISSING_SECRET = "CH508"  # noqa: S105 (a code, not a secret)
    MISSING_SERVICE = "CH509"
    MISSING_OPTIONAL_MODULE = "CH510"
    # CH9xx: ourselves
    INTERNAL = "CH901"


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class ErrorKind(StrEnum):
    """The four kinds in the published one-line form of a definition error."""

    TYPE_ERROR = "TYPE_ERROR"
    IO_TYPE_ERROR = "IO_TYPE_ERROR"
    MISSING_API_ERROR = "MISSING_API_ERROR"
    INVALID_CONFIG_ERROR = "INVALID_CONFIG_ERROR"


class Location(Frozen):
    """A place in a source file. `line` and `column` count from 1; `column` None is the whole line."""

    path: str
    line: int | None = None
    column: int | None = None
    source_line: str | None = None

    def __str__(self) -> str:
        parts = [self.path, *(str(n) for n in (self.line, self.column) if n is not None)]
        return ":".join(parts)


class Diagnostic(Frozen):
    """One thing that is wrong: code, place, what, and what to do about it.

    `detail` carries text to show verbatim below the message: a user's traceback, the
    resolver's own output. `chainlet` and `method` name the owner when there is one.
    """

    code: Code
    message: str
    severity: Severity = Severity.ERROR
    location: Location | None = None
    help: str | None = None
    detail: str | None = None
    kind: ErrorKind | None = None
    chainlet: str | None = None
    method: str | None = None


class DiagnosticsError(Exception):
    """Raised inside a part of Chains to carry diagnostics up to its border.

    It never crosses a wire: borders turn it into the reply's `diagnostics`.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        super().__init__("\n".join(f"{d.code}: {d.message}" for d in self.diagnostics))


def sort_diagnostics(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Order by place (path, line, column), then code, then message; placeless ones last."""

    def key(d: Diagnostic) -> tuple[bool, str, int, int, str, str]:
        where = d.location
        if where is None:
            return (True, "", 0, 0, d.code, d.message)
        return (False, where.path, where.line or 0, where.column or 0, d.code, d.message)

    return tuple(sorted(diagnostics, key=key))


__all__ = [
    "Code",
    "Diagnostic",
    "DiagnosticsError",
    "ErrorKind",
    "Location",
    "Severity",
    "sort_diagnostics",
]
