"""The packages of a Chain after a save, without running user code and with as little work as possible."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from chains_analysis import AnalysisCache, SourceTree
from chains_analysis.imports import ImportFacts
from chains_cli.packaging.package import ChainPackages, Package
from chains_cli.packaging.reader import Content, ContentCache, WorkspaceReader
from chains_cli.packaging.sources import SourceCollector, SourceFiles
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


class SameFilesReader(WorkspaceReader):
    """Reads a workspace that has the files it had before, some with other contents.

    Looking for files is what takes long in a large workspace; this does not.

    Args:
        origin: the reader that looked for the files.
    """

    def __init__(self, origin: WorkspaceReader) -> None:
        super().__init__(origin.root, origin.cache)
        self._origin = origin

    @property
    def paths(self) -> tuple[str, ...]:
        """All files, as before."""
        return self._origin.paths

    @cached_property
    def outline(self) -> SourceTree:
        """The paths of the Python files, as before."""
        return self._origin.outline

    def read(self, path: str) -> Content:
        """A file as it is now. Raises CH209."""
        return self._origin.read(path)


@dataclass(frozen=True, slots=True)
class _Known:
    """What a full build saw: if it is the same now, only source files can differ."""

    spec: ChainSpec
    reader: WorkspaceReader
    imports: Mapping[str, tuple[str, ...]]

    def has_the_same_files(self, changed: Iterable[Path]) -> bool:
        """Whether only Python files that were there before, outside wrapped Trusses, have other contents."""
        root, known = self.reader.root, self.reader.outline.files
        wrapped = [Path(f.sources.truss_dir) for f in self.spec.chainlets if f.sources.truss_dir]
        return all(
            path.is_relative_to(root)
            and path.relative_to(root).as_posix() in known
            and path.is_file()
            and not any(path.is_relative_to(directory) for directory in wrapped)
            for path in changed
        )


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
        self._known = None
        reader = WorkspaceReader(Path(spec.workspace), self._cache)
        packages = self._build(spec, reader)
        collector = SourceCollector(reader)
        imports = {
            f.spec.display_name: _foreign(collector.collect(f)) for f in spec.chainlets if _has_files(f)
        }
        self._known = _Known(spec, reader, imports)
        return packages

    def quick(self, spec: ChainSpec, packages: ChainPackages, changed: Iterable[Path]) -> ChainPackages:
        """Replace the source files in `packages`; `full` if anything else may differ.

        Args:
            spec: the Chain, as it was read last.
            packages: what was built from it last.
            changed: every file that changed since.

        Raises:
            DiagnosticsError: CH152, CH2xx.
        """
        known = self._known
        if known is None or known.spec != spec or not known.has_the_same_files(changed):
            return self.full(spec)
        collector = SourceCollector(SameFilesReader(known.reader))
        rebuilt: list[Package] = []
        for found, package in zip(spec.chainlets, packages, strict=True):
            name = found.spec.display_name
            if not _has_files(found):
                rebuilt.append(package)
                continue
            source = collector.collect(found)
            if _foreign(source) != known.imports.get(name) or source.secret or not source.files:
                return self.full(spec)
            rebuilt.append(_with_source(package, source.files))
        return ChainPackages(packages.chain_name, packages.entrypoint, tuple(rebuilt), packages.notes)


def _has_files(found: DiscoveredChainlet) -> bool:
    """Whether its package holds files of the workspace that a save of Python files can change."""
    is_auto = found.spec.mock is not None and found.spec.mock.kind == "auto"
    return not is_auto and found.sources.truss_dir is None and found.spec.engine is None


def _foreign(source: SourceFiles) -> tuple[str, ...]:
    """Imports that requirements have to provide."""
    return tuple(name for name in source.imports if name.partition(".")[0] not in sys.stdlib_module_names)


class _Replaced(Mapping[str, bytes]):
    """Files of a package with other source files; nothing is read before it is asked for."""

    def __init__(
        self, others: Mapping[str, bytes], source: Mapping[str, Content], paths: Iterable[str]
    ) -> None:
        self._others = others.others if isinstance(others, _Replaced) else others
        self._source = source
        self._paths = dict.fromkeys(paths)

    @property
    def others(self) -> Mapping[str, bytes]:
        """Where the files that are no source come from."""
        return self._others

    def __getitem__(self, path: str) -> bytes:
        if path not in self._paths:
            raise KeyError(path)
        if path.startswith(_PREFIX):
            return self._source[path.removeprefix(_PREFIX)].data
        return self._others[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def _with_source(package: Package, source: Mapping[str, Content]) -> Package:
    """The package with other source files; what did not change is neither read nor hashed."""
    before = {entry.path: entry for entry in package.manifest.files}
    entries = {path: entry for path, entry in before.items() if not path.startswith(_PREFIX)}
    for name, content in source.items():
        path = _PREFIX + name
        known = before.get(path)
        if known is None or known.digest != content.digest:
            known = FileEntry(path=path, digest=content.digest, size_bytes=len(content.data))
        entries[path] = known
    ordered = tuple(entries[path] for path in sorted(entries))
    digest = tree_digest({entry.path: entry.digest for entry in ordered})
    if digest == package.manifest.digest:
        return package
    manifest = PackageManifest(
        digest=digest, files=ordered, spec=package.manifest.spec, environment=package.manifest.environment
    )
    files = _Replaced(package.files, source, (entry.path for entry in ordered))
    return replace(package, files=files, manifest=manifest)


__all__ = ["AnalysedContents", "Build", "Rebuilder"]
