"""doctor and platform, without a platform."""

from pathlib import Path
from typing import Any

from chains_cli import events
from chains_cli.operations import doctor, platform

Tool = Any  # the fixture of conftest.py


def test_doctor_finds_nothing_wrong_here(tool: Tool) -> None:
    done = tool.ok("doctor", "-o", "json")
    names = [check["name"] for check in done.result["checks"]]
    assert names == ["python", "uv", "home", "disk", "platform", "ports", "file watching", "truss"]
    assert all(check["ok"] for check in done.result["checks"])
    assert tool.ok("doctor").out.endswith("all is fine\n")


def test_doctor_exits_1_and_says_what_to_do(tool: Tool) -> None:
    tool.home.write_text("not a directory")
    done = tool("doctor")
    assert done.code == 1
    assert "bad" in done.out
    assert "CHAINS_HOME" in done.out


def test_few_inotify_watches_are_found(tmp_path: Path) -> None:
    limit = tmp_path / "max_user_watches"
    limit.write_text("100\n")
    check = doctor.check_watches(limit)
    assert (check.ok, check.message) == (False, "100 inotify watches")
    assert "sysctl" in (check.help or "")
    assert doctor.check_watches(tmp_path / "absent").ok


def test_a_platform_that_does_not_run(tool: Tool) -> None:
    done = tool("platform", "status")
    assert done.code == 4
    assert done.out.startswith("does not run; ")
    assert tool.ok("platform", "down").out == done.out
    assert tool.ok("platform", "logs", "-o", "json").result["lines"] == 0


def test_platform_logs_are_those_of_both_processes(tool: Tool) -> None:
    logs = tool.home / "platform" / "logs"
    logs.mkdir(parents=True)
    (logs / "control.log").write_text("one\ntwo\n")
    (logs / "gateway.log").write_text("three\n")
    assert tool.ok("platform", "logs").out == "one\ntwo\nthree\n"


def test_following_ends_with_an_interruption_and_status_0(tmp_path: Path) -> None:
    log = tmp_path / "platform" / "logs" / "control.log"
    log.parent.mkdir(parents=True)
    log.write_text("one\ntw")
    told: list[str] = []

    def wait() -> None:
        if len(told) == 2:
            raise KeyboardInterrupt
        with log.open("a") as file:
            file.write("o\n")

    def report(event: events.Event) -> None:
        assert isinstance(event, events.Line)
        told.append(event.text)

    result = platform.logs(tmp_path, report, follow=True, wait=wait)
    assert (told, result.lines, result.exit_code) == (["one", "two"], 2, 0)
