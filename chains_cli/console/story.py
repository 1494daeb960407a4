"""Events as lines of text; one function an event type."""

from collections.abc import Sequence
from functools import singledispatch
from pathlib import Path

from chains_cli import events
from chains_cli.console.diagnostics import diagnostic_lines
from chains_cli.console.layout import bytes_text, clock_text, milliseconds_text, plural
from chains_cli.console.palette import Palette


@singledispatch
def story_lines(event: events.Event, cwd: Path, palette: Palette) -> Sequence[str]:
    """The lines that tell `event`; nothing for an event that only a live view shows."""
    return ()


@story_lines.register
def _(event: events.Step, cwd: Path, palette: Palette) -> Sequence[str]:
    return (event.text,)


@story_lines.register
def _(event: events.Line, cwd: Path, palette: Palette) -> Sequence[str]:
    return (event.text,)


@story_lines.register
def _(event: events.Found, cwd: Path, palette: Palette) -> Sequence[str]:
    return diagnostic_lines(event.diagnostic, cwd, palette)


@story_lines.register
def _(event: events.UserOutput, cwd: Path, palette: Palette) -> Sequence[str]:
    return event.text.rstrip("\n").split("\n") if event.text.strip("\n") else ()


@story_lines.register
def _(event: events.Upload, cwd: Path, palette: Palette) -> Sequence[str]:
    if event.sent_bytes:
        return ()
    return (f"sending {plural(event.files, 'file')}, {bytes_text(event.total_bytes)}",)


@story_lines.register
def _(event: events.PlanLine, cwd: Path, palette: Palette) -> Sequence[str]:
    files = plural(event.files, "file")
    sends = f"; sends {files}, {bytes_text(event.bytes)}" if event.files else ""
    return (f"  {event.action:<9} {palette.bold(event.chainlet)}: {event.reason}{sends}",)


@story_lines.register
def _(event: events.PackageFile, cwd: Path, palette: Palette) -> Sequence[str]:
    return (f"    {event.path} ({bytes_text(event.bytes)}): {event.reason}",)


@story_lines.register
def _(event: events.ChainletChanged, cwd: Path, palette: Palette) -> Sequence[str]:
    reason = f" ({event.reason})" if event.reason else ""
    return (f"  {palette.bold(event.chainlet)}: {palette.state(event.state)}{reason}",)


@story_lines.register
def _(event: events.DeploymentChanged, cwd: Path, palette: Palette) -> Sequence[str]:
    return (f"deployment {event.deployment} of {event.chain}: {palette.state(event.state)}",)


@story_lines.register
def _(event: events.BuildOutput, cwd: Path, palette: Palette) -> Sequence[str]:
    return (palette.dim(f"  {event.chainlet} | {event.text}"),)


@story_lines.register
def _(event: events.Patched, cwd: Path, palette: Palette) -> Sequence[str]:
    word = event.action if event.action != "unchanged" else palette.dim(event.action)
    took = f" in {milliseconds_text(event.elapsed_ms)}" if event.elapsed_ms else ""
    old = f"; {event.calls_on_old} calls still run the old code" if event.calls_on_old else ""
    why = f": {'; '.join(event.reasons)}" if event.reasons else ""
    return (f"  {palette.bold(event.chainlet)} {palette.good(word)}{took}{why}{old}",)


@story_lines.register
def _(event: events.Watching, cwd: Path, palette: Palette) -> Sequence[str]:
    where = f"development deployment {event.deployment}, version {event.version}"
    return (f"watching {palette.bold(event.chain)} ({where}); save a file to patch it, Ctrl-C to end",)


@story_lines.register
def _(event: events.RoundStarted, cwd: Path, palette: Palette) -> Sequence[str]:
    names = ", ".join(event.files[:3])
    more = f" and {plural(len(event.files) - 3, 'other file')}" if len(event.files) > 3 else ""
    return (f"saved {names}{more}",)


@story_lines.register
def _(event: events.RoundFinished, cwd: Path, palette: Palette) -> Sequence[str]:
    took = milliseconds_text(event.elapsed_ms)
    if event.superseded:
        return (palette.dim(f"given up ({took}): saved again meanwhile"),)
    if not event.changed:
        return (f"nothing to do; version {event.version} serves ({took})",)
    if not event.serves:
        return (palette.bad("not applied") + f" ({took})",)
    if not event.committed:
        return (palette.bad(f"refused; version {event.version} goes on serving") + f" ({took})",)
    return (palette.good(f"version {event.version} serves") + f" ({took})",)


@story_lines.register
def _(event: events.Explained, cwd: Path, palette: Palette) -> Sequence[str]:
    place = palette.accent(f"{event.path}:{event.line}")
    lines = [f"    {event.chainlet}: {event.action}: {place} {event.text}"]
    if len(event.via) > 1:
        lines.append(palette.dim(f"      through {' → '.join(event.via)}"))
    return lines


@story_lines.register
def _(event: events.LogWritten, cwd: Path, palette: Palette) -> Sequence[str]:
    head = f"{clock_text(event.at)} {event.chainlet}"
    return (f"{palette.dim(head)} {event.text}",)


__all__ = ["story_lines"]
