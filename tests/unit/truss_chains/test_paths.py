"""1.11: paths relative to the file they are written in."""

from pathlib import Path

import pytest

import truss_chains as chains
from truss_chains.errors import MissingDependencyError
from truss_chains.utils import AbsPath, make_abs_path_here


def test_a_relative_path_is_resolved_against_the_calling_file():
    here = Path(__file__)
    assert chains.make_abs_path_here(here.name).abs_path == str(here)
    assert make_abs_path_here is chains.make_abs_path_here


def test_an_absolute_path_stays(tmp_path):
    file = tmp_path / "f"
    file.write_text("")
    found = chains.make_abs_path_here(str(file))
    assert isinstance(found, AbsPath)
    assert found.abs_path == str(found) == str(file)


def test_existence_is_checked_when_the_path_is_read(tmp_path):
    missing = chains.make_abs_path_here("absent/requirements.txt")
    with pytest.raises(MissingDependencyError) as caught:
        _ = missing.abs_path
    for fact in (
        "CH202",
        "absent/requirements.txt",
        __file__,
        str(Path(__file__).parent / "absent/requirements.txt"),
    ):
        assert fact in str(caught.value)
    with pytest.raises(MissingDependencyError):
        _ = chains.make_abs_path_here(str(tmp_path)).abs_path
    (tmp_path / "f").write_text("")
    assert chains.make_abs_path_here(str(tmp_path)).abs_path == str(tmp_path)
