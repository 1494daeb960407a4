"""The wheel holds what runs: packages, types and templates; and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "truss_chains",
    "chains_protocol",
    "chains_analysis",
    "chains_runtime",
    "chains_platform",
    "chains_cli",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_the_packages_and_their_type_markers(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())

    top = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert top == PACKAGES
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


def test_the_wheel_holds_every_template(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())

    templates = {
        f"chains_cli/_templates/{path.relative_to(ROOT / 'templates').as_posix()}"
        for path in (ROOT / "templates").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert templates
    assert templates <= names


def test_an_installed_wheel_scaffolds_and_checks_a_chain(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    start = (
        f"import sys; sys.path.insert(0, {str(target)!r}); from chains_cli.main import main; sys.exit(main())"
    )
    # -S keeps the development checkout's .pth file out; the third-party packages come from their directory
    site_packages = next(p for p in sys.path if p.endswith("site-packages"))

    def chains(*arguments: str) -> subprocess.CompletedProcess[str]:
        code = f"import sys; sys.path.append({site_packages!r}); {start}"
        return subprocess.run(
            [sys.executable, "-S", "-c", code, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    made = chains("init", "mine")
    assert made.returncode == 0, made.stderr
    (source,) = [p for p in (tmp_path / "mine").glob("*.py") if not p.name.startswith("test_")]
    checked = chains("check", str(source))
    assert checked.returncode == 0, checked.stderr
