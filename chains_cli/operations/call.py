"""Call a deployed chain; a stream is reported item by item as it comes."""

import codecs
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from chains_cli import events
from chains_cli.events import Report
from chains_cli.exits import Exit
from chains_cli.operations.example import example_json, shell_quoted
from chains_cli.operations.inspect import PRODUCTION
from chains_cli.remotes.remote import DEVELOPMENT, LATEST, CallReply, Remote
from chains_protocol.control import ChainInfo, DeploymentInfo, DeploymentKind, DeploymentState
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.rpc import BINARY_TYPE, ErrorBody, RemoteErrorDetail


@dataclass(frozen=True, slots=True)
class CallOptions:
    """Which deployment to call; at most one is chosen, none means `default_target`."""

    environment: str | None = None
    deployment: str | None = None
    development: bool = False
    timeout_s: float | None = None

    @property
    def selector(self) -> str | None:
        """The selector of the gateway's address."""
        if self.development:
            return DEVELOPMENT
        if self.deployment is not None:
            return f"deployment/{self.deployment}"
        if self.environment is not None:
            return self.environment if self.environment == PRODUCTION else f"environments/{self.environment}"
        return None


@dataclass(frozen=True, slots=True)
class CallResult:
    """The answer. `streamed`: it was reported as items and `value` is None."""

    chain: str
    selector: str
    value: Any = None  # a JSON value
    streamed: bool = False
    items: int = 0
    exit_code: int = Exit.OK


def default_target(chain: ChainInfo) -> tuple[str, DeploymentInfo | None]:
    """`production` if it exists, else the newest active deployment, else the development one."""
    active = [d for d in chain.deployments if d.state is DeploymentState.ACTIVE]
    for deployment in chain.deployments:
        if PRODUCTION in deployment.environments:
            return PRODUCTION, deployment
    for deployment in active:
        if deployment.kind is DeploymentKind.PUBLISHED:
            return LATEST, deployment
    if active:
        return DEVELOPMENT, active[0]
    return LATEST, next(iter(chain.deployments), None)


def call(remote: Remote, chain: str, data: str | None, *, options: CallOptions, report: Report) -> CallResult:
    """Call the entrypoint of `chain` with `data`, a JSON document.

    Raises:
        DiagnosticsError: CH129 for a missing or bad input, CH303, CH304 and CH316 for an unknown target,
            CH301 if it cannot be reached, CH506 with the remote traceback if the chain failed.
    """
    selector, info = _target(remote, chain, options)
    if info is not None and info.is_websocket:
        raise DiagnosticsError([_is_websocket(info)])
    if data is None:
        data = _no_data(chain, info)
    body = data.encode()
    with remote.call(chain, selector, body, timeout_s=options.timeout_s) as reply:
        if not reply.is_success:
            raise DiagnosticsError([failure(chain, reply, info)])
        if reply.is_json and not (info is not None and info.is_streaming):
            return CallResult(chain, selector, value=_json(reply.read()))
        count = 0
        for item in _items(reply):
            report(events.Item(item))
            count += 1
        return CallResult(chain, selector, streamed=True, items=count)


def _target(remote: Remote, chain: str, options: CallOptions) -> tuple[str, DeploymentInfo | None]:
    info = remote.chain(chain)
    selector = options.selector
    if selector is None:
        return default_target(info)
    meant = [deployment for deployment in info.deployments if _is_meant(deployment, options)]
    if not meant:
        raise DiagnosticsError([_unknown(chain, options)])
    # a deployment's name is known here, and not to the gateway
    return f"deployment/{meant[0].id}" if options.deployment is not None else selector, meant[0]


def _is_meant(deployment: DeploymentInfo, options: CallOptions) -> bool:
    if options.development:
        return deployment.kind is DeploymentKind.DEVELOPMENT
    if options.deployment is not None:
        return options.deployment in (deployment.id, deployment.name)
    return options.environment in deployment.environments


def _unknown(chain: str, options: CallOptions) -> Diagnostic:
    """CH304 or CH316: nothing is there under that name."""
    if options.environment is not None:
        return Diagnostic(
            code=Code.UNKNOWN_ENVIRONMENT,
            message=f"chain `{chain}` has no environment `{options.environment}`",
            help=f"promote a deployment to `{options.environment}` first",
        )
    what, remedy = f"deployment `{options.deployment}`", f"`chains status {chain}` lists those there are"
    if options.development:
        what, remedy = "development deployment", "`chains watch FILE` makes one"
    return Diagnostic(code=Code.UNKNOWN_DEPLOYMENT, message=f"chain `{chain}` has no {what}", help=remedy)


def _no_data(chain: str, info: DeploymentInfo | None) -> str:
    schema = info.input_schema if info is not None else {}
    if not schema.get("required"):
        return "{}"
    example = shell_quoted(example_json(schema))
    diagnostic = Diagnostic(
        code=Code.BAD_INPUT,
        message=f"chain `{chain}` needs an input",
        help=f"for example: chains call {chain} --data {example}",
    )
    raise DiagnosticsError([diagnostic])


def _is_websocket(info: DeploymentInfo) -> Diagnostic:
    return Diagnostic(
        code=Code.BAD_REQUEST,
        message=f"chain `{info.chain_name}` speaks over a websocket; `chains call` sends one request",
        help=f"connect a websocket client to {info.run_remote_url}",
    )


def _json(body: bytes) -> Any:  # Any: a JSON value
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def _items(reply: CallReply) -> Iterator[str | bytes]:
    """Chunks as they come: bytes as they are, all else as text cut between characters."""
    if reply.content_type.partition(";")[0].strip().lower() == BINARY_TYPE:
        yield from (chunk for chunk in reply.chunks if chunk)
        return
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for chunk in reply.chunks:
        if text := decoder.decode(chunk):
            yield text
    if rest := decoder.decode(b"", final=True):
        yield rest


def failure(chain: str, reply: CallReply, info: DeploymentInfo | None) -> Diagnostic:
    """An error answer as a diagnostic: the remote traceback, or the reason in one line."""
    body = reply.read()
    try:
        error = ErrorBody.model_validate_json(body).error
    except ValueError:
        error = body.decode(errors="replace").strip()[:2000]
    if isinstance(error, RemoteErrorDetail):
        return Diagnostic(
            code=Code.CALL_FAILED,
            message=f"chain `{chain}` failed: {error.exception_cls_name}: {error.exception_message}",
            detail=error.format(),
        )
    if reply.status == 400:
        return _bad_input(chain, error, info)
    if reply.status == 503:
        return Diagnostic(
            code=Code.OVERLOADED,
            message=f"chain `{chain}` cannot answer now: {_one_line(error) or 'it is not ready'}",
            help=f"`chains status {chain}` shows what runs; try again in a moment",
        )
    return Diagnostic(
        code=Code.CALL_FAILED,
        message=f"chain `{chain}` answered {reply.status}: {_one_line(error) or 'no reason given'}",
        detail=error if "\n" in error else None,
        help=f"`chains logs {chain}` shows what its replicas wrote",
    )


def _bad_input(chain: str, error: str, info: DeploymentInfo | None) -> Diagnostic:
    example = shell_quoted(example_json(info.input_schema)) if info and info.input_schema else None
    head, _, rest = error.strip().partition("\n")
    return Diagnostic(
        code=Code.BAD_INPUT,
        message=f"chain `{chain}` refuses the input: {head.rstrip(':')}",
        detail=textwrap.dedent(rest) or None,
        help=f"for example: --data {example}" if example else None,
    )


def _one_line(text: str) -> str:
    return text.strip().split("\n", 1)[0].rstrip(":")


__all__ = ["CallOptions", "CallResult", "call", "default_target", "failure"]
