"""All rules about one class, in the order in which they are reported."""

from collections.abc import Iterator

from chains_protocol.errors import Diagnostic
from truss_chains.registry import Declaration


def check_definition(declaration: Declaration) -> Iterator[Diagnostic]:
    """Run every rule on a class that was just made."""
    yield from ()


__all__ = ["check_definition"]
