"""`build_packages` and `PackageBuilder`: ChainSpec -> ChainPackages."""

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from chains_cli.packaging import findings
from chains_cli.packaging.config import (
    CONSTRAINTS_FILE,
    REQUIREMENTS_FILE,
    config_context,
    model_context,
)
from chains_cli.packaging.distributions import implicit_requirements
from chains_cli.packaging.ignore import looks_secret
from chains_cli.packaging.package import ChainPackages, Package, make_package
from chains_cli.packaging.reader import Content, ContentCache, WorkspaceReader
from chains_cli.packaging.render import Renderer, package_renderer
from chains_cli.packaging.requirements import (
    LockExport,
    RememberedExport,
    Requirements,
    export_uv_lock,
    is_truss,
    read_requirements,
    requirement_name,
)
from chains_cli.packaging.runtime_source import RUNTIME_REQUIREMENTS, runtime_files
from chains_cli.packaging.sources import SourceCollector, SourceFiles
from chains_protocol.errors import Diagnostic, DiagnosticsError, Severity, sort_diagnostics
from chains_protocol.manifest import SOURCE_DIR, SPEC_FILE, EnvironmentSpec
from chains_protocol.spec import ChainletKind, ChainletSpec, ChainSpec, DiscoveredChainlet

Target = Literal["process", "truss"]
"""`process`: our own replicas, which bring our runtime. `truss`: any Truss server; all is in the package."""

DATA_DIR: Final = "data"
_LARGE_BYTES: Final = 10_000_000
_KEEP: Final = f"{SOURCE_DIR}/.keep"


def build_packages(
    spec: ChainSpec,
    *,
    reader: WorkspaceReader | None = None,
    target: Target = "process",
    export_lock: LockExport | None = None,
) -> ChainPackages:
    """Build the package of every Chainlet, once. See `PackageBuilder.build`."""
    return PackageBuilder(target, export_lock).build(spec, reader)


class PackageBuilder:
    """Builds packages again and again, as a watch session does: only what changed is read and parsed."""

    def __init__(self, target: Target = "process", export_lock: LockExport | None = None) -> None:
        """Make a builder; nothing is read yet.

        Args:
            target: what the packages are made for.
            export_lock: how a `uv.lock` becomes requirement lines; None runs `uv export`.
        """
        self._target: Target = target
        self._cache = ContentCache()
        self._renderer = package_renderer()
        self._export_lock = RememberedExport(export_lock or export_uv_lock)

    def reader(self, workspace: Path) -> WorkspaceReader:
        """A reader of the workspace as it is now."""
        return WorkspaceReader(workspace, self._cache)

    def build(self, spec: ChainSpec, reader: WorkspaceReader | None = None) -> ChainPackages:
        """Build the package of every Chainlet.

        Args:
            spec: the Chain.
            reader: reads the workspace; None makes one.

        Raises:
            DiagnosticsError: CH152 or CH201 to CH210, all of them at once, sorted by place.
        """
        reader = reader or self.reader(Path(spec.workspace))
        return _Build(spec, reader, self._target, self._export_lock, self._renderer).run()


class _Build:
    """One run of a builder: what the packages of one Chain share."""

    def __init__(
        self,
        spec: ChainSpec,
        reader: WorkspaceReader,
        target: Target,
        export_lock: LockExport,
        renderer: Renderer,
    ) -> None:
        self._spec = spec
        self._reader = reader
        self._target = target
        self._export_lock = export_lock
        self._sources = SourceCollector(reader)
        self._renderer = renderer
        self._findings = findings.Findings()
        self._problems: list[Diagnostic] = []

    def run(self) -> ChainPackages:
        problems = self._problems
        packages: list[Package] = []
        for found in self._spec.chainlets:
            try:
                packages.append(self._package(found))
            except DiagnosticsError as error:
                problems += [d for d in error.diagnostics if d not in problems]
        if problems:
            raise DiagnosticsError(sort_diagnostics(problems))
        return ChainPackages(
            chain_name=self._spec.chain_name,
            entrypoint=self._spec.chainlet(self._spec.entrypoint).spec.display_name,
            packages=tuple(packages),
            notes=_each_once([*self._reader.notes, *self._findings.notes()]),
        )

    def _package(self, found: DiscoveredChainlet) -> Package:
        kind = found.spec.kind if found.spec.mock is None else ChainletKind.CHAINLET
        if kind is ChainletKind.ENGINE_BUILDER and self._target == "process":
            raise DiagnosticsError([findings.unsupported(found)])
        if kind is ChainletKind.TRUSS:
            package = self._wrapped_truss(found)
        elif kind is ChainletKind.ENGINE_BUILDER:
            package = self._engine(found)
        else:
            package = self._ordinary(found)
        if package.size_bytes > _LARGE_BYTES:
            self._findings.large(package)
        return package

    def _ordinary(self, found: DiscoveredChainlet) -> Package:
        spec = found.spec
        source = self._source(found)
        requirements = self._requirements(found, source)
        environment = self._environment(spec, requirements)
        data = self._data(found)
        files = {
            "config.yaml": Content(self._renderer.config(config_context(spec, environment.python_version))),
            SPEC_FILE: Content(canonical_json(spec)),
            "model/__init__.py": Content(b""),
            "model/model.py": Content(self._renderer.model(model_context(spec))),
            REQUIREMENTS_FILE: Content(_lines(requirements.all_lines)),
            **{f"{SOURCE_DIR}/{path}": content for path, content in source.files.items()},
            **data,
        }
        if requirements.constraints:
            files[CONSTRAINTS_FILE] = Content(_lines(requirements.constraints))
        if self._target == "truss":
            files.update({f"{SOURCE_DIR}/{path}": content for path, content in self._runtime.items()})
        if not any(path.startswith(f"{SOURCE_DIR}/") for path in files):
            files[_KEEP] = Content(b"")
        self._alike(files)
        origins = {f"{SOURCE_DIR}/{path}": why for path, why in source.origins.items()}
        origins |= dict.fromkeys(data, f"below `data_dir`, `{found.sources.data_dir}`")
        return make_package(files, spec, environment, _with_generated(origins, files))

    def _alike(self, paths: Iterable[str]) -> None:
        """A Truss is built into an image, where case counts; a platform may run anywhere."""
        groups = tuple(findings.names_alike(paths))
        if self._target == "truss":
            self._findings.alike(groups)
        else:
            found = [findings.alike(group, Severity.ERROR) for group in groups]
            self._problems += [d for d in found if d not in self._problems]

    @cached_property
    def _runtime(self) -> Mapping[str, Content]:
        return runtime_files()

    def _source(self, found: DiscoveredChainlet) -> SourceFiles:
        """No file for an automatic mock: it answers from the schema alone."""
        if found.spec.mock is not None and found.spec.mock.kind == "auto":
            return SourceFiles({})
        source = self._sources.collect(found)
        forbidden = findings.forbidden_names(found, source, self._target, self._reader.paths)
        self._problems += [d for d in forbidden if d not in self._problems]
        self._findings.widened(source.closure)
        self._findings.secret(source.secret)
        self._findings.meant(source.meant)
        return source

    def _requirements(self, found: DiscoveredChainlet, source: SourceFiles) -> Requirements:
        declared = read_requirements(found, self._export_lock)
        # `truss` brings a `truss_chains` of its own, which would be found before ours
        lines = [line for line in declared.lines if not is_truss(line)]
        implicit = implicit_requirements(source.imports, declared.lines)
        for distribution, module in implicit.items():
            self._findings.implicit(distribution, module, found.spec.display_name)
        names = {requirement_name(line) for line in lines}
        lines += [line for line in implicit if requirement_name(line) not in names]
        if self._target == "truss":
            names |= set(implicit)
            lines += [line for line in RUNTIME_REQUIREMENTS if requirement_name(line) not in names]
            self._findings.unbound(declared.constraints, found.spec.display_name)
        return Requirements(tuple(sorted(lines)), declared.options, declared.constraints)

    def _environment(self, spec: ChainletSpec, requirements: Requirements | None = None) -> EnvironmentSpec:
        found = requirements or Requirements()
        version = spec.image.python_version or self._spec.python.version
        return EnvironmentSpec(
            python_version=version, requirements=found.all_lines, constraints=found.constraints
        )

    def _data(self, found: DiscoveredChainlet) -> dict[str, Content]:
        """The copy of `data_dir` (G-45); secret-looking files are left out."""
        directory = found.sources.data_dir
        if directory is None or found.spec.mock is not None:
            return {}
        files: dict[str, Content] = {}
        for path, content in self._reader.directory(Path(directory)).items():
            file = str(Path(directory).absolute() / path)
            if not looks_secret(path, content.head):
                files[f"{DATA_DIR}/{path}"] = content
            elif file in self._reader.named:
                self._findings.meant([file])
                files[f"{DATA_DIR}/{path}"] = content
            else:
                self._findings.secret([file])
        return files

    def _engine(self, found: DiscoveredChainlet) -> Package:
        """Only a config: the server's engine does the rest (G-04, G-21)."""
        spec = found.spec
        environment = self._environment(spec)
        config = Content(self._renderer.config(config_context(spec, environment.python_version)))
        files = {"config.yaml": config, SPEC_FILE: Content(canonical_json(spec))}
        return make_package(files, spec, environment, _with_generated({}, files))

    def _wrapped_truss(self, found: DiscoveredChainlet) -> Package:
        """A copy of the wrapped directory (G-60, G-61)."""
        from chains_cli.packaging.wrapped import TrussWrapper  # few Chains have one

        wrapper = TrussWrapper(
            reader=self._reader,
            renderer=self._renderer,
            workspace=Path(self._spec.workspace),
            python=self._spec.python.version,
            is_served_here=self._target == "process",
            export_lock=self._export_lock,
        )
        wrapped = wrapper.wrap(found)
        self._findings.secret(wrapped.secret)
        for distribution, module in wrapped.implicit.items():
            self._findings.implicit(distribution, module, found.spec.display_name)
        files = {**wrapped.files, SPEC_FILE: Content(canonical_json(wrapped.spec))}
        self._alike(files)
        return make_package(files, wrapped.spec, wrapped.environment, _with_generated(wrapped.origins, files))


def _with_generated(origins: Mapping[str, str], files: Iterable[str]) -> Mapping[str, str]:
    """Why each file is there: what has no reason of its own was made here."""
    return {path: origins.get(path) or _made(path) for path in files}


def _each_once(notes: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """A directory may be read twice: as a part of the workspace, and by its own path."""
    kept: list[Diagnostic] = []
    for note in notes:
        if note not in kept:
            kept.append(note)
    return tuple(kept)


def _made(path: str) -> str:
    return "the runtime, for a Truss server" if path.startswith(f"{SOURCE_DIR}/") else "generated"


def canonical_json(spec: ChainletSpec) -> bytes:
    """`chains.json`: sorted keys, no insignificant spaces, one newline at the end."""
    data = spec.model_dump(mode="json")
    return (json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


__all__ = ["DATA_DIR", "PackageBuilder", "Target", "build_packages", "canonical_json"]
