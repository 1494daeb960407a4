"""The result of `chains undo` as text."""

from collections.abc import Iterable

from chains_cli.console.layout import milliseconds_text
from chains_cli.console.palette import Palette
from chains_cli.operations.versions import UndoResult
from chains_protocol.patch import Action


def undo_lines(result: UndoResult, palette: Palette) -> Iterable[str]:
    """What runs now, and what happened to each Chainlet."""
    if result.exit_code:
        yield f"{result.chain}: nothing was changed; version {result.version} goes on serving"
        return
    name = palette.bold(result.chain)
    if not result.chainlets:
        yield f"{name}: version {result.version} runs already what version {result.restored} ran"
        return
    elapsed = milliseconds_text(result.elapsed_ms)
    yield f"{name}: version {result.version} runs what version {result.restored} ran, in {elapsed}"
    for chainlet in result.chainlets:
        if chainlet.action is not Action.UNCHANGED:
            yield f"  {chainlet.display_name}: {palette.warn(chainlet.action.value)}"
    yield "next:"
    yield f"  chains undo {result.chain}        one version further back"
    yield f"  chains history {result.chain}     all versions"


__all__ = ["undo_lines"]
