"""Numbers, times and columns as text."""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime


def bytes_text(count: int) -> str:
    """A size for people: "312 B", "4.2 kB", "1.3 MB"."""
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000 or unit == "GB":
            return f"{size:.1f} {unit}"
    raise AssertionError("unreachable")


def milliseconds_text(elapsed_ms: float) -> str:
    """A short time for people: "8 ms", "1.4 s"."""
    return f"{elapsed_ms:.0f} ms" if elapsed_ms < 1000 else f"{elapsed_ms / 1000:.1f} s"


def age_text(seconds: float) -> str:
    """An age for people, in its largest unit: "12 s", "3 min", "2 h", "5 d"."""
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h")):
        if seconds < limit:
            return f"{max(0, int(seconds // size))} {unit}"
    return f"{int(seconds // 86400)} d"


def clock_text(at: float) -> str:
    """Time of day, UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]


def moment_text(at: float) -> str:
    """Date and time, UTC, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _cells(text: str) -> int:
    """How many terminal cells `text` takes; escape sequences take none."""
    width, at = 0, 0
    while at < len(text):
        if text[at] == "\x1b":
            at = text.find("m", at) + 1
            continue
        if not unicodedata.combining(text[at]):
            width += 2 if unicodedata.east_asian_width(text[at]) in "WF" else 1
        at += 1
    return width


def columns(rows: Iterable[Sequence[str]], *, indent: str = "") -> list[str]:
    """Left-aligned columns, two spaces apart; no trailing blanks."""
    table = [list(row) for row in rows]
    if not table:
        return []
    count = max(len(row) for row in table)
    widths = [max((_cells(r[i]) for r in table if i < len(r)), default=0) for i in range(count)]
    lines = []
    for row in table:
        cells = [cell + " " * (width - _cells(cell)) for cell, width in zip(row, widths, strict=False)]
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines


def plural(count: int, noun: str) -> str:
    """ "1 file", "3 files"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


__all__ = ["age_text", "bytes_text", "clock_text", "columns", "milliseconds_text", "moment_text", "plural"]
