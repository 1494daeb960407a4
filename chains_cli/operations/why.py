"""What a file, or one line of it, means to a chain: which Chainlets it reaches, and what an edit needs."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chains_analysis import (
    AnalysisCache,
    ChainletRef,
    Reason,
    SourceTree,
    Spot,
    closure,
    judge,
    line_count,
    spot_at,
)
from chains_cli.events import Report
from chains_cli.exits import Exit
from chains_cli.operations.other_files import OtherFiles
from chains_cli.operations.revision import git, short_revision, unknown_revision
from chains_cli.operations.source import SourceOptions, read_chain
from chains_cli.packaging.reader import WorkspaceReader
from chains_cli.settings import Settings
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Location
from chains_protocol.patch import Action
from chains_protocol.spec import ChainletSpec, ChainSpec, DiscoveredChainlet


@dataclass(frozen=True, slots=True)
class Impact:
    """What the file means to one Chainlet: whether it is in its package, and what the edit needs."""

    display_name: str
    reaches: bool
    action: Action
    reasons: tuple[Reason, ...] = ()
    needs_discovery: bool = False


@dataclass(frozen=True, slots=True)
class AskedLine:
    """The line that was asked about, and the symbol there with its own lines; empty if there is none."""

    at: int
    symbol: str
    what: str
    line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class WhyResult:
    """One entry a Chainlet, dependencies first.

    `since` is None if there is no version to compare with. With `asked` the entries are about
    an edit of that line, not about one that was made.
    """

    chain: str
    file: str
    since: str | None
    edited: bool
    chainlets: tuple[Impact, ...]
    asked: AskedLine | None = None
    exit_code: int = Exit.OK


def file_and_line(text: str, cwd: Path) -> tuple[str, int | None]:
    """`FILE:LINE` or `FILE:LINE:COLUMN`, as other tools print places; a file of that very name wins."""
    found = re.fullmatch(r"(.+?):(\d+)(?::\d+)?:?", text)
    if found is None or (cwd / text).exists():
        return text, None
    return found[1], int(found[2])


def why(
    file: Path,
    source: Path,
    entrypoint: str | None,
    settings: Settings,
    *,
    options: SourceOptions,
    since: str | None,
    report: Report,
    line: int | None = None,
    environ: Mapping[str, str] = os.environ,
) -> WhyResult:
    """Judge the difference between `file` now and at the commit `since`, all else as it is now.

    Args:
        file: a file of the chain's workspace, or of an external package directory of its.
        source: the file that declares the chain.
        since: a commit; None means the last one, if there is a repository.
        line: judge an edit of this line instead; the first is 1.

    Raises:
        DiagnosticsError: CH1xx; CH202 if the file or line is not there or not part of the chain,
            CH306 if git does not know `since`.
    """
    chain = read_chain(source, entrypoint, settings, options=options, report=report, environ=environ)
    reader = WorkspaceReader(Path(chain.workspace))
    place = _place_in(chain, file)
    asking = _Asking(chain, reader, place)
    if line is not None:
        return asking.about_line(line)
    former = _former(place.root, place.name, since, environ)
    if former is None and not file.exists():
        raise DiagnosticsError([_not_there(file)])
    return asking.about_edit(former)


@dataclass(frozen=True, slots=True)
class _Place:
    """A file below the workspace or an external package directory; `name` is as packages have it."""

    file: Path
    root: Path
    name: str


@dataclass(frozen=True, slots=True)
class _Former:
    """A file at a commit; `content` None: it did not exist."""

    revision: str
    content: bytes | None


class _Asking:
    """One question about one file."""

    def __init__(self, chain: ChainSpec, reader: WorkspaceReader, place: _Place) -> None:
        self._chain = chain
        self._reader = reader
        self._place = place
        self._cache = AnalysisCache()

    def about_edit(self, former: _Former | None) -> WhyResult:
        """The edit since a commit."""
        now = self._place.file.read_bytes() if self._place.file.is_file() else None
        before = now if former is None else former.content
        since = former.revision if former is not None else None
        return self._result(before, now, since=since, asked=None)

    def about_line(self, line: int) -> WhyResult:
        """An edit of one line. Raises CH202 if there is no such line."""
        file = self._place.file
        if not file.is_file():
            raise DiagnosticsError([_not_there(file)])
        now = file.read_bytes()
        if not 1 <= line <= line_count(now):
            raise DiagnosticsError([_no_line(self._place.name, line, line_count(now))])
        if file.suffix == ".py":
            spot = spot_at(SourceTree({self._place.name: now}), self._place.name, line)
        else:
            spot = Spot("", "a line of a file that is no Python", line, line, now + b"\n")
        asked = AskedLine(line, spot.symbol, spot.what, spot.line, spot.end_line)
        return self._result(now, spot.edited or now, since=None, asked=asked)

    def _result(
        self, before: bytes | None, after: bytes | None, *, since: str | None, asked: AskedLine | None
    ) -> WhyResult:
        impacts = tuple(
            self._impact(found, before, after) for found in self._chain.chainlets if found.spec.mock is None
        )
        edited = before != after
        return WhyResult(self._chain.chain_name, self._place.name, since, edited, impacts, asked)

    def _impact(self, found: DiscoveredChainlet, before: bytes | None, after: bytes | None) -> Impact:
        name = self._place.name
        if not name.endswith(".py"):
            others = OtherFiles(found, self._reader)
            reasons = others.reasons([self._place.file]) if before != after else ()
            reaches = others.has(self._place.file)
            return with_reasons(Impact(found.spec.display_name, reaches, Action.UNCHANGED), reasons)
        tree = source_tree(found, self._reader)
        old, new = (_with(tree, name, content) for content in (before, after))
        return impact(found.spec, old, new, name, self._cache)


def source_tree(found: DiscoveredChainlet, reader: WorkspaceReader) -> SourceTree:
    """The Python files that a Chainlet's imports can find: the workspace's, and its external directories'."""
    files = dict(reader.tree.files)
    for directory in found.sources.external_package_dirs:
        contents = reader.directory(Path(directory)).items()
        files.update({path: content.data for path, content in contents if path.endswith(".py")})
    return SourceTree(files) if found.sources.external_package_dirs else reader.tree


def with_reasons(judged: Impact, more: tuple[Reason, ...]) -> Impact:
    """The same with more reasons, and so perhaps a heavier action."""
    action = judged.action
    for reason in more:
        action = action.at_least(reason.action)
    reasons = (*more, *judged.reasons)
    return Impact(judged.display_name, judged.reaches, action, reasons, judged.needs_discovery)


def _place_in(chain: ChainSpec, file: Path) -> _Place:
    path = Path(os.path.realpath(file))
    roots = [chain.workspace, *(d for c in chain.chainlets for d in c.sources.external_package_dirs)]
    for one in roots:
        root = Path(os.path.realpath(one))
        if path.is_relative_to(root):
            return _Place(path, root, path.relative_to(root).as_posix())
    others = (p for c in chain.chainlets for p in (c.sources.data_dir, c.sources.requirements_file) if p)
    if any(path.is_relative_to(os.path.realpath(other)) for other in others):
        return _Place(path, path.parent, path.name)
    diagnostic = Diagnostic(
        code=Code.PATH_NOT_FOUND,
        message=f"`{file}` is not part of the chain's workspace `{chain.workspace}`",
        help="name a file below that directory; `--source` names the file that declares the chain",
    )
    raise DiagnosticsError([diagnostic])


def _not_there(file: Path) -> Diagnostic:
    return Diagnostic(
        code=Code.PATH_NOT_FOUND,
        message=f"there is no file `{file}`",
        help="name a file of the chain, or one that the commit of `--since` has",
    )


def _no_line(name: str, line: int, count: int) -> Diagnostic:
    return Diagnostic(
        code=Code.PATH_NOT_FOUND,
        message=f"`{name}` has {count} lines, so there is no line {line}",
        location=Location(path=name),
        help="name a line of the file; the first is 1",
    )


def _former(root: Path, name: str, since: str | None, environ: Mapping[str, str]) -> _Former | None:
    shown = short_revision(root, since or "HEAD", environ)
    if shown is None:
        if since is None:
            return None
        raise unknown_revision(root, since, environ)
    return _Former(shown, git(root, environ, "show", f"{shown}:./{name}"))


def _with(tree: SourceTree, name: str, content: bytes | None) -> SourceTree:
    if tree.files.get(name) == content:
        return tree
    files = {path: data for path, data in tree.files.items() if path != name}
    return SourceTree(files if content is None else {**files, name: content})


def impact(
    spec: ChainletSpec, before: SourceTree, after: SourceTree, name: str, cache: AnalysisCache
) -> Impact:
    """What the step between two trees means to one Chainlet; `name` is the file that is asked about."""
    ref = ChainletRef(spec.display_name, spec.module, spec.qualname, spec.endpoint.method_name)
    old, new = (_closure(tree, spec.module) for tree in (before, after))
    verdict = judge(old, new, ref, cache)
    reaches = name in old.files or name in new.files
    return Impact(spec.display_name, reaches, verdict.action, verdict.reasons, verdict.needs_discovery)


def _closure(tree: SourceTree, module: str) -> SourceTree:
    return tree.restricted_to(closure(tree, [module]).files)


__all__ = [
    "AskedLine",
    "Impact",
    "WhyResult",
    "file_and_line",
    "impact",
    "source_tree",
    "why",
    "with_reasons",
]
