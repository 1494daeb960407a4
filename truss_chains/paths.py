"""Paths that are written relative to the file they are written in."""

import sys
from dataclasses import dataclass
from pathlib import Path

from chains_protocol.errors import Code
from truss_chains.errors import MissingDependencyError


@dataclass(frozen=True)
class AbsPath:
    """An absolute path, with the facts needed to explain why it is missing.

    Made by `make_abs_path_here`. Whether it exists is checked when `abs_path` is read, so a
    Chain can be defined on a machine that lacks the file.
    """

    path: str
    original: str
    declared_in: str

    @property
    def abs_path(self) -> str:
        """The path.

        Raises:
            MissingDependencyError: CH202 if it is neither a file nor a directory with content.
        """
        found = Path(self.path)
        if not (found.is_file() or (found.is_dir() and any(found.iterdir()))):
            raise MissingDependencyError(
                f"`{self.original}`, written in `{self.declared_in}`, was resolved to `{self.path}`, "
                "which is neither a file nor a directory with content.",
                code=Code.PATH_NOT_FOUND,
            )
        return self.path

    def __str__(self) -> str:
        return self.path


def make_abs_path_here(file_path: str) -> AbsPath:
    """Resolve `file_path` against the directory of the file that contains this call.

    Absolute paths stay as they are. Call it directly: wrapped in a function of another file,
    it would resolve against that file.

    Example:
        `DockerImage(requirements_file=make_abs_path_here("requirements.txt"))`
    """
    caller = Path(sys._getframe(1).f_code.co_filename)
    path = Path(file_path)
    if not path.is_absolute():
        path = caller.absolute().parent / path
    return AbsPath(path=str(path), original=file_path, declared_in=str(caller))


__all__ = ["AbsPath", "make_abs_path_here"]
