"""Requirement lines from the three kinds of file (G-30 to G-33, WP-39)."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from chains_cli.packaging.distributions import implicit_requirements, provides, unprovided_modules
from chains_cli.packaging.requirements import (
    RememberedExport,
    Requirements,
    is_truss,
    read_requirements,
    requirement_name,
)
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.spec import ImageSpec, LocalSources
from tests.unit.chains_cli.packaging.conftest import chain, chainlet


def read(
    directory: Path, files: Mapping[str, str], name: str = "requirements.txt", *inline: str, **options: object
) -> Requirements:
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
    found = chainlet(
        image=ImageSpec(pip_requirements=inline),
        sources=LocalSources(requirements_file=str(directory / name)),
    )
    return read_requirements(found, **options)  # type: ignore[arg-type]  # handed on


def refused(
    directory: Path, files: Mapping[str, str], *arguments: str, **options: object
) -> list[Diagnostic]:
    with pytest.raises(DiagnosticsError) as caught:
        read(directory, files, *arguments, **options)
    return list(caught.value.diagnostics)


def test_comments_blanks_continuations_hashes_and_repetitions_are_resolved(tmp_path: Path) -> None:
    text = (
        "\n# comment\nb==1.0  # why\na >= 2 ; python_version>'3.8'\n"
        "c==1 \\\n    --hash=sha256:abc \\\n    --hash=sha256:def\nB==1.0\n   \n"
    )
    assert read(tmp_path, {"requirements.txt": text}).lines == (
        'a>=2; python_version > "3.8"',
        "b==1.0",
        "c==1 --hash=sha256:abc --hash=sha256:def",
    )


def test_a_line_with_hashes_has_its_name(tmp_path: Path) -> None:
    """What knows a line by its name, knows it with hashes, too."""
    assert requirement_name("Idna==3.7 --hash=sha256:abc") == "idna"
    found = read(
        tmp_path, {"requirements.txt": "truss==1 --hash=sha256:abc\n-c c.txt\n", "c.txt": "truss<2\n"}
    )
    assert all(is_truss(line) for line in found.lines) and len(found.lines) == 2


def test_included_files_are_read_relative_to_their_includer(tmp_path: Path) -> None:
    files = {
        "requirements.txt": "-r sub/more.txt\n--requirement=other.txt\na\n",
        "sub/more.txt": "b\n-r deep.txt\n",
        "sub/deep.txt": "c\n-r ../requirements.txt\n",
        "other.txt": "d\n",
    }
    assert read(tmp_path, files).lines == ("a", "b", "c", "d")


def test_constraints_hold_for_the_names_that_are_required(tmp_path: Path) -> None:
    files = {"requirements.txt": "-c limits.txt\nTorch\nb\n", "limits.txt": "torch<2.4\nunused==1\n"}
    found = read(tmp_path, files)
    assert found.lines == ("Torch", "b", "torch<2.4")
    assert found.constraints == ("unused==1",)


def test_constraints_of_included_and_of_constraint_files_hold(tmp_path: Path) -> None:
    """Relative to the file that names them; several on one name hold together."""
    files = {
        "requirements.txt": "-r sub/more.txt\n-c limits.txt\na\n",
        "sub/more.txt": "-c deep.txt\nb\n",
        "sub/deep.txt": "a<3\nd<5 ; python_version > '3'\n",
        "limits.txt": "-c sub/limits.txt\n--constraint=limits.txt\na>=1\nd>=4 --hash=sha256:abc\n",
        "sub/limits.txt": "e==1\n",
    }
    found = read(tmp_path, files)
    assert found.lines == ("a", "a<3", "a>=1", "b")
    assert found.constraints == ('d<5; python_version > "3"', "d>=4", "e==1")


def test_requirements_below_a_constraint_file_are_requirements(tmp_path: Path) -> None:
    """As pip has it."""
    files = {"requirements.txt": "-c limits.txt\n", "limits.txt": "-r more.txt\n", "more.txt": "a\n"}
    assert read(tmp_path, files).lines == ("a",)


def test_package_indexes_are_kept_apart_and_come_first(tmp_path: Path) -> None:
    text = "a\n--extra-index-url https://download.example/cpu\n-i https://pypi.example/simple\n"
    found = read(tmp_path, {"requirements.txt": text})
    assert found.lines == ("a",)
    assert found.options == (
        "--extra-index-url https://download.example/cpu",
        "--index-url https://pypi.example/simple",
    )


def test_urls_become_named_lines_where_they_can(tmp_path: Path) -> None:
    text = (
        "git+https://github.com/o/r.git@main#egg=tool\n"
        "x @ https://example.com/x-1.tar.gz\n"
        "git+https://github.com/o/s.git\n"
    )
    assert read(tmp_path, {"requirements.txt": text}).lines == (
        "git+https://github.com/o/s.git",
        "tool @ git+https://github.com/o/r.git@main",
        "x @ https://example.com/x-1.tar.gz",
    )


@pytest.mark.parametrize(
    "line",
    ["./lib", "-e ./lib", "../x.whl", "lib @ file:///home/me/lib", "file:///x", "==1", "a b c", "--no-deps"],
)
def test_lines_that_mean_nothing_elsewhere_are_refused_with_file_and_line(tmp_path: Path, line: str) -> None:
    """CH203."""
    (diagnostic,) = refused(tmp_path, {"requirements.txt": f"a\n{line}\n"})
    assert diagnostic.code is Code.BAD_REQUIREMENTS
    assert str(diagnostic.location) == f"{tmp_path / 'requirements.txt'}:2"
    assert diagnostic.chainlet == "Hello"


def test_all_bad_lines_are_reported(tmp_path: Path) -> None:
    assert len(refused(tmp_path, {"requirements.txt": "./a\nb\n./c\n"})) == 2


def test_inline_lines_are_joined_with_the_files(tmp_path: Path) -> None:
    assert read(tmp_path, {"requirements.txt": "b\n"}, "requirements.txt", "a", "b").lines == ("a", "b")


def test_a_pyproject_gives_its_dependencies(tmp_path: Path) -> None:
    """G-31, G-33: by base name; the file itself is never changed."""
    text = (
        '[project]\nname = "x"\ndependencies = ["b>=1", "a"]\n[project.optional-dependencies]\ndev = ["c"]\n'
    )
    assert read(tmp_path, {"pyproject.toml": text}, "pyproject.toml").lines == ("a", "b>=1")
    assert (tmp_path / "pyproject.toml").read_text() == text


@pytest.mark.parametrize(
    "text", ["[project\n", '[project]\ndynamic = ["dependencies"]\n', '[project]\ndependencies = "a"\n']
)
def test_a_pyproject_without_a_list_is_refused(tmp_path: Path, text: str) -> None:
    (diagnostic,) = refused(tmp_path, {"pyproject.toml": text}, "pyproject.toml")
    assert diagnostic.code is Code.BAD_REQUIREMENTS


def test_inline_lines_beside_a_project_file_are_refused(tmp_path: Path) -> None:
    """G-33."""
    files = {"pyproject.toml": "[project]\ndependencies = []\n"}
    (diagnostic,) = refused(tmp_path, files, "pyproject.toml", "a")
    assert "pip_requirements" in diagnostic.message


def test_a_lock_is_exported(tmp_path: Path) -> None:
    asked: list[Path] = []

    def export(directory: Path) -> str:
        asked.append(directory)
        return "# made by uv\nb==2 ; sys_platform == 'linux'\na==1\n"

    found = read(tmp_path, {"uv.lock": "", "pyproject.toml": ""}, "uv.lock", export_lock=export)
    assert found.lines == ("a==1", 'b==2; sys_platform == "linux"')
    assert asked == [tmp_path]


LOCK = """\
version = 1
requires-python = ">=3.11"

[[package]]
name = "idna"
version = "3.10"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "mine"
version = "0"
source = { virtual = "." }
dependencies = [{ name = "idna", marker = "python_full_version < '3.13'" }]

[package.metadata]
requires-dist = [{ name = "idna", marker = "python_full_version < '3.13'" }]
"""


def test_a_real_lock_is_exported_by_uv_without_network(tmp_path: Path) -> None:
    files = {
        "uv.lock": LOCK,
        "pyproject.toml": '[project]\nname = "mine"\nversion = "0"\nrequires-python = ">=3.11"\n'
        "dependencies = [\"idna; python_full_version < '3.13'\"]\n",
    }
    assert read(tmp_path, files, "uv.lock").lines == ('idna==3.10; python_full_version < "3.13"',)
    assert (tmp_path / "uv.lock").read_text() == LOCK


def test_a_lock_is_exported_again_only_after_a_change(tmp_path: Path) -> None:
    asked: list[Path] = []

    def export(directory: Path) -> str:
        asked.append(directory)
        return "a==1\n"

    remembered = RememberedExport(export)
    for lock in ("one", "one", "two"):
        files = {"uv.lock": lock, "pyproject.toml": ""}
        assert read(tmp_path, files, "uv.lock", export_lock=remembered).lines == ("a==1",)
    assert len(asked) == 2


def test_a_lock_that_cannot_be_exported_is_refused_with_the_reason(tmp_path: Path) -> None:
    def export(directory: Path) -> str:
        raise subprocess.CalledProcessError(2, "uv", stderr="lock is stale")

    (diagnostic,) = refused(tmp_path, {"uv.lock": "", "pyproject.toml": ""}, "uv.lock", export_lock=export)
    assert (diagnostic.code, diagnostic.detail) == (Code.BAD_REQUIREMENTS, "lock is stale")


def test_a_lock_needs_its_project(tmp_path: Path) -> None:
    (diagnostic,) = refused(tmp_path, {"uv.lock": ""}, "uv.lock")
    assert "pyproject.toml" in diagnostic.message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("truss", True),
        ("truss==0.9.1", True),
        ("truss[x]~=0.9", True),
        ("git+https://github.com/basetenlabs/truss.git@main", True),
        ("truss-transfer", False),
        ("trussx", False),
    ],
)
def test_truss_is_recognised(line: str, expected: bool) -> None:
    assert is_truss(line) is expected


@pytest.mark.parametrize(
    ("line", "module", "expected"),
    [
        ("torch==2.1", "torch", True),
        ("scikit-learn", "sklearn", True),
        ("Pillow>=10", "PIL", True),
        ("opencv-python-headless", "cv2", True),
        ("PyYAML", "yaml", True),
        ("python-dateutil", "dateutil", True),
        ("huggingface-hub", "huggingface_hub", True),
        ("vllm", "torch", True),
        ("torch", "numpy", False),
        ("requests", "torch", False),
        ("git+https://example.com/x.git", "x", False),
    ],
)
def test_which_distribution_provides_a_module(line: str, module: str, expected: bool) -> None:
    assert provides(line, module) is expected


def test_implicit_requirements_are_what_nothing_declared_provides() -> None:
    modules = ["numpy", "starlette.requests.Request", "google.cloud.storage", "json", "numpyro"]
    assert implicit_requirements(modules, ["fastapi"]) == {
        "google-cloud-storage": "google.cloud.storage",
        "numpy": "numpy",
    }


def test_a_module_is_provided_by_any_chainlet_or_any_custom_image(tmp_path: Path) -> None:
    torch = chainlet("A", image=ImageSpec(pip_requirements=("torch",)))
    plain = chainlet("B")
    spec = chain(tmp_path, torch, plain)
    assert unprovided_modules(spec, ["torch", "nope", "numpy"]) == ("nope",)
    custom = chainlet("C", image=ImageSpec(custom_image={"image": "x"}))
    assert unprovided_modules(chain(tmp_path, plain, custom), ["nope"]) == ()
