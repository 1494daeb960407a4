"""The result of `chains package` as text."""

import os
from collections.abc import Iterable
from pathlib import Path

from chains_cli.console.layout import bytes_text, columns, plural
from chains_cli.operations.packages import PackageResult


def package_lines(result: PackageResult, cwd: Path) -> Iterable[str]:
    """Where the packages are."""
    where = os.path.relpath(result.directory, cwd)
    yield f"{result.chain}: wrote {plural(len(result.sizes), 'package')} to {where}"
    yield from columns([[name, bytes_text(size)] for name, size in result.sizes.items()], indent="  ")


__all__ = ["package_lines"]
