"""Undo, history, publish, and a platform elsewhere: real platform, real replicas."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Chains
from tests.e2e.test_the_road import CHAIN, QUESTION, deployment, replica_facts, watching

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def glue(chains: Chains) -> Path:
    shutil.copytree(ROOT / "examples" / "glue_and_model", chains.cwd, dirs_exist_ok=True)
    return chains.cwd


def call(chains: Chains, *where: str) -> Any:
    return chains.ok("call", CHAIN, "--data", json.dumps(QUESTION), "-o", "json", *where).result["value"]


def test_undo_is_noticed_by_a_watch_and_publish_needs_no_workspace(chains: Chains, glue: Path) -> None:
    source = glue / "chain.py"
    text = source.read_text()
    with watching(chains) as watch:
        before = call(chains, "--development")
        source.write_text(text.replace("round(score, 3)", "round(score, 1)"))
        watch.wait("a round", lambda w: any(e["changed"] for e in w.of("round_finished")))
        pids = [replica_facts(deployment(chains), name) for name in ("Search", "Embedder")]
        version = deployment(chains)["version"]

        undone = chains.ok("undo", CHAIN, "-o", "json").result

        assert undone["version"] == version + 1
        assert call(chains, "--development") == before
        assert [replica_facts(deployment(chains), name) for name in ("Search", "Embedder")] == pids
        watch.wait(
            "the notice", lambda w: any(d["diagnostic"]["code"] == "CH305" for d in w.of("diagnostic"))
        )
        versions = chains.ok("history", CHAIN, "-o", "json").result["versions"]
        assert versions[-1]["restores"] == undone["restored"]

        source.write_text(text.replace("round(score, 3)", "round(score, 2)"))
        watch.wait("the next save", lambda w: deployment(chains)["version"] == version + 2)
        chains.ok("undo", CHAIN)
    source.unlink()
    chains.ok("publish", CHAIN, "--promote")
    assert call(chains, "--environment", "production") == before


def test_push_and_call_at_a_platform_elsewhere(chains: Chains, glue: Path, tmp_path: Path) -> None:
    """Another home, another port; the token comes from standard input."""
    chains.ok("platform", "up")
    state = chains.ok("platform", "status", "-o", "json").result["state"]
    token = (chains.home / "platform" / "token").read_text().strip()
    author = Chains(home=tmp_path / "author", cwd=glue)
    author.ok("remote", "add", "lab", "--url", state["control_url"], stdin=f"{token}\n")
    author.ok("push", "chain.py", "--remote", "lab")
    author.ok("remote", "use", "lab")
    assert call(author)
    assert not author.processes()
    author.ok("remote", "add", "lab", "--url", state["control_url"], stdin="wrong\n")
    assert author.run("status").code == 4


def test_a_watch_that_lost_its_remote_sends_what_was_saved_meanwhile(chains: Chains, glue: Path) -> None:
    source = glue / "chain.py"
    chains.ok("push", "chain.py", "--development")
    with watching(chains) as watch:
        for process in [p for p in chains.processes() if "serve" in p.cmdline()]:
            process.kill()
        watch.wait("the loss", lambda w: any(d["diagnostic"]["code"] == "CH301" for d in w.of("diagnostic")))
        source.write_text(source.read_text().replace("round(score, 3)", "round(score, 2)"))
        watch.wait("a failed round", lambda w: any(not e["committed"] for e in w.of("round_finished")))

        chains.ok("platform", "up")

        watch.wait("the patch", lambda w: w.of("round_finished")[-1]["committed"])
        assert deployment(chains)["version"] == 2
