"""The results of `chains platform` as text."""

from collections.abc import Iterable

from chains_cli.console.layout import bytes_text, columns, plural
from chains_cli.console.palette import Palette
from chains_cli.operations.platform import GcResult, PlatformResult


def platform_lines(result: PlatformResult, palette: Palette) -> Iterable[str]:
    """Whether it runs, and where."""
    state = result.state
    if not state.running:
        yield "stopped" if result.changed else state.message
        return
    if state.is_broken:
        yield palette.bad(state.message)
        return
    yield palette.good("started" if result.changed else "running")
    rows = [
        ("control plane", state.control_url, f"pid {state.pid}"),
        ("gateway", state.gateway_url, f"pid {state.gateway_pid}"),
        ("home", state.home),
    ]
    yield from columns(rows, indent="  ")


def gc_lines(result: GcResult) -> Iterable[str]:
    """What went, or would go."""
    counts = ((result.environments, "environment"), (result.packages, "package"), (result.blobs, "file"))
    named = [plural(count, noun) for count, noun in counts if count]
    verb = "would remove" if result.dry_run else "removed"
    yield f"{verb} {', '.join(named) or 'nothing'}; {bytes_text(result.freed_bytes)} free"


__all__ = ["gc_lines", "platform_lines"]
