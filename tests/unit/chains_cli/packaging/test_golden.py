"""Whole packages of a small workspace, compared with what is kept in `tests/golden/packages`.

After an intended change: `CHAINS_UPDATE_GOLDEN=1 pytest tests/unit/chains_cli/packaging/test_golden.py`.
"""

import os
from pathlib import Path

import pytest

from chains_cli.discovery import discover
from chains_cli.packaging.build import build_packages
from chains_cli.packaging.package import Package
from chains_protocol.spec import PythonSpec

ROOT = Path(__file__).parents[3]
SHOP = ROOT / "programs" / "packaging" / "shop" / "chain.py"
GENERATED = ("config.yaml", "chains.json", "model/model.py", "model/__init__.py", "pip_requirements.txt")


def snapshot(package: Package) -> str:
    """Generated files word for word, copied ones by digest."""
    parts = [f"package {package.display_name}\n"]
    for entry in package.manifest.files:
        parts.append(f"\n=== {entry.path} ({entry.size_bytes} B)")
        if entry.path in GENERATED:
            parts.append(f"\n{package.files[entry.path].decode()}")
        else:
            parts.append(f" {entry.digest}\n")
    return "".join(parts)


@pytest.mark.parametrize("display_name", ["price-table", "Recommend", "Front"])
def test_packages_of_the_shop(display_name: str) -> None:
    spec = discover(SHOP, report_output=lambda line: None, environ={"PATH": os.environ["PATH"]})
    spec = spec.model_copy(update={"python": PythonSpec(executable="python", version="3.12")})
    found = snapshot(build_packages(spec).package(display_name))
    golden = ROOT / "golden" / "packages" / f"shop.{display_name}.txt"
    if os.environ.get("CHAINS_UPDATE_GOLDEN"):
        golden.write_text(found)
    assert found == golden.read_text()
