"""Which Chainlets the changes since a commit reach, for people and for CI. Checks nothing out."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chains_analysis import AnalysisCache, Reason, SourceTree
from chains_cli.events import Report
from chains_cli.exits import Exit
from chains_cli.operations.source import SourceOptions, read_chain
from chains_cli.operations.why import Impact, git, impact, short_revision, unknown_revision
from chains_cli.packaging.reader import WorkspaceReader
from chains_cli.settings import Settings
from chains_protocol.patch import Action
from chains_protocol.spec import ChainletSpec, ChainSpec, LocalSources


@dataclass(frozen=True, slots=True)
class AffectedChain:
    """One Chain; `chainlets` has an entry each, dependencies first."""

    chain: str
    source: str
    chainlets: tuple[Impact, ...]


@dataclass(frozen=True, slots=True)
class AffectedResult:
    """All Chains that were asked about; `affected` are `CHAIN/CHAINLET`, in order."""

    since: str
    chains: tuple[AffectedChain, ...]
    affected: tuple[str, ...] = ()
    exit_code: int = Exit.OK


def affected(
    sources: Sequence[Path],
    settings: Settings,
    *,
    since: str,
    use_exit_code: bool,
    options: SourceOptions,
    report: Report,
    environ: Mapping[str, str] = os.environ,
) -> AffectedResult:
    """Judge the difference between the commit `since` and the files as they are now.

    Args:
        sources: files that declare Chains.
        use_exit_code: status 1 if any Chainlet is affected.
        since: a commit.

    Raises:
        DiagnosticsError: CH1xx; CH306 if git does not know `since`.
    """
    chains = []
    shown = since
    for source in sources:
        chain = read_chain(source, None, settings, options=options, report=report, environ=environ)
        workspace = Path(chain.workspace)
        found = short_revision(workspace, since, environ)
        if found is None:
            raise unknown_revision(since)
        shown = found
        chains.append(
            AffectedChain(chain.chain_name, str(source), _impacts(chain, workspace, found, environ))
        )
    names = tuple(
        f"{c.chain}/{i.display_name}" for c in chains for i in c.chainlets if i.action is not Action.UNCHANGED
    )
    code = Exit.INVALID if use_exit_code and names else Exit.OK
    return AffectedResult(shown, tuple(chains), names, code)


def _impacts(
    chain: ChainSpec, workspace: Path, revision: str, environ: Mapping[str, str]
) -> tuple[Impact, ...]:
    before = SourceTree(_python_files(workspace, revision, environ))
    after = WorkspaceReader(workspace).tree
    cache = AnalysisCache()
    found = []
    for chainlet in chain.chainlets:
        spec = chainlet.spec
        if spec.mock is not None:
            continue
        name = f"{spec.module.replace('.', '/')}.py"
        judged = impact(spec, before, after, name, cache)
        assets = tuple(_asset_reasons(spec, chainlet.sources, workspace, revision, environ))
        found.append(_with_reasons(judged, assets))
    return tuple(found)


def _with_reasons(judged: Impact, more: tuple[Reason, ...]) -> Impact:
    action = judged.action
    for reason in more:
        action = action.at_least(reason.action)
    return replace(judged, action=action, reasons=(*more, *judged.reasons))


def _asset_reasons(
    spec: ChainletSpec, sources: LocalSources, workspace: Path, revision: str, environ: Mapping[str, str]
) -> Iterator[Reason]:
    """Requirements and data are no code: any difference rebuilds."""
    watched = (
        ("requirements", sources.requirements_file, "the requirements changed"),
        ("data", sources.data_dir, "the files of `data_dir` changed"),
    )
    for symbol, path, text in watched:
        if path and git(workspace, environ, "diff", "--quiet", revision, "--", path) is None:
            yield Reason(f"{spec.class_name}.{symbol}", spec.file, spec.line, (), text, Action.REBUILT)


def _python_files(workspace: Path, revision: str, environ: Mapping[str, str]) -> dict[str, bytes]:
    """The Python files below the workspace at a commit."""
    listed = git(workspace, environ, "ls-tree", "-r", "-z", revision, "--", ".") or b""
    entries = [
        entry.split("\t", 1) for entry in listed.decode("utf-8", "surrogateescape").split("\0") if entry
    ]
    blobs = {path: head.split()[2] for head, path in entries if path.endswith(".py") and " blob " in head}
    contents = _contents(workspace, list(blobs.values()), environ)
    return dict(zip(blobs, contents, strict=True))


def _contents(workspace: Path, blobs: list[str], environ: Mapping[str, str]) -> Iterator[bytes]:
    """The bytes of git's blobs, in order; one process for all."""
    done = subprocess.run(
        ["git", "-C", str(workspace), "cat-file", "--batch"],
        env=dict(environ),
        input="".join(f"{blob}\n" for blob in blobs).encode(),
        capture_output=True,
        check=True,
    )
    rest = memoryview(done.stdout)
    position = 0
    for _ in blobs:
        end = done.stdout.index(b"\n", position)
        size = int(done.stdout[position:end].split()[2])
        yield bytes(rest[end + 1 : end + 1 + size])
        position = end + size + 2


__all__ = ["AffectedChain", "AffectedResult", "affected"]
