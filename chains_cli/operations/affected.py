"""Which Chainlets the changes since a commit reach, for people and for CI. Checks nothing out."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chains_analysis import AnalysisCache, Reason, SourceTree
from chains_cli.events import Report
from chains_cli.exits import Exit
from chains_cli.operations.other_files import OtherFiles
from chains_cli.operations.revision import Revision, short_revision, unknown_revision
from chains_cli.operations.source import SourceOptions, read_chain
from chains_cli.operations.why import Impact, impact, source_tree, with_reasons
from chains_cli.packaging.reader import WorkspaceReader
from chains_cli.settings import Settings
from chains_protocol.errors import DiagnosticsError
from chains_protocol.patch import Action
from chains_protocol.spec import ChainletSpec, ChainSpec


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
            raise unknown_revision(workspace, since, environ)
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
    reader = WorkspaceReader(workspace)
    cache = AnalysisCache()
    then = Revision(revision, environ)
    changed = then.changed_paths(workspace)
    found = []
    for chainlet in chain.chainlets:
        spec = chainlet.spec
        if spec.mock is not None:
            continue
        after = source_tree(chainlet, reader)
        roots = (workspace, *map(Path, chainlet.sources.external_package_dirs))
        before = SourceTree({path: data for root in roots for path, data in then.tree(root, after).items()})
        judged = _judged(spec, before, after, revision, cache)
        others = [path for path in changed if path.suffix != ".py"]
        found.append(with_reasons(judged, OtherFiles(chainlet, reader).reasons(others)))
    return tuple(found)


def _judged(
    spec: ChainletSpec, before: SourceTree, after: SourceTree, revision: str, cache: AnalysisCache
) -> Impact:
    name = f"{spec.module.replace('.', '/')}.py"
    try:
        return impact(spec, before, after, name, cache)
    except DiagnosticsError as error:  # the files as they are were read by discovery already
        text = f"what ran at {revision} can't be told: {error.diagnostics[0].message}"
        reason = Reason(spec.class_name, spec.file, spec.line, (), text, Action.RESTARTED)
        return Impact(spec.display_name, True, Action.RESTARTED, (reason,))


__all__ = ["AffectedChain", "AffectedResult", "affected"]
