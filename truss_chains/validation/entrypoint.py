"""Rules about what may be marked as entrypoint: V-80 to V-82."""

from collections.abc import Iterator
from typing import Final

from chains_protocol.errors import Code, Diagnostic, ErrorKind
from chains_protocol.kinds import ChainletKind

_LEAVES: Final = {
    ChainletKind.TRUSS: "wraps a Truss",
    ChainletKind.ENGINE_BUILDER: "is served by an engine",
}
"""Kinds that can only be called by other Chainlets."""


def check_entrypoint(target: object, path: str, line: int) -> Iterator[Diagnostic]:
    """What keeps `target` from being an entrypoint; `path` and `line` are of the decorator."""
    from truss_chains.chainlet import chainlet_kind, is_chainlet_class
    from truss_chains.source import SourceFile

    where = SourceFile(path).location(line)
    if not is_chainlet_class(target):
        yield Diagnostic(
            code=Code.BAD_ENTRYPOINT,
            kind=ErrorKind.TYPE_ERROR,
            location=where,
            message=f"`mark_entrypoint` was put on `{target!r}`, which is no Chainlet class",
            help="put it on a subclass of `ChainletBase`",
        )
    elif isinstance(target, type) and chainlet_kind(target) in _LEAVES:
        yield Diagnostic(
            code=Code.BAD_ENTRYPOINT,
            kind=ErrorKind.TYPE_ERROR,
            location=where,
            message=f"`{target.__name__}` {_LEAVES[chainlet_kind(target)]} and can't be an entrypoint",
            help="mark a `ChainletBase` that depends on it",
        )


__all__ = ["check_entrypoint"]
