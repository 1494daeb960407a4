"""The result of `chains watch` as text."""

from collections.abc import Iterable

from chains_cli.console.layout import plural
from chains_cli.console.palette import Palette
from chains_cli.operations.watch import WatchResult


def watch_lines(result: WatchResult, palette: Palette) -> Iterable[str]:
    """What serves now."""
    if result.exit_code:
        return
    refused = f", {plural(result.refused, 'save')} refused" if result.refused else ""
    where = f"development deployment {result.deployment}, version {result.version}"
    yield f"{palette.bold(result.chain)}: {where}{refused}"


__all__ = ["watch_lines"]
