"""The packages of a Chain after a save, without running user code and with as little work as possible."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chains_analysis import AnalysisCache
from chains_analysis.imports import ImportFacts
from chains_cli.packaging.package import ChainPackages, Package
from chains_cli.packaging.reader import Content, ContentCache, WorkspaceReader
from chains_cli.packaging.sources import SourceCollector
from chains_protocol.digest import tree_digest
from chains_protocol.manifest import SOURCE_DIR, FileEntry, PackageManifest
from chains_protocol.spec import ChainSpec, DiscoveredChainlet

_PREFIX = f"{SOURCE_DIR}/"

Build = Callable[[ChainSpec, WorkspaceReader], ChainPackages]
"""Builds all packages from nothing: `chains_cli.packaging.build_packages`."""


class AnalysedContents(ContentCache):
    """Files read so far, parsed by the analysis, which needs them anyway: each content is parsed once."""

    def __init__(self, analysis: AnalysisCache) -> None:
        super().__init__()
        self._analysis = analysis

    def facts(self, path: str, source: bytes) -> ImportFacts:
        """What the file imports. Raises CH152."""
        return self._analysis.imports(path, source)


@dataclass(frozen=True, slots=True)
class _Known:
    """What a full build saw: if it is the same now, only source files can differ."""

    spec: ChainSpec
    paths: tuple[str, ...]
    imports: Mapping[str, tuple[str, ...]]


class Rebuilder:
    """Builds packages, one round after the other; contents are read and parsed once."""

    def __init__(self, build: Build, analysis: AnalysisCache | None = None) -> None:
        self.analysis = analysis or AnalysisCache()
        self._build = build
        self._cache = AnalysedContents(self.analysis)
        self._known: _Known | None = None

    def full(self, spec: ChainSpec) -> ChainPackages:
        """Everything anew.

        Raises:
            DiagnosticsError: CH152, CH2xx.
        """
        reader = self._reader(spec)
        packages = self._build(spec, reader)
        collector = SourceCollector(reader)
        imports = {f.spec.display_name: _imports(collector, f) for f in spec.chainlets if _has_files(f)}
        self._known = _Known(spec, reader.paths, imports)
        return packages

    def quick(self, spec: ChainSpec, packages: ChainPackages, changed: Iterable[Path]) -> ChainPackages:
        """Replace the source files in `packages`; `full` if anything else may differ.

        Args:
            spec: the Chain, as it was read last.
            packages: what was built from it last.
            changed: the files that changed since.

        Raises:
            DiagnosticsError: CH152, CH2xx.
        """
        reader = self._reader(spec)
        known = self._known
        only_source = all(path.suffix == ".py" for path in changed)
        if known is None or not only_source or known.spec != spec or known.paths != reader.paths:
            return self.full(spec)
        collector = SourceCollector(reader)
        rebuilt: list[Package] = []
        for found, package in zip(spec.chainlets, packages, strict=True):
            name = found.spec.display_name
            if not _has_files(found):
                rebuilt.append(package)
                continue
            source = collector.collect(found)
            if source.imports != known.imports.get(name) or source.secret or not source.files:
                return self.full(spec)
            rebuilt.append(_with_source(package, source.files))
        return ChainPackages(packages.chain_name, packages.entrypoint, tuple(rebuilt), packages.notes)

    def _reader(self, spec: ChainSpec) -> WorkspaceReader:
        return WorkspaceReader(Path(spec.workspace), self._cache)


def _has_files(found: DiscoveredChainlet) -> bool:
    """Whether its package holds files of the workspace that a save of Python files can change."""
    is_auto = found.spec.mock is not None and found.spec.mock.kind == "auto"
    return not is_auto and found.sources.truss_dir is None and found.spec.engine is None


def _imports(collector: SourceCollector, found: DiscoveredChainlet) -> tuple[str, ...]:
    return collector.collect(found).imports


def _with_source(package: Package, source: Mapping[str, Content]) -> Package:
    """The package with other source files; what did not change is neither hashed nor copied."""
    entries = {e.path: e for e in package.manifest.files if not e.path.startswith(_PREFIX)}
    files = {path: package.files[path] for path in entries}
    for path, content in source.items():
        entries[_PREFIX + path] = FileEntry(
            path=_PREFIX + path, digest=content.digest, size_bytes=len(content.data)
        )
        files[_PREFIX + path] = content.data
    ordered = tuple(entries[path] for path in sorted(entries))
    digest = tree_digest({entry.path: entry.digest for entry in ordered})
    if digest == package.manifest.digest:
        return package
    manifest = PackageManifest(
        digest=digest, files=ordered, spec=package.manifest.spec, environment=package.manifest.environment
    )
    return Package({path: files[path] for path in sorted(files)}, manifest)


__all__ = ["AnalysedContents", "Build", "Rebuilder"]
