"""Which directories a chain is made of, and what is ignored below them."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

from chains_cli.packaging.ignore import TRUSS_IGNORE, is_environment, workspace_rules
from chains_cli.watching.loop import distinct_roots
from chains_cli.watching.snapshot import IgnoreRule, WatchRoot
from chains_protocol.spec import ChainSpec


def watch_roots(spec: ChainSpec, home: Path) -> tuple[WatchRoot, ...]:
    """The workspace and every directory outside of it that feeds a package (P-03).

    Args:
        spec: the Chain.
        home: the platform's state, which is ignored if it lies inside.
    """
    existing = (path.resolve() for path in _directories(spec))
    return tuple(
        WatchRoot(root, ignore_rule(root, home)) for root in distinct_roots(p for p in existing if p.is_dir())
    )


def _directories(spec: ChainSpec) -> Iterator[Path]:
    yield Path(spec.workspace)
    yield Path(spec.source).parent
    for found in spec.chainlets:
        sources = found.sources
        yield from map(Path, sources.external_package_dirs)
        yield from (Path(d) for d in (sources.data_dir, sources.truss_dir) if d)
        yield from (Path(f).parent for f in (sources.requirements_file, sources.mock_file) if f)


def ignore_rule(root: Path, home: Path) -> IgnoreRule:
    """The rules of packaging, relative to `root` (P-04); environments and our own state besides."""
    rules = workspace_rules(root)

    @cache
    def is_hidden_directory(relative: str) -> bool:
        here = root / relative
        if here == home or is_environment(here):
            return True
        parent = PurePosixPath(relative).parent.as_posix()
        return parent != "." and is_hidden_directory(parent)

    def is_ignored(relative: str) -> bool:
        if relative == TRUSS_IGNORE:
            return False  # it says what the packages hold
        if rules.match_file(relative):
            return True
        path = PurePosixPath(relative)
        directory = path.as_posix() if relative.endswith("/") else path.parent.as_posix()
        return directory != "." and is_hidden_directory(directory)

    return is_ignored


__all__ = ["ignore_rule", "watch_roots"]
