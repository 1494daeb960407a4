"""What is allowed, but worth saying: warnings about settings and methods."""

from collections.abc import Iterator

from chains_protocol.errors import Diagnostic
from truss_chains.source import Sources


def notes_of(cls: type, sources: Sources) -> Iterator[Diagnostic]:
    """Warnings and notes about one Chainlet."""
    yield from ()


__all__ = ["notes_of"]
