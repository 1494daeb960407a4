"""The results of list, status and history as text."""

from collections.abc import Iterable
from typing import Final

from chains_cli.console.layout import age_text, columns, milliseconds_text, moment_text, plural
from chains_cli.console.palette import Palette
from chains_cli.operations.inspect import ChainsResult, HistoryResult, Version
from chains_protocol.control import (
    ChainInfo,
    ChainletStatus,
    DeploymentInfo,
    DeploymentKind,
    DeploymentState,
    Event,
    EventKind,
    ReplicaInfo,
)
from chains_protocol.patch import Action, PatchOutcome
from chains_protocol.replica import ReplicaState

_KINDS: Final = {EventKind.DEPLOYMENT_STATE: "state", EventKind.REPLICA_STATE: "replica"}

_NONE = "no chains; `chains push FILE` deploys one"


def list_lines(result: ChainsResult, palette: Palette) -> Iterable[str]:
    """A row a chain: name, newest state, environments, age."""
    if not result.chains:
        yield _NONE
        return
    rows = [[palette.dim(t) for t in ("CHAIN", "STATE", "DEPLOYMENT", "ENVIRONMENTS", "AGE")]]
    for chain in result.chains:
        newest = chain.deployments[0] if chain.deployments else None
        environments = sorted({e for d in chain.deployments for e in d.environments})
        rows.append(
            [
                palette.bold(chain.name),
                palette.state(newest.state.value) if newest else "-",
                newest.id if newest else "-",
                ", ".join(environments) or "-",
                age_text(result.at - (newest.created_at if newest else chain.created_at)),
            ]
        )
    yield from columns(rows)


def status_lines(result: ChainsResult, palette: Palette, *, verbose: bool = False) -> Iterable[str]:
    """Chains, their deployments, their Chainlets; with `verbose` their replicas."""
    if not result.chains:
        yield _NONE
    for number, chain in enumerate(result.chains):
        if number:
            yield ""
        yield from _chain_lines(chain, result.at, palette, verbose)


def _chain_lines(chain: ChainInfo, at: float, palette: Palette, verbose: bool) -> Iterable[str]:
    yield palette.bold(chain.name)
    if not chain.deployments:
        yield "  no deployments"
    for deployment in chain.deployments:
        yield from _deployment_lines(deployment, at, palette)
        yield from _chainlet_lines(deployment, at, palette, verbose)


def _deployment_lines(info: DeploymentInfo, at: float, palette: Palette) -> Iterable[str]:
    labels = [*info.environments, *([info.name] if info.name else [])]
    if info.kind is DeploymentKind.DEVELOPMENT:
        labels.insert(0, "development")
    extra = f" ({', '.join(labels)})" if labels else ""
    state = palette.state(info.state.value)
    age = age_text(at - info.created_at)
    yield f"  deployment {info.id}{extra}: {state}, version {info.version}, {age} old"
    if info.state is DeploymentState.ACTIVE and info.run_remote_url:
        yield f"    {info.run_remote_url}"
    for diagnostic in info.diagnostics:
        yield f"    {diagnostic.severity.value}[{diagnostic.code.value}]: {diagnostic.message}"


def _chainlet_lines(info: DeploymentInfo, at: float, palette: Palette, verbose: bool) -> Iterable[str]:
    if info.state in (DeploymentState.INACTIVE, DeploymentState.DELETED):
        return
    ordered = sorted(info.chainlets, key=lambda c: (not c.is_entrypoint, c.display_name))
    rows = [_chainlet_row(chainlet, at, palette) for chainlet in ordered]
    for chainlet, row in zip(ordered, columns(rows, indent="    "), strict=True):
        yield row
        if chainlet.reason and chainlet.state is not ReplicaState.READY:
            yield from (f"      {line}" for line in chainlet.reason.rstrip().split("\n"))
        if verbose:
            replicas = [_replica_row(r, at) for r in chainlet.replicas]
            yield from columns(replicas, indent="      ")


def _chainlet_row(chainlet: ChainletStatus, at: float, palette: Palette) -> list[str]:
    started = [r.started_at for r in chainlet.replicas if r.started_at is not None]
    notes = []
    if restarts := sum(r.restarts for r in chainlet.replicas):
        notes.append(plural(restarts, "restart"))
    if old := sum(r.calls_on_old for r in chainlet.replicas):
        notes.append(f"{plural(old, 'call')} on old code")
    if chainlet.shared_with:
        notes.append(f"shared with {', '.join(chainlet.shared_with)}")
    mark = " (entrypoint)" if chainlet.is_entrypoint else ""
    return [
        f"{chainlet.display_name}{mark}",
        palette.state(chainlet.state.value),
        plural(len(chainlet.replicas), "replica"),
        f"up {age_text(at - min(started))}" if started else "",
        ", ".join(notes),
    ]


def _replica_row(replica: ReplicaInfo, at: float) -> list[str]:
    pid = f"pid {replica.pid}" if replica.pid is not None else "no process"
    age = f"up {age_text(at - replica.started_at)}" if replica.started_at is not None else ""
    loads = plural(replica.load_count, "load")
    return [replica.replica_id, replica.state.value, pid, age, loads, f"{replica.in_flight} in flight"]


def history_lines(result: HistoryResult, palette: Palette) -> Iterable[str]:
    """A row an event, oldest first."""
    if not result.events:
        yield f"{result.chain}: nothing has happened yet"
    yield from columns(_history_row(event, palette) for event in result.events)
    if result.versions:
        yield ""
        yield f"versions of the development deployment; `chains undo {result.chain} --to N` brings one back"
        yield from columns((_version_row(version, palette) for version in result.versions), indent="  ")


def _version_row(version: Version, palette: Palette) -> list[str]:
    mark = "runs" if version.runs else ""
    what = [f"{c.chainlet} {c.action}" + (f": {c.reasons[0]}" if c.reasons else "") for c in version.changes]
    if version.restores is not None:
        text = f"version {version.restores} again"
    else:
        text = "; ".join(what) or "pushed"
    return [
        str(version.version),
        palette.dim(moment_text(version.at)),
        palette.bold(mark) if mark else "",
        text,
    ]


def _history_row(event: Event, palette: Palette) -> list[str]:
    kind = _KINDS.get(event.kind, event.kind.value)
    moment = palette.dim(moment_text(event.at))
    return [moment, event.deployment or "-", kind, _what_happened(event, palette)]


def _what_happened(event: Event, palette: Palette) -> str:
    if event.kind is EventKind.PATCH:
        return _patch_text(event)
    if event.kind is EventKind.PROMOTED:
        return f"to {event.data['environment']}" if event.data.get("environment") else ""
    state = palette.state(str(event.data.get("state", "")))
    what = f"{event.chainlet} {state}" if event.kind is EventKind.REPLICA_STATE else state
    return ": ".join(part for part in (what, event.message) if part)


def _patch_text(event: Event) -> str:
    """`version 3: Search patched`, or why there was none."""
    try:
        outcome = PatchOutcome.model_validate(event.data.get("outcome"))
    except ValueError:
        return event.message
    if not outcome.committed:
        return f"refused: {event.message}" if event.message else "refused"
    changed = [c for c in outcome.chainlets if c.action is not Action.UNCHANGED]
    what = ", ".join(f"{c.display_name} {c.action.value}" for c in changed) or "nothing to do"
    return f"version {outcome.version}: {what} in {milliseconds_text(outcome.elapsed_ms)}"


__all__ = ["history_lines", "list_lines", "status_lines"]
