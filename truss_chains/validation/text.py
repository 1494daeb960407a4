"""The published text forms of definition errors (E-03, E-04)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chains_protocol.errors import Diagnostic, ErrorKind, Location
from truss_chains.errors import ChainsUsageError

if TYPE_CHECKING:
    from truss_chains.source import Sources


def one_line(diagnostic: Diagnostic, sources: "Sources | None" = None) -> str:
    """`<path>:<line> (<Chainlet>.<method>) [kind: <KIND>]: <code>: <message>` (E-03).

    The line is that of the method or the class, decorators included; `location` is more precise.
    `sources` spares reading a file again for each of many diagnostics.
    """
    where = diagnostic.location
    place = f"{where.path}:{_published_line(diagnostic, where, sources)}" if where else "<unknown>:1"
    owner = ""
    if diagnostic.chainlet:
        method = f".{diagnostic.method}" if diagnostic.method else ""
        owner = f" ({diagnostic.chainlet}{method})"
    kind = diagnostic.kind or ErrorKind.TYPE_ERROR
    text = f"{place}{owner} [kind: {kind}]: {diagnostic.code}: {diagnostic.message}"
    return f"{text}; {diagnostic.help}" if diagnostic.help else text


def _published_line(diagnostic: Diagnostic, where: Location, sources: "Sources | None") -> int:
    line = where.line or 1
    if not diagnostic.chainlet:
        return line
    from truss_chains.source import Sources

    file = (sources or Sources()).file(where.path)
    return file.enclosing(diagnostic.chainlet, diagnostic.method, line) or line


def combined(diagnostics: Sequence[Diagnostic]) -> str:
    """An introductory line and one entry per diagnostic, in the given order (E-04)."""
    from truss_chains.source import Sources

    sources = Sources()
    entries = (f"* {one_line(diagnostic, sources)}" for diagnostic in diagnostics)
    number = "1 error" if len(diagnostics) == 1 else f"{len(diagnostics)} errors"
    return "\n".join((f"The Chainlet definitions have {number}:", *entries))


def usage_error(diagnostics: Sequence[Diagnostic]) -> ChainsUsageError:
    """One exception for all of `diagnostics`."""
    return ChainsUsageError(combined(diagnostics), diagnostics=diagnostics)


__all__ = ["combined", "one_line", "usage_error"]
