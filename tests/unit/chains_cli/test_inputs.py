"""`JSON`, `@FILE` and `-`."""

import io
from pathlib import Path

import pytest

from chains_cli.operations.inputs import read_input
from chains_protocol.errors import Code, DiagnosticsError


def test_the_three_forms(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"b": 2}')
    assert read_input('{"a": 1}', cwd=tmp_path, stdin=io.StringIO()) == '{"a": 1}'
    assert read_input("@in.json", cwd=tmp_path, stdin=io.StringIO()) == '{"b": 2}'
    assert read_input("-", cwd=tmp_path, stdin=io.StringIO("[3]")) == "[3]"


def test_a_mistake_in_a_file_has_its_place(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{\n  "b": ,\n}')
    with pytest.raises(DiagnosticsError) as caught:
        read_input("@in.json", cwd=tmp_path, stdin=io.StringIO())
    (found,) = caught.value.diagnostics
    assert found.code is Code.BAD_INPUT
    assert found.location is not None
    assert (found.location.line, found.location.column) == (2, 8)
    assert found.location.source_line == '  "b": ,'


@pytest.mark.parametrize("text", ["{", "@missing.json", "names"])
def test_what_is_not_json_is_ch129(text: str, tmp_path: Path) -> None:
    with pytest.raises(DiagnosticsError) as caught:
        read_input(text, cwd=tmp_path, stdin=io.StringIO())
    assert [d.code for d in caught.value.diagnostics] == [Code.BAD_INPUT]
