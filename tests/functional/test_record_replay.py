"""`chains run-local --record FILE` and `--replay FILE`."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tool = Any  # the fixture of conftest.py
Program = Callable[[str], Path]

SECRET = "s3cret-value"
INPUT = json.dumps({"prompts": ["a", "best", "bad"]})
RESULT = ["A 0.5", "BEST inf", "a ValueError", "ä", "seven"]


@pytest.fixture
def recorded(tool: Tool, program: Program) -> Any:
    """A run that was recorded in `calls.jsonl`."""
    program("cli_recorded.py")
    secret = ("--secret", f"key={SECRET}")
    return tool.ok("run-local", "recorded.py", "-i", INPUT, "--record", "calls.jsonl", *secret)


def calls(tool: Tool) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tool.cwd / "calls.jsonl").read_text().splitlines()]


def test_each_call_is_a_line_with_inputs_output_and_time(tool: Tool, recorded: Any) -> None:
    assert json.loads(recorded.out) == RESULT
    assert f"recorded 4 calls in {tool.cwd / 'calls.jsonl'}" in recorded.err
    first, best, bad, chunks = calls(tool)
    assert (first["caller"], first["callee"], first["method"]) == ("Recorded", "Model", "run_remote")
    assert first["inputs"] == {"prompt": "a", "key": "***"}
    assert first["output"] == {"text": "A", "score": 0.5}
    assert first["started"] > 0
    assert first["duration_s"] >= 0
    assert list(best["output"]) == ["$msgpack"], "JSON has no infinity"
    assert bad["error"]["exception_cls_name"] == "ValueError"
    assert [list(item) for item in chunks["items"]] == [["$msgpack"]] * 2, "half a character is no text"


def test_secrets_are_hidden_everywhere(tool: Tool, recorded: Any) -> None:
    """In inputs, and in the text of an error that names one; the file is its owner's only."""
    text = (tool.cwd / "calls.jsonl").read_text()
    assert SECRET not in text
    assert "refused with ***" in text
    assert stat.S_IMODE((tool.cwd / "calls.jsonl").stat().st_mode) == 0o600


def test_what_does_not_fit_is_told_and_harms_nothing(recorded: Any) -> None:
    """L-08: plain calls pass on a result that a deployed Chainlet could not."""
    assert "warning[CH127]: calls of `Loose` were not recorded" in recorded.err


def test_a_replay_gives_the_same_without_running_the_chainlets(tool: Tool, recorded: Any) -> None:
    options = ("--replay", "calls.jsonl", "--replay-chainlets", "Model,Chunks", "--secret", "key=another")
    done = tool.ok("run-local", "recorded.py", "-i", INPUT, *options)
    assert json.loads(done.out) == RESULT
    assert "the model is loaded" in recorded.err
    assert "the model is loaded" not in done.err


def test_without_names_all_that_was_recorded_is_replayed(tool: Tool, recorded: Any) -> None:
    done = tool.ok(
        "run-local", "recorded.py", "-i", INPUT, "--replay", "calls.jsonl", "--secret", f"key={SECRET}"
    )
    assert json.loads(done.out) == RESULT
    assert "the model is loaded" not in done.err


def test_a_mock_that_is_given_wins(tool: Tool, recorded: Any) -> None:
    options = ("--replay", "calls.jsonl", "--mock", "Chunks=auto", "--secret", f"key={SECRET}")
    done = tool.ok("run-local", "recorded.py", "-i", INPUT, *options)
    assert json.loads(done.out)[:3] == RESULT[:3]
    assert json.loads(done.out)[3] != "ä"


def test_a_call_that_was_not_recorded_is_an_error_that_shows_what_was(tool: Tool, recorded: Any) -> None:
    unknown = json.dumps({"prompts": ["new"]})
    done = tool("run-local", "recorded.py", "-i", unknown, "--replay", "calls.jsonl")
    assert done.code == 1
    assert "error[CH127]" in done.err
    assert "no call of `Model` with these inputs was recorded" in done.err
    assert '"prompt": "best"' in done.err


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--replay", "nothing.jsonl"), 1, "CH202"),
        (("--replay", "calls.jsonl", "--replay-chainlets", "Nobody"), 1, "CH317"),
        (("--replay", "calls.jsonl", "--replay-chainlets", "Loose"), 1, "no call of `Loose` was recorded"),
        (("--replay", "recorded.py"), 1, "line 1 is no recorded call"),
        (("--record", "no/such/directory/calls.jsonl"), 1, "CH202"),
        (("--replay-chainlets", "Model"), 2, "needs --replay"),
    ],
)
def test_what_can_not_be_done_is_told(
    tool: Tool, recorded: Any, options: tuple[str, ...], code: int, told: str
) -> None:
    done = tool("run-local", "recorded.py", "-i", INPUT, *options)
    assert done.code == code, done.err
    assert told in done.err
    assert "Traceback" not in done.err
    assert "could not be made" not in done.err


def test_recording_needs_an_input(tool: Tool, program: Program) -> None:
    program("cli_recorded.py")
    assert tool("run-local", "recorded.py", "--record", "calls.jsonl").code == 2
    assert not (tool.cwd / "calls.jsonl").exists()
