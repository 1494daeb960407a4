"""The benchmarks run; how fast anything is, is not a test's business."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import has_short_form, load, main, names
from benchmarks._measured import Measured
from benchmarks._plot import Panel, fit, svg
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


def test_growth_tells_a_line_from_a_square() -> None:
    with scope():
        growth = load("packaging_growth").growth

    def seen(cost: Callable[[int], float]) -> dict[int, Measured]:
        return {size: Measured(0, cost(size)) for size in (125, 250, 500, 1_000)}

    assert growth(seen(lambda size: 0.5 + 0.002 * size)) == pytest.approx(1)
    assert growth(seen(lambda size: 0.5 + 0.000_002 * size**2)) > 2


def test_a_plot_is_a_picture_with_a_panel_a_line() -> None:
    panel = Panel("files & <more>", "files", "seconds", [(10, 1.0), (20, 2.0), (40, 4.0)])
    assert fit(panel.points) == pytest.approx((0, 0.1))
    picture = ElementTree.fromstring(svg([panel, panel]))  # noqa: S314 (our own)
    titles = [node.text for node in picture.iter() if node.get("class") == "title"]
    assert titles == ["files & <more>"] * 2
    assert len([node for node in picture.iter() if node.tag.endswith("circle")]) == 6
