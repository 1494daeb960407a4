"""Where something is wrong, in the author's own terms.

A package, and so a remote, knows a file by its path below the workspace: the same on every machine.
The author may stand in another directory, and editors want to open what is named.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chains_protocol.errors import Diagnostic, DiagnosticsError


def in_workspace(diagnostic: Diagnostic, workspace: str | Path) -> Diagnostic:
    """With the whole path of its place, if that is a file of the workspace."""
    place = diagnostic.location
    if place is None:
        return diagnostic
    path = Path(workspace) / place.path  # an absolute one stays what it is
    if Path(place.path).is_absolute() or not path.exists():
        return diagnostic
    return diagnostic.model_copy(update={"location": place.model_copy(update={"path": str(path)})})


@contextmanager
def places_in(workspace: str | Path) -> Iterator[None]:
    """What is raised in the block names places as `in_workspace` does."""
    try:
        yield
    except DiagnosticsError as error:
        raise DiagnosticsError([in_workspace(found, workspace) for found in error.diagnostics]) from error


__all__ = ["in_workspace", "places_in"]
