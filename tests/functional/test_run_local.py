"""`chains run-local`: a chain in one process of the user's interpreter."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tool = Any  # the fixture of conftest.py
Program = Callable[[str], Path]
Golden = Callable[[str, str], None]


@pytest.fixture
def faults(program: Program) -> str:
    return program("cli_faults.py").name


def test_the_result_is_on_stdout_and_prints_are_not(tool: Tool, faults: str) -> None:
    done = tool.ok("run-local", faults, "Faults", "--input", '{"how": "work"}')
    assert done.out == "work:none\n"
    assert done.err == "about to work\n"


def test_without_input_it_shows_what_it_takes(tool: Tool, faults: str, golden: Golden) -> None:
    golden("run-local-describe", tool.ok("run-local", faults, "Faults").out)


def test_input_from_a_file_and_from_standard_input(tool: Tool, faults: str) -> None:
    (tool.cwd / "in.json").write_text('{"how": "file"}')
    assert tool.ok("run-local", faults, "Faults", "-i", "@in.json").out == "file:none\n"
    assert tool.ok("run-local", faults, "Faults", "-i", "-", stdin='{"how": "pipe"}').out == "pipe:none\n"


def test_secrets_reach_the_context(tool: Tool, faults: str) -> None:
    done = tool.ok("run-local", faults, "Faults", "--secret", "key=s3", "--input", '{"how": "see"}')
    assert done.out == "see:s3\n"


@pytest.mark.parametrize("mock", ["Worker=auto", "Worker=faults.py:FakeWorker"])
def test_a_mock_takes_the_place_of_a_chainlet(tool: Tool, faults: str, mock: str) -> None:
    done = tool.ok("run-local", faults, "Faults", "--mock", mock, "--input", '{"how": "x"}')
    assert done.out in ("Worker\n", "fake x\n")


def test_a_mock_that_does_not_fit_is_refused_before_anything_runs(tool: Tool, faults: str) -> None:
    done = tool("run-local", faults, "Faults", "--mock", "Worker=faults.py:Letters", "-i", '{"how": "x"}')
    assert done.code == 1
    assert "error[CH127]" in done.err
    assert "about to" not in done.err


def test_an_error_of_the_user_shows_the_users_traceback_only(tool: Tool, faults: str, golden: Golden) -> None:
    done = tool("run-local", faults, "Faults", "--input", '{"how": "raise"}')
    assert (done.code, done.out) == (1, "")
    golden("run-local-error", done.err.replace(str(tool.cwd), "/work"))


def test_a_failing_init_is_told_as_such(tool: Tool, faults: str) -> None:
    done = tool("run-local", faults, "Broken", "--input", "{}")
    assert done.code == 1
    assert done.err.startswith("error[CH501]: `Broken` could not be made: RuntimeError: no weights\n")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"how": 7}', "`how`"),
        ("{}", "`how`"),
        ('{"how"', "not JSON"),
        ("@missing.json", "cannot be read"),
    ],
)
def test_a_bad_input_is_ch129_and_says_what_would_fit(tool: Tool, faults: str, text: str, part: str) -> None:
    done = tool("run-local", faults, "Faults", "--input", text)
    assert done.code == 1
    assert done.err.startswith("error[CH129]: ")
    assert part in done.err
    assert "about to" not in done.err


def test_a_result_that_does_not_fit_is_an_error(tool: Tool, faults: str) -> None:
    done = tool("run-local", faults, "Faults", "--input", '{"how": "number"}')
    assert done.code == 1
    assert "return annotation" in done.err


def test_code_that_ends_its_process_is_told(tool: Tool, faults: str) -> None:
    done = tool("run-local", faults, "Faults", "--input", '{"how": "exit"}')
    assert done.code == 1
    assert "SystemExit: 7" in done.err


def test_a_stream_of_bytes_comes_as_items(tool: Tool, faults: str) -> None:
    done = tool.ok("run-local", faults, "Letters", "--input", '{"word": "abc"}', "--output", "json")
    assert [line["value"] for line in done.lines if line["type"] == "item"] == ["a", "b", "c"]
    assert done.result["streamed"] is True
    assert tool.ok("run-local", faults, "Letters", "--input", '{"word": "abc"}').out == "abc"


def test_the_data_directory_must_exist(tool: Tool, faults: str) -> None:
    done = tool("run-local", faults, "Faults", "--data-dir", "nowhere", "--input", '{"how": "x"}')
    assert done.code == 1
    assert "error[CH202]" in done.err
