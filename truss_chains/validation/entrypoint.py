"""Rules about what may be marked as entrypoint: V-80 to V-82."""

from collections.abc import Iterator

from chains_protocol.errors import Code, Diagnostic, ErrorKind, Location
from chains_protocol.kinds import ChainletKind


def check_entrypoint(target: object, path: str, line: int) -> Iterator[Diagnostic]:
    """What keeps `target` from being an entrypoint; `path` and `line` are of the decorator."""
    from truss_chains.chainlet import chainlet_kind, is_chainlet_class

    where = Location(path=path, line=line)
    if not is_chainlet_class(target):
        yield Diagnostic(
            code=Code.BAD_ENTRYPOINT,
            kind=ErrorKind.TYPE_ERROR,
            location=where,
            message=f"`mark_entrypoint` was put on `{target!r}`, which is no Chainlet class",
            help="put it on a subclass of `ChainletBase`",
        )
    elif isinstance(target, type) and chainlet_kind(target) is ChainletKind.TRUSS:
        yield Diagnostic(
            code=Code.BAD_ENTRYPOINT,
            kind=ErrorKind.TYPE_ERROR,
            location=where,
            message=f"`{target.__name__}` wraps a Truss and can't be an entrypoint",
            help="mark a `ChainletBase` that depends on it",
        )


__all__ = ["check_entrypoint"]
