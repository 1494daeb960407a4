"""A diagnostic as a block of text: code, place, source line, what to do."""

import os
from collections.abc import Iterable
from pathlib import Path

from chains_cli.console.palette import Palette
from chains_protocol.errors import Diagnostic, Location, Severity

_PLAIN = Palette()


def shown_path(path: str, cwd: Path) -> str:
    """Relative to `cwd` when below it, else as it is."""
    if not Path(path).is_absolute():
        return path
    real = Path(os.path.realpath(path))
    for base in (cwd, Path(os.path.realpath(cwd))):
        for candidate in (Path(path), real):
            if candidate.is_relative_to(base):
                return candidate.relative_to(base).as_posix()
    return path


def _place(location: Location, cwd: Path) -> str:
    """Path and line; columns are for programs, which get them in the other formats."""
    path = shown_path(location.path, cwd)
    return path if location.line is None else f"{path}:{location.line}"


def diagnostic_lines(diagnostic: Diagnostic, cwd: Path, palette: Palette = _PLAIN) -> list[str]:
    """The block of one diagnostic, a line an item.

    error[CH104]: parameter `x` of `Splitter.run_remote` has no type annotation
      --> chain.py:5
      5 |     async def run_remote(self, x, limit: int) -> int:
    help: write the type, for example `x: str`
    """
    label = f"{diagnostic.severity.value}[{diagnostic.code.value}]"
    paint = {Severity.ERROR: palette.bad, Severity.WARNING: palette.warn, Severity.NOTE: palette.accent}
    lines = [f"{paint[diagnostic.severity](label)}: {palette.bold(diagnostic.message)}"]
    if (where := diagnostic.location) is not None:
        lines.append(f"  {palette.accent('-->')} {_place(where, cwd)}")
        if where.line is not None and where.source_line is not None:
            lines.append(f"  {palette.accent(f'{where.line} |')} {where.source_line.rstrip()}")
    if diagnostic.detail:
        lines += [f"  {line}".rstrip() for line in diagnostic.detail.rstrip("\n").split("\n")]
    if diagnostic.help:
        lines.append(f"{palette.accent('help')}: {diagnostic.help}")
    return lines


def summary(diagnostics: Iterable[Diagnostic]) -> str:
    """How many there are of each kind: "2 errors, 1 warning"; empty if there is none."""
    found = list(diagnostics)
    parts = []
    for severity in Severity:
        count = sum(1 for d in found if d.severity is severity)
        if count:
            parts.append(f"{count} {severity.value}{'' if count == 1 else 's'}")
    return ", ".join(parts)


__all__ = ["diagnostic_lines", "shown_path", "summary"]
