"""The results of `chains remote` as text."""

from collections.abc import Iterable

from chains_cli.console.layout import columns
from chains_cli.console.palette import Palette
from chains_cli.operations.remotes import RemotesResult


def remote_lines(result: RemotesResult, palette: Palette) -> Iterable[str]:
    """A row a remote; the chosen one has a star."""
    for_local = palette.dim("the platform of this machine")
    yield from columns(
        ["*" if r.chosen else " ", palette.bold(r.name), r.url or for_local] for r in result.remotes
    )
    yield palette.dim(f"tokens are in {result.file}")


def changed_lines(result: RemotesResult, done: str) -> Iterable[str]:
    """What happened to one remote."""
    yield f"{result.changed} {done}"


__all__ = ["changed_lines", "remote_lines"]
