"""Chains described by hand: packaging is tested without running any user code."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from chains_protocol.spec import (
    ChainletSpec,
    ChainSpec,
    DependencySpec,
    DiscoveredChainlet,
    ImageSpec,
    LocalSources,
    PythonSpec,
)

Write = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files into a workspace and returns its directory."""

    def into(files: Mapping[str, str | bytes]) -> Path:
        root = tmp_path / "workspace"
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return into


def chainlet(
    name: str = "Hello",
    module: str = "chain",
    *,
    needs: tuple[str, ...] = (),
    image: ImageSpec | None = None,
    sources: LocalSources | None = None,
    **fields: object,
) -> DiscoveredChainlet:
    spec = ChainletSpec(
        class_name=name,
        display_name=str(fields.pop("display_name", name)),
        module=module,
        qualname=name,
        file=f"{module.replace('.', '/')}.py",
        dependencies=tuple(DependencySpec(parameter=n.lower(), class_name=n, display_name=n) for n in needs),
        image=image or ImageSpec(),
        **fields,  # type: ignore[arg-type]  # the model checks them
    )
    return DiscoveredChainlet(spec=spec, sources=sources or LocalSources())


def chain(root: Path, *chainlets: DiscoveredChainlet, python: str = "3.12") -> ChainSpec:
    found = chainlets or (chainlet(),)
    return ChainSpec(
        chain_name="test",
        entrypoint=found[-1].spec.class_name,
        workspace=str(root),
        source=str(root / "chain.py"),
        python=PythonSpec(executable="/usr/bin/python", version=python),
        chainlets=found,
    )
