"""Whole packages of small workspaces, compared with what is kept in `tests/golden/packages`.

After an intended change: `CHAINS_UPDATE_GOLDEN=1 pytest tests/unit/chains_cli/packaging/test_golden.py`.
"""

import os
from functools import cache
from pathlib import Path

import pytest

from chains_cli.discovery.discover import discover
from chains_cli.packaging.build import Target, build_packages
from chains_cli.packaging.package import ChainPackages, Package
from chains_cli.packaging.runtime_source import RUNTIME_PACKAGES
from chains_protocol.errors import Code, DiagnosticsError
from chains_protocol.spec import PythonSpec

ROOT = Path(__file__).parents[3]
PROGRAMS = ROOT / "programs" / "packaging"
GENERATED = ("config.yaml", "chains.json", "model/model.py", "model/__init__.py", "pip_requirements.txt")
CASES = [
    *(("shop", "shop/chain.py", None, name) for name in ("price-table", "Recommend", "Front")),
    *(
        ("fields", "fields/chain.py", None, name)
        for name in (
            "CustomImage",
            "PipFile",
            "Project",
            "Locked",
            "Files",
            "with-options",
            "Wrapped",
            "Caches",
            "Entry",
        )
    ),
    ("fields", "fields/chain.py", "Socket", "Socket"),
    ("engine", "engine.py", None, "Engine"),
    ("engine", "engine.py", None, "Ask"),
]


@cache
def built(file: str, entrypoint: str | None, target: Target) -> ChainPackages:
    spec = discover(
        PROGRAMS / file, entrypoint, report_output=lambda line: None, environ={"PATH": os.environ["PATH"]}
    )
    spec = spec.model_copy(update={"python": PythonSpec(executable="python", version="3.12")})
    return build_packages(spec, target=target)


def snapshot(package: Package) -> str:
    """Generated files word for word, copied ones by digest; our runtime is only named."""
    parts = [f"package {package.display_name}\n"]
    runtime = {entry.path for entry in package.manifest.files if is_runtime(entry.path)}
    for entry in package.manifest.files:
        if entry.path in runtime:
            continue
        parts.append(f"\n=== {entry.path} ({entry.size_bytes} B): {package.origins[entry.path]}")
        if entry.path in GENERATED:
            parts.append(f"\n{package.files[entry.path].decode()}")
        else:
            parts.append(f"\n{entry.digest}\n")
    text = "".join(parts).replace(str(ROOT.parent), "ROOT")
    return text + ("\nand our runtime\n" if runtime else "")


def is_runtime(path: str) -> bool:
    return any(path.startswith(f"packages/{name}/") for name in RUNTIME_PACKAGES)


@pytest.mark.parametrize(("program", "file", "entrypoint", "name"), CASES, ids=str)
def test_whole_packages(program: str, file: str, entrypoint: str | None, name: str) -> None:
    """G-03, G-20, G-21, G-30, G-33, G-45, G-60, G-61: every field of every kind of Chainlet."""
    target: Target = "process" if program == "shop" else "truss"
    found = snapshot(built(file, entrypoint, target).package(name))
    golden = ROOT / "golden" / "packages" / f"{program}.{name}.txt"
    if os.environ.get("CHAINS_UPDATE_GOLDEN"):
        golden.write_text(found)
    assert found == golden.read_text()


def test_an_engine_is_refused_for_our_replicas_with_the_choices() -> None:
    """CH210, before anything is sent."""
    with pytest.raises(DiagnosticsError) as caught:
        built("engine.py", None, "process")
    (found,) = caught.value.diagnostics
    assert (found.code, found.chainlet) == (Code.UNSUPPORTED_CHAINLET, "Engine")
    assert "--mock Engine=auto" in (found.help or "") and "another remote" in (found.help or "")
