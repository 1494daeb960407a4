"""What the consoles write: stdout the result, stderr the story."""

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from chains_cli import events
from chains_cli.console.console import Console, make_console
from chains_cli.console.diagnostics import diagnostic_lines, shown_path
from chains_cli.console.layout import age_text, bytes_text, columns, milliseconds_text
from chains_cli.console.palette import Palette
from chains_cli.settings import Output, Settings
from chains_protocol.errors import Code, Diagnostic, Location, Severity

CWD = Path("/project")

BROKEN = Diagnostic(
    code=Code.MISSING_ANNOTATION,
    message="parameter `x` of `Splitter.run_remote` has no type annotation",
    location=Location(
        path="/project/chain.py",
        line=5,
        column=32,
        source_line="    async def run_remote(self, x, limit: int) -> int:\n",
    ),
    help="write the type, for example `x: str`",
)


@dataclass(frozen=True)
class Answer:
    value: int
    exit_code: int = 0


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def lines_of(result: Answer) -> Iterable[str]:
    return (f"the value is {result.value}",)


def run(console: Console, result: Answer) -> int:
    console.show(events.Step("reading chain.py"))
    console.show(events.Step("a detail", detail=True))
    console.show(events.Upload(0, 4200, 2))
    console.show(events.Upload(4200, 4200, 2))
    console.show(events.Found(BROKEN.model_copy(update={"severity": Severity.WARNING})))
    status = console.finish(result, lambda palette: lines_of(result))
    console.close()
    return status


def settings(**changes: object) -> Settings:
    return Settings(home=Path("/home/of/chains"), cwd=CWD, **changes)  # type: ignore[arg-type]


def test_text_keeps_result_and_story_apart() -> None:
    out, err = io.StringIO(), io.StringIO()
    assert run(make_console(settings(), out, err), Answer(7)) == 0
    assert out.getvalue() == "the value is 7\n"
    assert err.getvalue().splitlines()[:2] == ["reading chain.py", "sending 2 files, 4.2 kB"]
    assert "warning[CH104]" in err.getvalue()
    assert "a detail" not in err.getvalue()
    assert "\x1b" not in err.getvalue()


def test_quiet_tells_only_warnings_and_the_result() -> None:
    out, err = io.StringIO(), io.StringIO()
    run(make_console(settings(quiet=True), out, err), Answer(7))
    assert out.getvalue() == "the value is 7\n"
    assert err.getvalue().startswith("warning[CH104]")


def test_verbose_tells_details() -> None:
    err = io.StringIO()
    run(make_console(settings(verbose=True), io.StringIO(), err), Answer(7))
    assert "a detail" in err.getvalue()


def test_json_is_lines_on_stdout_and_nothing_else() -> None:
    out, err = io.StringIO(), io.StringIO()
    assert run(make_console(settings(output=Output.JSON), out, err), Answer(7, exit_code=3)) == 3
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert err.getvalue() == ""
    assert [line["type"] for line in lines] == ["step", "step", "upload", "upload", "diagnostic", "result"]
    assert all(line["schema"] == 1 for line in lines)
    assert lines[-1] == {"type": "result", "schema": 1, "ok": False, "exit_code": 3, "value": 7}
    assert lines[4]["diagnostic"]["code"] == "CH104"


def test_a_terminal_gets_colour_and_a_live_table() -> None:
    out, err = Terminal(), Terminal()
    console = make_console(settings(), out, err)
    console.show(events.ChainletChanged("Splitter", "starting"))
    console.show(events.Step("between"))
    console.show(events.ChainletChanged("Splitter", "ready"))
    console.show(events.DeploymentChanged("hello", "d1", "active"))
    console.close()
    assert "\x1b[" in err.getvalue()
    assert "Splitter" in err.getvalue()
    assert "between" in err.getvalue()
    assert "deployment d1 of hello" in err.getvalue()


def test_no_color_holds_on_a_terminal() -> None:
    out, err = Terminal(), Terminal()
    run(make_console(settings(color=False), out, err), Answer(7))
    assert "\x1b[3" not in out.getvalue() + err.getvalue()


def test_a_stream_is_written_as_it_comes() -> None:
    out = io.StringIO()
    console = make_console(settings(), out, io.StringIO())
    for item in ("Hel", "lo", b" wor", {"n": 1}):
        console.show(events.Item(item))
    assert out.getvalue() == 'Hello wor{"n": 1}\n'


def test_the_block_of_an_error() -> None:
    assert "\n".join(diagnostic_lines(BROKEN, CWD)) == (
        "error[CH104]: parameter `x` of `Splitter.run_remote` has no type annotation\n"
        "  --> chain.py:5\n"
        "  5 |     async def run_remote(self, x, limit: int) -> int:\n"
        "help: write the type, for example `x: str`"
    )


def test_the_block_reads_the_same_in_colour() -> None:
    import re

    coloured = "\n".join(diagnostic_lines(BROKEN, CWD, Palette(True)))
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == "\n".join(diagnostic_lines(BROKEN, CWD))


def test_detail_is_shown_verbatim_below_the_place() -> None:
    found = Diagnostic(code=Code.INIT_FAILED, message="`A` failed", detail="Traceback:\n  x\nValueError: y\n")
    assert diagnostic_lines(found, CWD) == [
        "error[CH501]: `A` failed",
        "  Traceback:",
        "    x",
        "  ValueError: y",
    ]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/project/sub/a.py", "sub/a.py"),
        ("/elsewhere/a.py", "/elsewhere/a.py"),
        ("already/relative.py", "already/relative.py"),
        ("/projector/a.py", "/projector/a.py"),
    ],
)
def test_paths_are_relative_below_the_current_directory(path: str, shown: str) -> None:
    assert shown_path(path, CWD) == shown


def test_numbers_for_people() -> None:
    assert [bytes_text(n) for n in (0, 999, 1000, 4_200_000)] == ["0 B", "999 B", "1.0 kB", "4.2 MB"]
    assert [milliseconds_text(t) for t in (7.6, 999, 1400)] == ["8 ms", "999 ms", "1.4 s"]
    assert [age_text(t) for t in (-1, 59, 60, 3600, 90000)] == ["0 s", "59 s", "1 min", "1 h", "1 d"]


def test_columns_ignore_colour_and_count_wide_characters() -> None:
    rows = [["a", "x"], [Palette(True).bold("bb"), "y"], ["漢", "z"]]
    lines = columns(rows)
    assert lines[0] == "a   x"
    assert lines[2] == "漢  z"
    assert lines[1].endswith("  y")


def test_what_knows_its_json_is_asked_for_it() -> None:
    from chains_cli.console.encode import to_plain

    class Plan:
        def to_json(self) -> dict[str, object]:
            return {"steps": []}

    assert to_plain({"plan": Plan(), "path": Path("/a"), "raw": b"\xff", "n": 0.1 + 0.2}) == {
        "plan": {"steps": []},
        "path": "/a",
        "raw": {"base64": "/w=="},
        "n": 0.3,
    }
