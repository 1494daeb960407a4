"""The result of `chains push` as text: what is true now, and what to type next."""

from collections.abc import Iterable

from chains_cli.console.layout import bytes_text, plural
from chains_cli.console.palette import Palette
from chains_cli.operations.example import example_json, shell_quoted
from chains_cli.operations.push import PushResult
from chains_cli.planning.plan import KeepChainlet, StartChainlet
from chains_protocol.control import DeploymentInfo, DeploymentKind, DeploymentState


def push_lines(result: PushResult, palette: Palette) -> Iterable[str]:
    """The last lines of a push."""
    if result.dry_run:
        yield from _dry_run(result)
    elif result.deployment is None:
        yield f"{result.chain}: unchanged; no file sent, nothing restarted"
    elif result.exit_code == 0:
        yield from _deployed(result, result.deployment, palette)


def _dry_run(result: PushResult) -> Iterable[str]:
    if result.unchanged:
        yield f"{result.chain}: this is what runs already; a push would send no file and restart nothing"
    else:
        yield f"{result.chain}: nothing was changed; leave out --dry-run to deploy"


def _deployed(result: PushResult, info: DeploymentInfo, palette: Palette) -> Iterable[str]:
    word = palette.state(info.state.value)
    kind = "development deployment" if info.kind is DeploymentKind.DEVELOPMENT else "deployment"
    where = f" in {', '.join(info.environments)}" if info.environments else ""
    name = f" ({info.name})" if info.name else ""
    yield f"{palette.bold(result.chain)}: {kind} {info.id}{name} is {word}{where}"
    if result.unchanged:
        yield "unchanged: no file sent, nothing restarted"
    else:
        yield _sent(result)
    if result.url:
        yield f"url: {result.url}"
    yield from _next(result, info)


def _sent(result: PushResult) -> str:
    steps = result.plan.steps if result.plan else ()
    started = [s.display_name for s in steps if isinstance(s, StartChainlet)]
    kept = [s.display_name for s in steps if isinstance(s, KeepChainlet)]
    parts = [f"sent {plural(result.sent_files, 'file')}, {bytes_text(result.sent_bytes)}"]
    if started:
        parts.append(f"started {', '.join(started)}")
    if kept:
        parts.append(f"kept {', '.join(kept)}")
    return "; ".join(parts)


def _next(result: PushResult, info: DeploymentInfo) -> Iterable[str]:
    yield "next:"
    if info.state is not DeploymentState.ACTIVE:
        yield f"  chains status {result.chain}"
        return
    if info.is_websocket:
        yield f"  connect a websocket client to {info.run_remote_url}"
    else:
        flag = " --development" if info.kind is DeploymentKind.DEVELOPMENT else ""
        example = example_json(result.input_schema or info.input_schema)
        yield f"  chains call {result.chain}{flag} --data {shell_quoted(example)}"


__all__ = ["push_lines"]
