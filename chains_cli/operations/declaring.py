"""Which file declares the chain that another file belongs to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError

_MARK: Final = b"mark_entrypoint"
_END: Final = ".git"


def declaring_file(file: Path) -> Path:
    """The file that marks an entrypoint: `file` itself, else the one beside it or above it.

    Directories are looked at from the file's own upwards, to the root of the repository (outside
    of one, only its own). `file` is returned where none is found: it may declare a chain of one
    class without marking it.

    Raises:
        DiagnosticsError: CH155 if several files of the nearest directory mark one.
    """
    if _marks(file):
        return file
    for directory in _upwards(file.absolute().parent):
        found = sorted(path for path in directory.glob("*.py") if _marks(path))
        if len(found) > 1:
            raise DiagnosticsError([_several(file, found)])
        if found:
            return found[0]
    return file


def _marks(path: Path) -> bool:
    try:
        return path.suffix == ".py" and _MARK in path.read_bytes()
    except OSError:  # gone, or not ours to read: whoever needs it will say so
        return False


def _upwards(directory: Path) -> Iterator[Path]:
    above = (directory, *directory.parents)
    root = next((d for d in above if (d / _END).exists()), directory)
    for found in above:
        yield found
        if found == root:
            return


def _several(file: Path, found: list[Path]) -> Diagnostic:
    return Diagnostic(
        code=Code.SEVERAL_ENTRYPOINTS,
        message=f"`{file.name}` may belong to several chains: {', '.join(f'`{p.name}`' for p in found)}",
        help=f"say which with `--source {found[0].name}`",
    )


__all__ = ["declaring_file"]
