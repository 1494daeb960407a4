"""Environments through the whole road: conflicting versions, another Python, no network, failures, kills."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from chains_platform.engines.pythons import managed_roots, managed_versions
from tests.e2e.conftest import Chains

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """\
import sys

import truss_chains as chains


@chains.mark_entrypoint("alone")
class Alone(chains.ChainletBase):
    remote_config = chains.RemoteConfig(docker_image=chains.DockerImage({image}))

    async def run_remote(self, text: str) -> str:
        return f"{{text}} {{sys.version_info[0]}}.{{sys.version_info[1]}}"
"""


def program(chains: Chains, image: str = "") -> None:
    (chains.cwd / "chain.py").write_text(PROGRAM.format(image=image))


def environments(chains: Chains) -> list[Path]:
    """Those that are complete."""
    return sorted(path.parent for path in (chains.home / "envs").glob("*/.complete"))


def unfinished(chains: Chains) -> list[Path]:
    directories = (p for p in (chains.home / "envs").iterdir() if p.is_dir())
    return [p for p in directories if not (p / ".complete").exists()]


def diagnostics(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [d for e in events if e["type"] == "result" for d in e.get("diagnostics", ())]


def test_two_chainlets_have_two_versions_of_one_package(chains: Chains) -> None:
    """The example `versions`: as its page says, also offline and after a collection."""
    shutil.copy(ROOT / "examples" / "versions" / "chain.py", chains.cwd)
    chains.ok("push", "chain.py")
    expected = [{"text": "1.5.0", "semver": "2.13.0"}, {"text": "1.5.0", "semver": "3.0.2"}]
    answer = chains.ok("call", "versions", "--data", '{"text": "1.4.2"}')
    assert json.loads(answer.out) == expected
    page = (ROOT / "examples" / "versions" / "README.md").read_text()
    assert json.dumps(expected) in page
    assert len(environments(chains)) == 3

    assert chains.ok("platform", "gc", "--older-than", "0", "--output", "json").result["environments"] == 0
    chains.ok("delete", "versions", "--yes")
    shown = chains.ok("platform", "gc", "--older-than", "0", "--dry-run").out
    assert "would remove 3 environments" in shown
    assert "removed 3 environments" in chains.ok("platform", "gc", "--older-than", "0").out
    assert environments(chains) == [] and unfinished(chains) == []

    chains.ok("platform", "down")
    chains.env["UV_OFFLINE"] = "1"
    chains.ok("push", "chain.py")
    assert json.loads(chains.ok("call", "versions", "--data", '{"text": "1.4.2"}').out) == expected


def test_a_python_of_a_version_manager_is_used(chains: Chains) -> None:
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    # those an image can name, and that this platform supports
    others = [v for v in managed_versions(managed_roots(os.environ)) if v == "3.11" and v != own]
    if not others:
        pytest.skip("no other interpreter is at hand")
    program(chains, "base_image=chains.BasetenImage.PY311")
    chains.ok("push", "chain.py")
    assert chains.ok("call", "alone", "--data", '{"text": "on"}').out.strip() == "on 3.11"


def test_a_python_that_is_not_at_hand_is_told(chains: Chains) -> None:
    """CH311, and the nearest is used."""
    program(chains, "base_image=chains.BasetenImage.PY39")
    done = chains.ok("push", "chain.py")
    assert "CH311" in done.err and "Python 3.9" in done.err
    assert chains.ok("call", "alone", "--data", '{"text": "on"}').out.startswith("on 3.1")


@pytest.mark.parametrize(
    ("requirements", "reason"),
    [
        ('["six==0.0.1"]', "six==0.0.1"),
        ('["semver==2.13.0", "semver==3.0.2"]', "semver"),
    ],
    ids=["no such version", "conflict"],
)
def test_a_build_that_fails_says_why_in_the_resolvers_words(
    chains: Chains, requirements: str, reason: str
) -> None:
    """CH312."""
    program(chains, f"pip_requirements={requirements}")
    done = chains.run("push", "chain.py")
    assert done.code == 3
    assert "CH312" in done.err
    assert "unsatisfiable" in done.err and reason in done.err
    assert unfinished(chains) == []
    program(chains)
    chains.ok("push", "chain.py")


def test_a_control_plane_killed_in_a_build_leaves_nothing_half_made(chains: Chains) -> None:
    """The next push completes what was interrupted."""
    program(chains, 'pip_requirements=["semver==3.0.1"]')
    chains.ok("platform", "up")
    push = chains.start("push", "chain.py")
    try:
        deadline = time.monotonic() + 60
        while not unfinished_or_none(chains):
            assert push.poll() is None and time.monotonic() < deadline
            time.sleep(0.001)
        file = json.loads((chains.home / "platform" / "platform.json").read_text())
        os.kill(file["pid"], signal.SIGKILL)
        push.communicate(timeout=100)
    finally:
        if push.poll() is None:
            push.kill()
            push.communicate()
    psutil.wait_procs([p for p in chains.processes() if p.name() == "uv"], timeout=60)
    half = unfinished(chains)
    chains.ok("push", "chain.py")
    assert half, "it was killed in the middle"
    assert unfinished(chains) == []
    assert chains.ok("call", "alone", "--data", '{"text": "on"}').out.startswith("on")


def unfinished_or_none(chains: Chains) -> list[Path]:
    return unfinished(chains) if (chains.home / "envs").is_dir() else []


def test_build_output_is_streamed_to_the_author(chains: Chains) -> None:
    program(chains, 'pip_requirements=["semver==3.0.4"]')
    done = chains.ok("push", "chain.py", "--output", "json")
    lines = [e["text"] for e in done.events() if e["type"] == "build_output"]
    assert any("semver" in line for line in lines)
