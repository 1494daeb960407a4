"""The package of a `TrussChainlet`: a copy of its directory, and for our own replicas how to run it.

Only the model's name is ours (G-61). With the target `process`, `truss.json` holds the config with
all defaults, as a Truss server hands it to the model, because a replica reads no YAML.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from chains_cli.packaging import findings
from chains_cli.packaging.config import config_context
from chains_cli.packaging.distributions import implicit_requirements
from chains_cli.packaging.ignore import TRUSS_IGNORE, looks_secret, workspace_rules
from chains_cli.packaging.reader import Content, WorkspaceReader
from chains_cli.packaging.render import Renderer
from chains_cli.packaging.requirements import (
    LockExport,
    Requirements,
    is_truss,
    read_requirements,
    requirement_name,
)
from chains_cli.packaging.truss_directory import (
    TRUSS_FILE,
    TrussConfig,
    merged,
    read_truss_config,
    with_settings,
)
from chains_protocol.errors import DiagnosticsError
from chains_protocol.manifest import WRAPPED_FILE, EnvironmentSpec
from chains_protocol.spec import ChainletSpec, DiscoveredChainlet

_MODEL_NAME: Final = re.compile(r"^model_name\s*:.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class WrappedTruss:
    """What a package is made of.

    `implicit` maps added distributions to the module that wants each; `secret` are files left out.
    """

    spec: ChainletSpec
    files: Mapping[str, Content]
    environment: EnvironmentSpec
    origins: Mapping[str, str]
    implicit: Mapping[str, str]
    secret: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrussWrapper:
    """Makes the parts of packages of wrapped Trusses.

    Args:
        reader: reads directories.
        renderer: renders a config with all defaults.
        workspace: of the Chain.
        python: "3.12", for a Truss that does not say.
        is_served_here: the package is for our own replicas.
        export_lock: how a `uv.lock` becomes requirement lines.
    """

    reader: WorkspaceReader
    renderer: Renderer
    workspace: Path
    python: str
    is_served_here: bool
    export_lock: LockExport

    def wrap(self, found: DiscoveredChainlet) -> WrappedTruss:
        """Read the directory of one Chainlet.

        Raises:
            DiagnosticsError: CH202, CH203, CH209, or CH210 if no replica of ours can serve it.
        """
        directory = Path(found.sources.truss_dir or "")
        file = directory / TRUSS_FILE
        if not directory.is_dir() or not file.is_file():
            raise DiagnosticsError([findings.no_truss(found, directory)])
        text = self.reader.read_file(file).data.decode("utf-8", "replace")
        config, document = read_truss_config(text, str(file))
        if self.is_served_here and config.foreign_server:
            raise DiagnosticsError([findings.unsupported_truss(found, config.foreign_server)])
        spec = with_settings(found.spec, config, str(file))
        files, origins, secret = self._copied(directory, config)
        files[TRUSS_FILE] = Content(_renamed(text, document, spec.display_name, config))
        requirements, implicit = self._requirements(found, directory, config, files)
        environment = EnvironmentSpec(
            python_version=spec.image.python_version or self.python,
            requirements=requirements.all_lines,
            constraints=requirements.constraints,
        )
        if self.is_served_here:
            files[WRAPPED_FILE] = Content(self._wrapped_file(spec, environment, document, directory))
        return WrappedTruss(spec, files, environment, origins, implicit, secret)

    def _copied(
        self, directory: Path, config: TrussConfig
    ) -> tuple[dict[str, Content], dict[str, str], tuple[str, ...]]:
        """The directory's files, and the contents of `external_package_dirs` among its packages (G-44)."""
        files: dict[str, Content] = {}
        origins: dict[str, str] = {}
        secret: list[str] = []
        places = [("", directory, f"below the Truss `{directory}`")]
        for external in config.external_package_dirs:
            place = directory / external
            why = f"below the external package directory `{place}`"
            places.append((f"{config.bundled_packages_dir}/", place, why))
        for prefix, place, why in places:
            own_rules = workspace_rules(place) if (place / TRUSS_IGNORE).is_file() else None
            for path, content in self.reader.directory(place).items():
                if own_rules is not None and own_rules.match_file(path):
                    continue
                if looks_secret(path, content.head):
                    secret.append(str(place / path))
                else:
                    files[prefix + path] = content
                    origins[prefix + path] = why
        return files, origins, tuple(secret)

    def _requirements(
        self,
        found: DiscoveredChainlet,
        directory: Path,
        config: TrussConfig,
        files: Mapping[str, Content],
    ) -> tuple[Requirements, Mapping[str, str]]:
        """Its own lines, and what it imports because the original's server has it."""
        file = str(directory / config.requirements_file) if config.requirements_file else None
        image = found.spec.image.model_copy(update={"pip_requirements": config.requirements})
        theirs = found.model_copy(
            update={
                "spec": found.spec.model_copy(update={"image": image}),
                "sources": found.sources.model_copy(update={"requirements_file": file}),
            }
        )
        declared = read_requirements(theirs, self.export_lock)
        lines = [line for line in declared.lines if not is_truss(line)]
        names = {requirement_name(line) for line in lines}
        implicit = implicit_requirements(self._imports(config, files), declared.lines)
        added = [line for line in implicit if requirement_name(line) not in names]
        return Requirements(tuple(sorted([*lines, *added])), declared.options, declared.constraints), implicit

    def _imports(self, config: TrussConfig, files: Mapping[str, Content]) -> set[str]:
        """Dotted names of modules that its code imports and does not bring."""
        packages = f"{config.bundled_packages_dir}/"
        own = {config.model_module_dir, config.bundled_packages_dir}
        own |= {_top(path.removeprefix(packages)) for path in files if path.startswith(packages)}
        code = [path for path in files if path.startswith((f"{config.model_module_dir}/", packages))]
        found: set[str] = set()
        for path in code:
            if path.endswith(".py"):
                facts = self.reader.cache.facts(path, files[path].data)
                found |= {
                    f"{i.module}.{i.name}" if i.name not in (None, "*") else i.module
                    for i in facts.imports
                    if i.level == 0 and i.module.partition(".")[0] not in own
                }
        return found

    def _wrapped_file(
        self, spec: ChainletSpec, environment: EnvironmentSpec, document: Mapping[str, Any], directory: Path
    ) -> bytes:
        """`truss.json`: the config with all defaults, and where the directory lies below the workspace."""
        import yaml

        plain = replace(config_context(spec, environment.python_version), model_metadata={}, secrets={})
        defaults = yaml.safe_load(self.renderer.config(plain))
        config = merged(merged(defaults, document), {"model_name": spec.display_name})
        absolute = directory.resolve()
        workspace = self.workspace.resolve()
        below = absolute.relative_to(workspace).as_posix() if absolute.is_relative_to(workspace) else ""
        return (
            json.dumps({"config": config, "directory": below}, sort_keys=True, default=str).encode() + b"\n"
        )


def _top(path: str) -> str:
    return path.partition("/")[0].removesuffix(".py")


def _renamed(text: str, document: Mapping[str, Any], name: str, config: TrussConfig) -> bytes:
    """`config.yaml` under our name; written anew only where its directories were gathered (G-44)."""
    if config.external_package_dirs:
        import yaml

        gathered = {**document, "model_name": name, "external_package_dirs": []}
        return str(yaml.safe_dump(gathered, sort_keys=False, allow_unicode=True)).encode()
    line = f"model_name: {json.dumps(name)}"
    renamed, count = _MODEL_NAME.subn(lambda _: line, text, count=1)
    return (renamed if count else f"{line}\n{text}").encode()


__all__ = ["TrussWrapper", "WrappedTruss"]
