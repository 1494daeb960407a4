"""Names and contents of environments, interpreters, indexes: all that needs no process."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from chains_platform.engines.collecting import Collected
from chains_platform.engines.environments import (
    RUNTIME_REQUIREMENTS,
    Environments,
    blamed,
    install_lines,
    normalised_name,
)
from chains_platform.engines.indexes import default_pip_files, installer_environment
from chains_platform.engines.pythons import (
    Interpreter,
    Pythons,
    managed_roots,
    managed_versions,
    nearest,
    parse_list,
)
from chains_platform.engines.runtime_tree import ensure_runtime_tree, find_sources
from chains_protocol.manifest import EnvironmentSpec

OWN = Interpreter("/own/python", "3.12")


def environment(*requirements: str, python: str = "3.12") -> EnvironmentSpec:
    return EnvironmentSpec(python_version=python, requirements=requirements)


class FakeUv:
    """Answers `uv python find` and `list`."""

    def __init__(self, *installed: str, path: str = "") -> None:
        self.installed = installed
        self.path = path
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, arguments: Sequence[str]) -> str:
        self.asked.append(tuple(arguments))
        if arguments[1] == "find":
            found = self.path or f"/usr/bin/python{arguments[-1]}"
            return f"{found}\n" if arguments[-1] in self.installed else ""
        minors = ",".join(
            f'{{"implementation": "cpython", "version_parts": {{"major": 3, "minor": {v[2:]}}}}}'
            for v in self.installed
        )
        return f"[{minors}]"


def environments(root: Path, uv: FakeUv) -> Environments:
    return Environments(root, "/no/uv", Pythons(uv, OWN, root / "pythons.json"), {})


# what is installed


def test_the_runtimes_requirements_are_added_and_truss_is_dropped() -> None:
    lines = install_lines(environment("numpy==2.0", "truss==0.9", "Truss", " truss[x] >= 1", "trussed"))
    assert set(lines) == {"numpy==2.0", "trussed", *RUNTIME_REQUIREMENTS}
    assert list(lines) == sorted(lines)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("Foo_Bar.baz>=1", "foo-bar-baz"),
        ("foo[x]@ https://e/x.whl", "foo"),
        ("--extra-index-url x", ""),
        ("./local", ""),
    ],
)
def test_names_are_normalised(line: str, name: str) -> None:
    assert normalised_name(line) == name


def test_one_environment_for_one_content(tmp_path: Path) -> None:
    known = environments(tmp_path, FakeUv())
    one = known.directory(environment("a", "b"), OWN)
    assert known.directory(environment("b", "a"), OWN) == one
    assert known.directory(environment("a", "b", "truss"), OWN) == one
    assert known.directory(environment("a"), OWN) != one
    bound = environment("a", "b").model_copy(update={"constraints": ("c<2",)})
    assert known.directory(bound, OWN) != one
    assert known.directory(environment("a", "b"), Interpreter("/x", "3.11")) != one


def test_only_a_complete_environment_is_ready_and_looking_asks_no_uv(tmp_path: Path) -> None:
    uv = FakeUv()
    known = environments(tmp_path, uv)
    directory = known.directory(environment("a"), OWN)
    assert known.ready(environment("a")) is None
    directory.mkdir()
    assert known.ready(environment("a")) is None
    (directory / ".complete").touch()
    assert known.ready(environment("a")) == directory / "bin" / "python"
    assert uv.asked == []


def test_the_lines_whose_project_the_output_names_are_blamed() -> None:
    lines = ("Foo_Bar==9", "foo==1", "numpy")
    assert blamed(lines, "Because there is no version of foo-bar==9 and ...") == ("Foo_Bar==9",)
    assert blamed(lines, "something else") == lines


# interpreters


def test_our_own_interpreter_needs_no_look_up(tmp_path: Path) -> None:
    uv = FakeUv("3.12")
    assert Pythons(uv, OWN, tmp_path / "kept").find("3.12") == OWN
    assert uv.asked == []


def test_another_version_is_looked_up_once_also_by_the_next_process(tmp_path: Path) -> None:
    uv = FakeUv("3.11", path=sys.executable)
    for _ in range(2):
        pythons = Pythons(uv, OWN, tmp_path / "kept")
        found = [pythons.find("3.11"), pythons.find("3.11")]
        assert found == [Interpreter(sys.executable, "3.11")] * 2
    assert len(uv.asked) == 1


def test_a_remembered_interpreter_that_is_gone_is_looked_up_again(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text('{"3.11": "/gone/python3.11"}')
    pythons = Pythons(FakeUv("3.11", path=sys.executable), OWN, tmp_path / "kept")
    assert pythons.find("3.11").executable == sys.executable


def test_a_version_that_is_not_there_becomes_the_nearest(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert Pythons(FakeUv("3.11"), OWN, kept).find("3.14") == OWN
    found = Pythons(FakeUv("3.11", "3.13"), OWN, kept).find("3.14")
    assert found == Interpreter("/usr/bin/python3.13", "3.13")


@pytest.mark.parametrize(
    ("wanted", "found"), [("3.9", "3.11"), ("3.10", "3.11"), ("3.12", "3.13"), ("3.14", "3.13")]
)
def test_nearest_prefers_the_newer_and_what_the_runtime_supports(wanted: str, found: str) -> None:
    assert nearest(wanted, ["3.8", "3.11", "3.13"]) == found


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '[{"implementation": "pypy"}]', '[{"version": "x"}]'])
def test_a_list_that_can_not_be_read_is_empty(text: str) -> None:
    assert parse_list(text) == []


# indexes


def test_pips_settings_become_uvs(tmp_path: Path) -> None:
    conf = tmp_path / "pip.conf"
    conf.write_text(
        "[global]\nindex-url = https://a/simple\nfind-links = /w\n"
        "[install]\nextra-index-url =\n  https://b\n  https://c\n"
    )
    found = installer_environment({}, (conf,))
    assert found["UV_DEFAULT_INDEX"] == "https://a/simple"
    assert found["UV_INDEX"] == "https://b https://c"
    assert found["UV_FIND_LINKS"] == "/w"
    assert found["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert found["UV_PYTHON_DOWNLOADS"] == "never"


def test_variables_win_over_files_and_uvs_own_over_pips(tmp_path: Path) -> None:
    conf = tmp_path / "pip.conf"
    conf.write_text("[global]\nindex-url = https://file\n")
    found = installer_environment(
        {"PIP_INDEX_URL": "https://pip", "PIP_EXTRA_INDEX_URL": "https://e", "UV_INDEX": "https://uv"},
        (conf,),
    )
    assert found["UV_DEFAULT_INDEX"] == "https://pip"
    assert found["UV_INDEX"] == "https://uv"
    assert "UV_INDEX_STRATEGY" not in found


def test_a_damaged_pip_file_is_no_setting(tmp_path: Path) -> None:
    conf = tmp_path / "pip.conf"
    conf.write_text("not = ini [\n")
    assert "UV_DEFAULT_INDEX" not in installer_environment({}, (conf,))


def test_pips_files_are_those_pip_reads() -> None:
    assert default_pip_files({"PIP_CONFIG_FILE": "/x"}) == (Path("/x"),)
    assert Path("/h/.config/pip/pip.conf") in default_pip_files({"HOME": "/h"})


# the runtime tree


def test_the_runtime_tree_is_made_once_and_named_by_its_content(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    (source / "__init__.py").write_text("VALUE = 1\n")
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "x.pyc").write_bytes(b"")
    root = tmp_path / "runtime"
    root.mkdir()
    first = ensure_runtime_tree(root, {"pkg": source})
    assert (first / "pkg" / "__init__.py").read_text() == "VALUE = 1\n"
    assert not (first / "pkg" / "__pycache__" / "x.pyc").exists()
    assert ensure_runtime_tree(root, {"pkg": source}) == first
    (source / "__init__.py").write_text("VALUE = 2\n")
    second = ensure_runtime_tree(root, {"pkg": source})
    assert second != first
    assert sorted(p.name for p in root.iterdir()) == sorted([first.name, second.name])


def test_the_real_packages_are_found_without_importing_them() -> None:
    assert set(find_sources()) == {"truss_chains", "chains_protocol", "chains_analysis", "chains_runtime"}
    with pytest.raises(ModuleNotFoundError):
        find_sources(["no_such_package_here"])


# interpreters of version managers


def installed(root: Path, *versions: str) -> Path:
    for version in versions:
        executable = root / version / "bin" / "python"
        executable.parent.mkdir(parents=True)
        executable.touch(0o755)
    return root


def test_interpreters_of_pyenv_and_others_are_found(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "ASDF_DATA_DIR": str(tmp_path / "asdf")}
    pyenv, asdf, mise = managed_roots(environ)
    installed(pyenv, "3.13.0", "3.13.9", "3.13.10", "3.12.1", "3.14-dev", "pypy3.10")
    installed(asdf, "3.13.99", "3.11.7")
    assert managed_versions((pyenv, asdf, mise)) == {
        "3.12": str(pyenv / "3.12.1" / "bin" / "python"),
        "3.13": str(pyenv / "3.13.10" / "bin" / "python"),
        "3.11": str(asdf / "3.11.7" / "bin" / "python"),
    }
    assert managed_roots({**environ, "PYENV_ROOT": "/opt/pyenv"})[0] == Path("/opt/pyenv/versions")


def test_what_uv_does_not_find_a_version_manager_may_have(tmp_path: Path) -> None:
    root = installed(tmp_path / "versions", "3.13.1")
    pythons = Pythons(FakeUv("3.11"), OWN, tmp_path / "pythons.json", (root,))
    assert pythons.find("3.13") == Interpreter(str(root / "3.13.1" / "bin" / "python"), "3.13")
    assert pythons.find("3.11").executable == "/usr/bin/python3.11"
    assert pythons.find("3.14").version == "3.13", "the nearest of all there are"


def test_a_python_that_replicas_do_not_run_on_is_not_used_even_if_it_is_there(tmp_path: Path) -> None:
    root = installed(tmp_path / "versions", "3.9.18")
    pythons = Pythons(FakeUv("3.9"), OWN, tmp_path / "pythons.json", (root,))
    assert pythons.find("3.9") == OWN


# what is collected


def complete(root: Path, name: str, *, at: float) -> Path:
    directory = root / name
    (directory / "bin").mkdir(parents=True)
    (directory / "lib.py").write_bytes(b"x" * 100)
    (directory / ".complete").write_text("")
    os.utime(directory / ".complete", (at, at))
    return directory


def test_environments_that_nobody_asks_for_are_collected(tmp_path: Path) -> None:
    known = environments(tmp_path, FakeUv())
    shared = known.directory(environment("a"), OWN)
    complete(tmp_path, shared.name, at=1)
    old, young = complete(tmp_path, "old", at=10), complete(tmp_path, "young", at=1000)
    half = tmp_path / "half"
    half.mkdir()
    os.utime(half, (10, 10))
    (tmp_path / ".gone-before-1").mkdir()
    kept = [environment("a"), environment("a", "truss")]
    would = known.collect(kept, older_than=500, dry_run=True)
    assert old.is_dir() and half.is_dir()
    assert known.collect(kept, older_than=500) == would == Collected(2, 100)
    assert {p.name for p in tmp_path.iterdir() if p.is_dir()} == {shared.name, young.name}


def test_one_that_is_being_built_or_runs_stays(tmp_path: Path) -> None:
    import fcntl

    known = environments(tmp_path, FakeUv())
    building = tmp_path / "building"
    building.mkdir()
    os.utime(building, (10, 10))
    with building.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert known.collect([], older_than=500).count == 0
    assert known.collect([], older_than=500).count == 1


def test_what_was_asked_for_a_moment_ago_stays(tmp_path: Path) -> None:
    """A patch builds before its new version is known to the records."""
    known = environments(tmp_path, FakeUv())
    wanted = known.directory(environment("a"), OWN)
    complete(tmp_path, wanted.name, at=10)
    assert known.ready(environment("a")) is not None
    assert known.collect([], older_than=500).count == 0
