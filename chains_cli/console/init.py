"""The result of `chains init` as text."""

import os
from collections.abc import Iterable
from pathlib import Path

from chains_cli.console.palette import Palette
from chains_cli.operations.init import EXAMPLE_INPUTS, SOURCE_NAME, InitResult


def init_lines(result: InitResult, cwd: Path, palette: Palette) -> Iterable[str]:
    """What is there now, and what to type next."""
    directory = os.path.relpath(result.directory, cwd)
    where = "the current directory" if directory == "." else f"`{directory}`"
    yield palette.good(f"wrote the template `{result.template}` to {where}: {', '.join(result.files)}")
    yield "next:"
    if directory != ".":
        yield f"  cd {directory}"
    yield f"  chains run-local {SOURCE_NAME} --input '{EXAMPLE_INPUTS[result.template]}'"
    yield f"  chains push {SOURCE_NAME}"


__all__ = ["init_lines"]
