"""The benchmarks run; how fast anything is, is not a test's business."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import has_short_form, load, main, names
from truss_chains.validation import scope

ROOT = Path(__file__).resolve().parents[2]


def test_they_are_listed_with_what_they_measure(capsys: pytest.CaptureFixture[str]) -> None:
    with scope():
        assert main(["--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == names()
    assert all(len(line.split()) > 4 for line in listed)


@pytest.mark.parametrize("name", names())
def test_each_runs_in_its_short_form_and_prints_ratios(name: str) -> None:
    with scope():
        if not has_short_form(load(name)):
            pytest.skip("it has no short form")
    command = [sys.executable, "-m", "benchmarks", name, "--short"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d\.\d", done.stdout)


def test_an_unknown_name_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["no-such-benchmark"])
    assert caught.value.code == 2
    assert "no-such-benchmark" in capsys.readouterr().err
