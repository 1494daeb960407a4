"""Which Python reads the file."""

import sys
from pathlib import Path

import pytest

from chains_cli.interpreters import Interpreter, Origin, choose_interpreter
from chains_protocol.errors import Code, DiagnosticsError


def environment(path: Path) -> Path:
    python = path / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("")
    python.chmod(0o755)
    return python


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "deep" / "er").mkdir(parents=True)
    return tmp_path / "repo"


def test_the_option_wins(repository: Path) -> None:
    python = environment(repository / "chosen")
    environment(repository / ".venv")
    environ = {"VIRTUAL_ENV": str(repository / ".venv")}
    for option in (str(python), str(repository / "chosen")):
        found = choose_interpreter(repository / "chain.py", option, environ)
        assert found == Interpreter(str(python), Origin.OPTION)


def test_the_active_environment_comes_before_a_dot_venv(repository: Path) -> None:
    active = environment(repository / "active")
    environment(repository / ".venv")
    found = choose_interpreter(repository / "chain.py", None, {"VIRTUAL_ENV": str(repository / "active")})
    assert found == Interpreter(str(active), Origin.VIRTUAL_ENV)


def test_a_dot_venv_is_found_up_to_the_repositorys_root(repository: Path) -> None:
    python = environment(repository / ".venv")
    found = choose_interpreter(repository / "deep" / "er" / "chain.py", None, {})
    assert found == Interpreter(str(python), Origin.DOT_VENV)


def test_the_search_never_leaves_the_repository(repository: Path) -> None:
    environment(repository.parent / ".venv")
    assert choose_interpreter(repository / "deep" / "chain.py", None, {}).is_own


def test_outside_a_repository_only_the_files_own_directory_counts(tmp_path: Path) -> None:
    environment(tmp_path / ".venv")
    assert choose_interpreter(tmp_path / "below" / "chain.py", None, {}).is_own
    assert choose_interpreter(tmp_path / "chain.py", None, {}).origin is Origin.DOT_VENV


def test_without_any_environment_it_is_ours(tmp_path: Path) -> None:
    assert choose_interpreter(tmp_path / "chain.py", None, {}) == Interpreter(sys.executable, Origin.OWN)
    stale = {"VIRTUAL_ENV": str(tmp_path / "gone")}
    assert choose_interpreter(tmp_path / "chain.py", None, stale).is_own


def test_our_own_environment_under_its_name_is_ours() -> None:
    active = {"VIRTUAL_ENV": str(Path(sys.executable).parent.parent)}
    assert choose_interpreter(Path("/nowhere/chain.py"), None, active).is_own


def test_an_option_that_names_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticsError) as caught:
        choose_interpreter(tmp_path / "chain.py", "no-such-python", {"PATH": str(tmp_path)})
    assert caught.value.diagnostics[0].code is Code.INTERPRETER_UNUSABLE


def test_a_version_is_looked_up_on_the_path(tmp_path: Path) -> None:
    python = tmp_path / "python3.99"
    python.write_text("")
    python.chmod(0o755)
    found = choose_interpreter(tmp_path / "chain.py", "3.99", {"PATH": str(tmp_path)})
    assert found == Interpreter(str(python), Origin.OPTION)
