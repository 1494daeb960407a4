"""The benchmarks run; how fast anything is, is not a test's business."""

import re

import pytest

from benchmarks.__main__ import has_short_form, load, main, names, run
from truss_chains.validation import scope


def test_they_are_listed_with_what_they_measure(capsys: pytest.CaptureFixture[str]) -> None:
    with scope():
        assert main(["--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == names()
    assert all(len(line.split()) > 4 for line in listed)


@pytest.mark.parametrize("name", names())
def test_each_runs_in_its_short_form_and_prints_ratios(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with scope():
        module = load(name)
        if not has_short_form(module):
            pytest.skip("it has no short form")
        run(module, short=True)
    assert re.search(r"\d\.\d", capsys.readouterr().out)


def test_an_unknown_name_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["no-such-benchmark"])
    assert caught.value.code == 2
    assert "no-such-benchmark" in capsys.readouterr().err
