"""Exceptions of the user's code while loading -> diagnostics that show only the user's own lines.

Paths in them are the author's, if the launch told where the author's workspace is.
"""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Location
from chains_protocol.rpc import RemoteErrorDetail

_OURS: Final = ("truss_chains", "chains_runtime", "chains_protocol", "chains_analysis")


@dataclass(frozen=True)
class UserPaths:
    """Package path -> the author's path. `roots` are the source roots of the live generations."""

    user_root: str

    def shown(self, filename: str, roots: Sequence[Path]) -> str:
        """The path to show for a file of the workspace; others stay as they are."""
        if self.user_root:
            for root in roots:
                prefix = f"{root}/"
                if filename.startswith(prefix):
                    return f"{self.user_root.rstrip('/')}/{filename.removeprefix(prefix)}"
        return filename

    def text(self, text: str, roots: Sequence[Path]) -> str:
        """A text, such as a traceback, with the paths to show."""
        if self.user_root:
            for root in roots:
                text = text.replace(f"{root}/", f"{self.user_root.rstrip('/')}/")
        return text

    def detail(self, detail: RemoteErrorDetail, roots: Sequence[Path]) -> RemoteErrorDetail:
        """The same error with the author's paths."""
        if not self.user_root:
            return detail
        frames = [
            frame.model_copy(update={"filename": self.shown(frame.filename, roots)})
            for frame in detail.user_stack_trace
        ]
        return detail.model_copy(update={"user_stack_trace": frames})


def load_failure(
    error: BaseException, *, chainlet: str, paths: UserPaths, roots: Sequence[Path]
) -> tuple[Diagnostic, ...]:
    """What to say about an exception that code of the user raised while it was loaded (CH501)."""
    if isinstance(error, DiagnosticsError):
        return error.diagnostics
    return (
        Diagnostic(
            code=Code.INIT_FAILED,
            message=f"`{chainlet}` could not be loaded: {type(error).__name__}: {_first_line(error)}",
            location=_location(error, paths, roots),
            detail=user_traceback(error, paths, roots),
            chainlet=chainlet,
            help="correct the code at this place, then save or push it again",
        ),
    )


def user_traceback(error: BaseException, paths: UserPaths, roots: Sequence[Path]) -> str:
    """The traceback as Python prints it, without our frames, with the author's paths."""
    shown = traceback.TracebackException.from_exception(error)
    seen: set[int] = set()
    pending: list[traceback.TracebackException | None] = [shown]
    modules = _framework_files()
    while pending:
        part = pending.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        pending += [part.__cause__, part.__context__, *(part.exceptions or ())]
        frames = _users(part.stack, modules, roots)
        for frame in frames:
            _ = frame.line  # read now, under the name the source is known by
            frame.filename = paths.shown(frame.filename, roots)
        part.stack = traceback.StackSummary.from_list(frames)
        if isinstance(error, SyntaxError) and part.filename:
            part.filename = paths.shown(part.filename, roots)
    return "".join(shown.format()).rstrip("\n")


def _users(
    stack: traceback.StackSummary, ours: tuple[str, ...], roots: Sequence[Path]
) -> list[traceback.FrameSummary]:
    """From the first line of the workspace on, without what is ours."""
    workspace = tuple(f"{root}/" for root in roots)
    first = next((i for i, frame in enumerate(stack) if frame.filename.startswith(workspace)), 0)
    return [frame for frame in stack[first:] if not frame.filename.startswith(ours)]


def _framework_files() -> tuple[str, ...]:
    here = Path(__file__).resolve().parent.parent
    return (*(f"{here / name}/" for name in _OURS), "<frozen importlib")


def _first_line(error: BaseException) -> str:
    text = str(error)
    return text.splitlines()[0] if text else ""


def _location(error: BaseException, paths: UserPaths, roots: Sequence[Path]) -> Location | None:
    """The innermost place in the user's own files."""
    prefixes = tuple(f"{root}/" for root in roots)
    if isinstance(error, SyntaxError) and error.filename and error.filename.startswith(prefixes):
        line = error.text.rstrip("\n") if error.text else None
        column = error.offset if error.offset and error.offset > 0 else None
        return Location(
            path=paths.shown(error.filename, roots), line=error.lineno, column=column, source_line=line
        )
    found: Location | None = None
    for frame in traceback.extract_tb(_tb(error)):
        if frame.filename.startswith(prefixes):
            found = Location(
                path=paths.shown(frame.filename, roots), line=frame.lineno, source_line=frame.line or None
            )
    return found


def _tb(error: BaseException) -> TracebackType | None:
    return error.__traceback__


__all__ = ["UserPaths", "load_failure", "user_traceback"]
