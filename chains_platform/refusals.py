"""What the API refuses, as exceptions that carry a status and diagnostics."""

from collections.abc import Iterable

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError


class Refusal(DiagnosticsError):
    """An answer other than success: an HTTP status and why."""

    def __init__(self, status: int, diagnostics: Iterable[Diagnostic]) -> None:
        super().__init__(diagnostics)
        self.status = status


def bad_request(message: str, help_: str | None = None) -> Refusal:
    return Refusal(400, [Diagnostic(code=Code.BAD_REQUEST, message=message, help=help_)])


def unknown_blob(digest: str) -> Refusal:
    return Refusal(404, [Diagnostic(code=Code.BAD_REQUEST, message=f"there is no blob {digest}")])


def unknown_chain(chain: str) -> Refusal:
    return Refusal(
        404,
        [
            Diagnostic(
                code=Code.UNKNOWN_CHAIN,
                message=f"there is no chain `{chain}`",
                help="`chains list` shows those there are",
            )
        ],
    )


def unknown_deployment(chain: str, deployment: str) -> Refusal:
    return Refusal(
        404,
        [
            Diagnostic(
                code=Code.UNKNOWN_DEPLOYMENT,
                message=f"chain `{chain}` has no deployment `{deployment}`",
                help=f"`chains status {chain}` shows those there are",
            )
        ],
    )


def unknown_version(record_id: str, version: int) -> Refusal:
    return Refusal(
        404,
        [
            Diagnostic(
                code=Code.UNKNOWN_DEPLOYMENT,
                message=f"deployment `{record_id}` has no version {version} any more, or never had",
                help="`chains history CHAIN` lists the versions",
            )
        ],
    )


def unknown_environment(chain: str, environment: str, why: str = "") -> Refusal:
    return Refusal(
        404,
        [
            Diagnostic(
                code=Code.UNKNOWN_ENVIRONMENT,
                message=why or f"chain `{chain}` has no environment `{environment}`",
                help=f"promote a deployment to `{environment}` first",
            )
        ],
    )


def unknown_chainlet(chain: str, chainlet: str) -> Refusal:
    return Refusal(
        404,
        [
            Diagnostic(
                code=Code.UNKNOWN_CHAINLET,
                message=f"the deployment of `{chain}` has no chainlet `{chainlet}`",
                help=f"`chains status {chain}` shows those there are",
            )
        ],
    )


def conflict(message: str, help_: str | None = None) -> Refusal:
    return Refusal(409, [Diagnostic(code=Code.STALE_BASE, message=message, help=help_)])


__all__ = [
    "Refusal",
    "bad_request",
    "conflict",
    "unknown_blob",
    "unknown_chain",
    "unknown_chainlet",
    "unknown_deployment",
    "unknown_environment",
    "unknown_version",
]
