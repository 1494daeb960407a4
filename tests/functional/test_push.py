"""`chains push`: from a file to a deployment, against the remote in memory."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chains_cli.remotes.memory import MemoryRemote
from chains_protocol.control import DeploymentKind, DeploymentState
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Location, Severity
from chains_protocol.manifest import ChainManifest

Tool = Any  # the fixture of conftest.py
Program = Callable[[str], Path]
Golden = Callable[[str, str], None]

USER_TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "/work/hello.py", line 9, in __init__\n'
    "    raise ValueError('no weights')\n"
    "ValueError: no weights"
)


def told(done: Any) -> str:
    """All that was said, without sizes, which change with what our packages hold."""
    text = f"stdout\n{done.out}stderr\n{done.err}"
    return re.sub(r"\b\d+(\.\d)? [kM]?B\b", "N bytes", text)


def fails(manifest: ChainManifest) -> tuple[DeploymentState, tuple[Diagnostic, ...]]:
    found = Diagnostic(code=Code.INIT_FAILED, message="`SayHello` failed to start", detail=USER_TRACEBACK)
    return DeploymentState.FAILED, (found,)


@pytest.fixture
def remote(tool: Tool) -> MemoryRemote:
    tool.remote = MemoryRemote()
    return tool.remote


@pytest.fixture
def hello(program: Program) -> str:
    return program("cli_hello.py").name


def test_it_ends_with_what_is_true_and_what_to_type(
    tool: Tool, remote: MemoryRemote, hello: str, golden: Golden
) -> None:
    done = tool.ok("push", hello)
    golden("push-first", told(done))


def test_an_unchanged_push_sends_and_restarts_nothing(
    tool: Tool, remote: MemoryRemote, hello: str, golden: Golden
) -> None:
    tool.ok("push", hello)
    done = tool.ok("push", hello)
    golden("push-unchanged", told(done))
    assert len(remote.chain("hello").deployments) == 1


def test_a_change_of_one_chainlet_keeps_the_other(tool: Tool, remote: MemoryRemote, hello: str) -> None:
    tool.ok("push", hello)
    path = tool.cwd / hello
    path.write_text(path.read_text().replace("{greeting}, {name}", "{greeting} {name}"))
    done = tool.ok("push", hello, "--dry-run")
    assert "start" in done.err
    before = {p.digest for p in remote.manifest("hello", "latest").manifest.packages}
    tool.ok("push", hello)
    after = {p.digest for p in remote.manifest("hello", "latest").manifest.packages}
    assert before != after


def test_a_dry_run_shows_the_plan_and_changes_nothing(
    tool: Tool, remote: MemoryRemote, hello: str, golden: Golden
) -> None:
    done = tool.ok("push", hello, "--dry-run")
    golden("push-dry-run", told(done))
    assert remote.chains().chains == ()
    assert remote.blobs == {}


def test_json_output_is_events_then_one_result(tool: Tool, remote: MemoryRemote, hello: str) -> None:
    done = tool.ok("push", hello, "-o", "json")
    types = list(dict.fromkeys(line["type"] for line in done.lines))
    assert types == ["plan", "upload", "chainlet_state", "deployment_state", "result"]
    assert done.err == ""
    result = done.result
    assert (result["ok"], result["exit_code"], result["chain"]) == (True, 0, "hello")
    assert result["deployment"]["state"] == "active"
    assert result["unchanged"] is False
    assert result["sent_files"] > 0


def test_a_failed_deployment_shows_the_users_traceback_and_exits_3(
    tool: Tool, remote: MemoryRemote, hello: str, golden: Golden
) -> None:
    remote.settle = fails
    done = tool("push", hello)
    assert (done.code, done.out) == (3, "")
    golden("push-failed", told(done))
    assert "chains_cli" not in done.err


def test_a_failed_deployment_in_json(tool: Tool, remote: MemoryRemote, hello: str) -> None:
    remote.settle = fails
    done = tool("push", hello, "--output", "json")
    assert done.code == 3
    assert (done.result["ok"], done.result["exit_code"]) == (False, 3)
    assert [d["code"] for d in done.result["diagnostics"]] == ["CH501"]


def test_a_chain_that_is_not_valid_never_reaches_the_remote(
    tool: Tool, remote: MemoryRemote, program: Program
) -> None:
    program("cli_broken.py")
    done = tool("push", "broken.py")
    assert done.code == 1
    assert done.err.count("error[CH") == 3
    assert remote.chains().chains == ()


def test_a_refused_plan_exits_3_and_says_the_choices(tool: Tool, remote: MemoryRemote, hello: str) -> None:
    found = Diagnostic(code=Code.GPU_MISSING, message="no GPU here", help="use `--allow-missing gpu`")

    def needs_gpu(manifest: ChainManifest, allowed: tuple[str, ...]) -> tuple[Diagnostic, ...]:
        return () if "gpu" in allowed else (found,)

    remote.check = needs_gpu
    done = tool("push", hello)
    assert done.code == 3
    assert done.err.endswith("error[CH310]: no GPU here\nhelp: use `--allow-missing gpu`\n")
    assert tool("push", hello, "--dry-run").code == 3
    tool.ok("push", hello, "--allow-missing", "gpu")


def test_what_the_target_cannot_honour_is_a_warning_or_a_refusal(
    tool: Tool, remote: MemoryRemote, hello: str
) -> None:
    found = Diagnostic(code=Code.TARGET_MISMATCH, severity=Severity.WARNING, message="no apt here", help="-")
    remote.check = lambda manifest, allowed: (found,)

    for more in ((), ("--dry-run",)):
        refused = tool("push", hello, "--strict-target", *more)
        assert (refused.code, "error[CH311]: no apt here" in refused.err) == (3, True)
    assert remote.chains().chains == ()
    done = tool.ok("push", hello)
    assert "warning[CH311]: no apt here" in done.out + done.err


def test_a_need_that_nobody_knows_is_a_wrong_command_line(tool: Tool, hello: str) -> None:
    done = tool("push", hello, "--allow-missing", "gpus")
    assert done.code == 2
    assert "`--allow-missing gpus`" in done.err


def test_no_wait_returns_once_accepted(tool: Tool, remote: MemoryRemote, hello: str) -> None:
    done = tool.ok("push", hello, "--no-wait")
    assert "is queued" in done.out
    assert "chains status hello" in done.out


@pytest.mark.parametrize("flag", [("--promote",), ("--environment", "staging")])
def test_an_environment_points_at_the_new_deployment(
    tool: Tool, remote: MemoryRemote, hello: str, flag: tuple[str, ...]
) -> None:
    tool.ok("push", hello, *flag)
    environment = "staging" if len(flag) == 2 else "production"
    assert remote.chain("hello").deployments[0].environments == (environment,)


def test_promoting_what_runs_already_sends_and_restarts_nothing(
    tool: Tool, remote: MemoryRemote, hello: str
) -> None:
    tool.ok("push", hello)
    done = tool.ok("push", hello, "--promote")
    assert "in production" in done.out
    assert "kept SayHello, HelloAll" in done.out
    assert "sent 0 files" in done.out


def test_names(tool: Tool, remote: MemoryRemote, hello: str) -> None:
    tool.ok("push", hello, "--name", "greeter", "--deployment-name", "first.try")
    (deployment,) = remote.chain("greeter").deployments
    assert deployment.name == "first.try"


def test_a_development_deployment(tool: Tool, remote: MemoryRemote, hello: str) -> None:
    done = tool.ok("push", hello, "--development")
    assert "development deployment" in done.out
    assert "chains call hello --development --data" in done.out
    assert remote.chain("hello").deployments[0].kind is DeploymentKind.DEVELOPMENT


def test_if_changed_does_nothing_for_what_runs(tool: Tool, remote: MemoryRemote, hello: str) -> None:
    tool.ok("push", hello, "--promote")
    done = tool.ok("push", hello, "--if-changed", "--promote", "-o", "json")
    assert done.result["unchanged"] is True
    assert done.result["url"].endswith("/hello/production/run_remote")
    assert len(remote.chain("hello").deployments) == 1


def test_if_changed_promotes_what_runs_elsewhere(tool: Tool, remote: MemoryRemote, hello: str) -> None:
    tool.ok("push", hello)
    done = tool.ok("push", hello, "--if-changed", "--promote", "-o", "json")
    assert done.result["unchanged"] is False
    assert remote.chain("hello").deployments[0].environments == ("production",)


def test_an_older_deployment_that_still_serves_is_not_what_runs(
    tool: Tool, remote: MemoryRemote, hello: str
) -> None:
    """Its Chainlets can be kept, and yet the newest deployment is another one."""

    class Reverted(MemoryRemote):
        def plan(self, chain: str, request: Any) -> Any:
            return super().plan(chain, request).model_copy(update={"unchanged": False, "current": None})

        def deploy(self, chain: str, request: Any) -> Any:
            asked.append(chain)
            return super().deploy(chain, request)

    asked: list[str] = []
    tool.remote = Reverted()
    tool.ok("push", hello)
    dry = tool.ok("push", hello, "--dry-run", "-o", "json")
    done = tool.ok("push", hello, "--if-changed", "-o", "json")
    assert [dry.result["unchanged"], done.result["unchanged"]] == [False, False]
    assert asked == ["hello", "hello"]


def test_what_a_remote_refuses_is_placed_for_who_stands_elsewhere(tool: Tool, hello: str) -> None:
    class Refusing(MemoryRemote):
        def plan(self, chain: str, request: Any) -> Any:
            spec = request.manifest.packages[0].spec
            found = Diagnostic(
                code=Code.GPU_MISSING, message="no GPU", location=Location(path=spec.file, line=spec.line)
            )
            return super().plan(chain, request).model_copy(update={"diagnostics": (found,)})

    tool.remote = Refusing()
    (tool.cwd / "sub").mkdir()
    (tool.cwd / hello).rename(tool.cwd / "sub" / hello)
    done = tool("push", f"sub/{hello}")
    assert done.code == 3
    assert f"--> sub/{hello}:" in done.err


def test_a_remote_that_is_gone_exits_4(tool: Tool, remote: MemoryRemote, hello: str) -> None:
    remote.is_running = False
    assert tool("push", hello).code == 4


def test_a_conflict_exits_5(tool: Tool, remote: MemoryRemote, hello: str) -> None:
    class Contested(MemoryRemote):
        def deploy(self, chain: str, request: Any) -> Any:
            raise DiagnosticsError([Diagnostic(code=Code.STALE_BASE, message="another push was faster")])

    tool.remote = Contested()
    done = tool("push", hello, "--output", "json")
    assert done.code == 5
    assert done.result["exit_code"] == 5
    assert done.lines[-2]["type"] == "diagnostic"


def test_an_interrupted_wait_says_that_the_deployment_goes_on(
    tool: Tool, remote: MemoryRemote, hello: str
) -> None:
    class Interrupted(MemoryRemote):
        def events(self, *args: Any, **options: Any) -> Any:
            raise KeyboardInterrupt

    tool.remote = Interrupted()
    done = tool("push", hello)
    assert done.code == 130
    assert "goes on: `chains status hello`" in done.err


def test_a_wait_that_takes_too_long_exits_3(tool: Tool, remote: MemoryRemote, hello: str) -> None:
    class Slow(MemoryRemote):
        def events(self, chain: str, selector: str, *, after: int = 0, follow: bool = True) -> Any:
            return iter(())

    tool.remote = Slow()
    done = tool("push", hello, "--timeout", "0.01")
    assert done.code == 3
    assert "error[CH313]" in done.err


def test_a_verbose_dry_run_says_which_files_each_chainlet_gets_and_why(
    tool: Tool, remote: MemoryRemote, hello: str
) -> None:
    done = tool.ok("push", hello, "--dry-run", "--verbose")
    lines = [line for line in done.err.splitlines() if line.startswith("    packages/")]
    assert len(lines) == 2
    assert all(line.endswith("): declares the Chainlet") for line in lines)
    assert "packages/" not in tool.ok("push", hello, "--dry-run").err
    events = [
        json.loads(line) for line in tool.ok("push", hello, "--dry-run", "--output", "json").out.splitlines()
    ]
    files = [e for e in events if e["type"] == "package_file" and e["chainlet"] == "HelloAll"]
    assert {"chains.json", "config.yaml", f"packages/{hello}"} <= {f["path"] for f in files}
