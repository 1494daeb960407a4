"""A workspace on disk, a development deployment in memory, and a session between them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chains_cli.packaging.build import build_packages
from chains_cli.packaging.package import ChainPackages, Package
from chains_cli.packaging.reader import WorkspaceReader
from chains_cli.planning.planner import ChainletChange
from chains_cli.watching.events import RoundFailed, RoundFinished, WatchEvent
from chains_cli.watching.rebuild import Rebuilder
from chains_cli.watching.session import WatchSession
from chains_protocol.control import PackageReply
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.manifest import PackageManifest
from chains_protocol.patch import Action, ChainletOutcome, PatchOutcome
from chains_protocol.spec import (
    ChainletSpec,
    ChainSpec,
    DependencySpec,
    DiscoveredChainlet,
    LocalSources,
    PythonSpec,
)

CHAIN = """\
import truss_chains as chains
from text import clean

LIMIT = 3


class Model(chains.ChainletBase):
    def __init__(self) -> None:
        self._size = LIMIT

    async def run_remote(self, text: str) -> str:
        return clean(text) * self._size


@chains.mark_entrypoint
class Glue(chains.ChainletBase):
    def __init__(self, model: Model = chains.depends(Model)) -> None:
        self._model = model

    async def run_remote(self, text: str) -> str:
        return "> " + await self._model.run_remote(text)
"""
TEXT = "def clean(text):\n    return text.strip()\n"


def chainlet(name: str, *needs: str, module: str = "chain", **fields: object) -> DiscoveredChainlet:
    sources = fields.pop("sources", LocalSources())
    spec = ChainletSpec(
        class_name=name,
        display_name=name,
        module=module,
        qualname=name,
        file=f"{module}.py",
        dependencies=tuple(DependencySpec(parameter=n.lower(), class_name=n, display_name=n) for n in needs),
        **fields,  # type: ignore[arg-type]  # the model checks them
    )
    assert isinstance(sources, LocalSources)
    return DiscoveredChainlet(spec=spec, sources=sources)


def chain(root: Path, *chainlets: DiscoveredChainlet, name: str = "Glue", python: str = "3.12") -> ChainSpec:
    found = chainlets or (chainlet("Model"), chainlet("Glue", "Model"))
    return ChainSpec(
        chain_name=name,
        entrypoint=found[-1].spec.class_name,
        workspace=str(root),
        source=str(root / "chain.py"),
        python=PythonSpec(executable="/usr/bin/python3", version=python),
        chainlets=found,
    )


def build(spec: ChainSpec, reader: WorkspaceReader) -> ChainPackages:
    return build_packages(spec, reader=reader)


@dataclass
class Deployment:
    """Takes every patch whose base is right, unless told to refuse the next one."""

    base: PackageReply
    applied: list[dict[str, Action]] = field(default_factory=list)
    refusal: tuple[Diagnostic, ...] = ()
    before_patch: Callable[[], None] | None = None
    given_up: int = 0

    sources: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """What the remote gives back of packages, by package digest; of others, nothing."""

    def running(self) -> PackageReply:
        return self.base

    def package(self, manifest: PackageManifest, known: Mapping[str, bytes]) -> Package:
        if manifest.digest not in self.sources:
            raise DiagnosticsError([Diagnostic(code=Code.BAD_REQUEST, message="there is no blob")])
        return Package(self.sources[manifest.digest], manifest)

    def patch(
        self, packages: ChainPackages, base: PackageReply, changes: Mapping[str, ChainletChange]
    ) -> PatchOutcome:
        if self.before_patch is not None:
            self.before_patch()
        if base != self.base:
            raise DiagnosticsError([Diagnostic(code=Code.STALE_BASE, message="something else runs")])
        if self.refusal:
            refusal, self.refusal = self.refusal, ()
            return PatchOutcome(committed=False, version=base.version, diagnostics=refusal)
        running = {p.spec.display_name: p.digest for p in base.manifest.packages}
        changed = [p for p in packages if running.get(p.display_name) != p.manifest.digest]
        self.applied.append({p.display_name: changes[p.display_name].action for p in changed})
        self.base = PackageReply(
            deployment=base.deployment, version=base.version + 1, manifest=packages.manifest
        )
        outcomes = tuple(
            ChainletOutcome(
                display_name=p.display_name,
                action=changes[p.display_name].action,
                package_digest=p.manifest.digest,
                elapsed_ms=1.0,
            )
            for p in changed
        )
        wanted = {p.display_name for p in packages}
        removed = tuple(
            ChainletOutcome(
                display_name=name,
                action=Action.REDEPLOYED,
                package_digest=digest,
                reasons=("it is no longer part of the chain",),
            )
            for name, digest in running.items()
            if name not in wanted
        )
        return PatchOutcome(committed=True, version=self.base.version, chainlets=(*outcomes, *removed))

    def give_up(self) -> None:
        self.given_up += 1


class Bench:
    """A session with everything around it."""

    def __init__(
        self,
        root: Path,
        spec: ChainSpec | None = None,
        files: Mapping[str, str] | None = None,
        **options: object,
    ) -> None:
        self.root = root
        for name, text in (files or {"chain.py": CHAIN, "text.py": TEXT}).items():
            self.write(name, text)
        self.spec = spec or chain(root)
        self.discoveries = 0
        self.discovery_error: DiagnosticsError | None = None
        self.builds = 0
        self.events: list[WatchEvent] = []
        rebuilder = Rebuilder(self._build)
        packages = rebuilder.full(self.spec)
        self.target = Deployment(PackageReply(deployment="d1", version=1, manifest=packages.manifest))
        self.session = WatchSession(
            spec=self.spec,
            packages=packages,
            rebuilder=rebuilder,
            discover=self._discover,
            target=self.target,
            report=self.events.append,
            clock=lambda: 0.0,
            **options,  # type: ignore[arg-type]
        )
        self.builds = 0

    def _build(self, spec: ChainSpec, reader: WorkspaceReader) -> ChainPackages:
        self.builds += 1
        return build(spec, reader)

    def _discover(self) -> ChainSpec:
        self.discoveries += 1
        if self.discovery_error is not None:
            raise self.discovery_error
        return self.spec

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def save(self, name: str, old: str = "", new: str = "") -> bool:
        """Replace text in a file, or append, and run a round."""
        path = self.root / name
        text = path.read_text() if path.exists() else ""
        assert old in text
        self.write(name, text.replace(old, new) if old else text + new)
        return self.session.run_round([path])

    @property
    def actions(self) -> dict[str, Action]:
        """Of the last round."""
        last = self.events[-1]
        assert isinstance(last, RoundFinished), last
        return {c.display_name: c.action for c in last.chainlets}

    @property
    def failure(self) -> tuple[Diagnostic, ...]:
        last = self.events[-1]
        assert isinstance(last, RoundFailed), last
        return last.diagnostics
