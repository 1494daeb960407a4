"""What a file means to a chain: which Chainlets it reaches, and what its edit since a commit needs."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chains_analysis import AnalysisCache, ChainletRef, Reason, SourceTree, closure, judge
from chains_cli.events import Report
from chains_cli.exits import Exit
from chains_cli.operations.source import SourceOptions, read_chain
from chains_cli.packaging.reader import WorkspaceReader
from chains_cli.settings import Settings
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.patch import Action
from chains_protocol.spec import ChainletSpec


@dataclass(frozen=True, slots=True)
class Impact:
    """What the file means to one Chainlet: whether it can load it, and what the edit needs."""

    display_name: str
    reaches: bool
    action: Action
    reasons: tuple[Reason, ...] = ()
    needs_discovery: bool = False


@dataclass(frozen=True, slots=True)
class WhyResult:
    """One entry a Chainlet, dependencies first. `since` is None if there is no version to compare with."""

    chain: str
    file: str
    since: str | None
    edited: bool
    chainlets: tuple[Impact, ...]
    exit_code: int = Exit.OK


def why(
    file: Path,
    source: Path,
    entrypoint: str | None,
    settings: Settings,
    *,
    options: SourceOptions,
    since: str | None,
    report: Report,
    environ: Mapping[str, str] = os.environ,
) -> WhyResult:
    """Judge the difference between `file` now and at the commit `since`, all else as it is now.

    Args:
        file: a file of the chain's workspace.
        source: the file that declares the chain.
        since: a commit; None means the last one, if there is a repository.

    Raises:
        DiagnosticsError: CH1xx; CH202 if the file is not part of the workspace, CH306 if git
            does not know `since`.
    """
    chain = read_chain(source, entrypoint, settings, options=options, report=report, environ=environ)
    workspace = Path(chain.workspace)
    name = _name_in(workspace, file)
    after = WorkspaceReader(workspace).tree
    former = _former(workspace, name, since, environ)
    before = after if former is None else _with(after, name, former.content)
    cache = AnalysisCache()
    impacts = tuple(
        impact(found.spec, before, after, name, cache) for found in chain.chainlets if found.spec.mock is None
    )
    return WhyResult(chain.chain_name, name, former.revision if former else None, before != after, impacts)


@dataclass(frozen=True, slots=True)
class _Former:
    """A file at a commit; `content` None: it did not exist."""

    revision: str
    content: bytes | None


def _name_in(workspace: Path, file: Path) -> str:
    path = Path(os.path.realpath(file))
    root = Path(os.path.realpath(workspace))
    if path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    diagnostic = Diagnostic(
        code=Code.PATH_NOT_FOUND,
        message=f"`{file}` is not part of the chain's workspace `{workspace}`",
        help="name a file below that directory; `--source` names the file that declares the chain",
    )
    raise DiagnosticsError([diagnostic])


def _former(workspace: Path, name: str, since: str | None, environ: Mapping[str, str]) -> _Former | None:
    shown = short_revision(workspace, since or "HEAD", environ)
    if shown is None:
        if since is None:
            return None
        raise unknown_revision(since)
    return _Former(shown, git(workspace, environ, "show", f"{shown}:./{name}"))


def short_revision(workspace: Path, revision: str, environ: Mapping[str, str]) -> str | None:
    """The commit's short name; None if git does not know it, or is not there."""
    arguments = ("--verify", "--quiet", "--short", "--end-of-options", f"{revision}^{{commit}}")
    shown = git(workspace, environ, "rev-parse", *arguments)
    return shown.decode().strip() if shown is not None else None


def unknown_revision(since: str) -> DiagnosticsError:
    """CH306."""
    diagnostic = Diagnostic(
        code=Code.BAD_REQUEST,
        message=f"git knows no commit `{since}` here",
        help="name a commit, a branch or a tag of the repository that holds the chain",
    )
    return DiagnosticsError([diagnostic])


def git(workspace: Path, environ: Mapping[str, str], *arguments: str) -> bytes | None:
    """What git answers; None if it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", "-C", str(workspace), *arguments],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _with(tree: SourceTree, name: str, content: bytes | None) -> SourceTree:
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


__all__ = ["Impact", "WhyResult", "git", "impact", "short_revision", "unknown_revision", "why"]
