"""Generated code and what a package is made with (G-07, G-34, G-50, G-70, G-80)."""

import ast
from pathlib import Path

import pytest
import yaml

from chains_cli.packaging.build import Target, build_packages
from chains_protocol.kinds import ChainletKind
from chains_protocol.spec import ImageSpec
from tests.unit.chains_cli.packaging.conftest import Write, chain, chainlet


@pytest.mark.parametrize("target", ["process", "truss"])
def test_g07_packages_are_made_without_any_program_of_the_machine(
    write: Write, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = chain(write({"chain.py": "X = 1\n"}))
    usual = build_packages(spec, target=target).package("Hello")
    monkeypatch.setenv("PATH", "/nowhere")
    assert build_packages(spec, target=target).package("Hello").manifest.digest == usual.manifest.digest


@pytest.mark.parametrize("target", ["process", "truss"])
def test_g34_each_chainlet_has_its_own_requirements(write: Write, target: Target) -> None:
    root = write({"chain.py": "", "requirements.txt": "torch==2.5\n"})
    heavy = chainlet("Heavy", image=ImageSpec(pip_requirements=("scipy==1.14.1",)))
    light = chainlet("Light", image=ImageSpec(pip_requirements=("rich==13.9.4",)))
    packages = build_packages(chain(root, heavy, light), target=target)
    found = {
        name: packages.package(name).files["pip_requirements.txt"].decode() for name in ("Heavy", "Light")
    }
    assert ("scipy==1.14.1" in found["Heavy"], "rich" in found["Heavy"]) == (True, False)
    assert ("rich==13.9.4" in found["Light"], "scipy" in found["Light"]) == (True, False)
    assert "torch" not in found["Heavy"] + found["Light"]


def test_g50_the_model_imports_what_it_uses_and_nothing_else(write: Write) -> None:
    package = build_packages(chain(write({"chain.py": ""}))).package("Hello")
    tree = ast.parse(package.files["model/model.py"])
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = [alias.asname or alias.name for node in imports for alias in node.names]
    used = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    assert imported == ["ChainletModel"]
    assert set(imported) == used


def test_g70_a_model_is_packaged_like_a_chainlet_by_its_display_name(write: Write) -> None:
    model = chainlet("Hello", kind=ChainletKind.MODEL, display_name="My model")
    package = build_packages(chain(write({"chain.py": ""}), model)).package("My model")
    assert "packages/chain.py" in package.files
    assert b'qualname = "Hello"' in package.files["model/model.py"]
    assert yaml.safe_load(package.files["config.yaml"])["model_name"] == "My model"


def test_g80_there_is_no_second_archive_of_the_source(write: Write) -> None:
    """Each source file is in a package once, below `packages/`; what no Chainlet imports is in none."""
    root = write({"chain.py": "import used\n", "used.py": "", "unused.py": ""})
    package = build_packages(chain(root)).package("Hello")
    copies = [path for path in package.files if Path(path).name in ("chain.py", "used.py", "unused.py")]
    assert sorted(copies) == ["packages/chain.py", "packages/used.py"]
    assert not [path for path in package.files if path.endswith((".tar", ".tgz", ".zip", ".gz"))]
