"""The result of `chains doctor` as text."""

from collections.abc import Iterable

from chains_cli.console.layout import columns, plural
from chains_cli.console.palette import Palette
from chains_cli.operations.doctor import DoctorResult


def doctor_lines(result: DoctorResult, palette: Palette) -> Iterable[str]:
    """A row a check; what to do below those that are not fine."""
    rows = columns(
        [palette.good("ok") if c.ok else palette.bad("bad"), c.name, c.message] for c in result.checks
    )
    for check, row in zip(result.checks, rows, strict=True):
        yield row
        if not check.ok and check.help:
            yield f"     help: {check.help}"
    wrong = sum(1 for check in result.checks if not check.ok)
    yield palette.bad(f"{plural(wrong, 'thing')} to repair") if wrong else palette.good("all is fine")


__all__ = ["doctor_lines"]
