"""What goes with reading a chain: mocks' paths, and the warning about another `truss_chains`."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from chains_cli.operations.source import absolute_mocks, truss_conflict
from chains_protocol.errors import Code, DiagnosticsError, Severity


def missing(name: str) -> object:
    raise PackageNotFoundError(name)


def test_another_truss_chains_is_a_warning_on_one_line() -> None:
    found = truss_conflict(lambda name: name)
    assert found is not None
    assert (found.code, found.severity, found.help) == (Code.TRUSS_INSTALLED, Severity.WARNING, None)
    assert "pip uninstall truss" in found.message
    assert truss_conflict(missing) is None


def test_files_of_mocks_count_from_the_current_directory() -> None:
    given = ["A=auto", "B=mocks.py:Fake", "C=/elsewhere/m.py:Fake"]
    assert absolute_mocks(given, Path("/work")) == (
        "A=auto",
        "B=/work/mocks.py:Fake",
        "C=/elsewhere/m.py:Fake",
    )


def test_another_form_is_ch127() -> None:
    with pytest.raises(DiagnosticsError) as caught:
        absolute_mocks(["A"], Path("/work"))
    assert [d.code for d in caught.value.diagnostics] == [Code.BAD_MOCK]
