"""A Chain that depends on a Truss, pushed, called, edited and served anew: real platform, real replicas."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Chains
from tests.e2e.test_the_road import deployment, replica_facts, watching

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "wrapped_truss"
REVIEWS = {"reviews": ["Great and fine", "It came broken", "good but slow"]}


def call(chains: Chains) -> Any:
    done = chains.ok("call", "Reviews", "--development", "--data", json.dumps(REVIEWS), "-o", "json")
    return done.result["value"]


def test_a_chain_calls_a_truss_and_an_edit_restarts_that_alone(chains: Chains) -> None:
    """G-60, R-32 and R-33: its own requirements, packages and data; also by a client that blocks."""
    shutil.copytree(EXAMPLE, chains.cwd, dirs_exist_ok=True)
    source = chains.cwd / "chain.py"
    blocking = source.read_text().replace("async with httpx.AsyncClient", "with httpx.Client")
    source.write_text(blocking.replace("await client.post", "client.post"))
    model = chains.cwd / "sentiment" / "model" / "model.py"
    with watching(chains) as watch:
        assert call(chains) == {"average": 0.08, "worst": "It came broken"}
        caller = replica_facts(deployment(chains, "Reviews"), "Reviews")
        truss = replica_facts(deployment(chains, "Reviews"), "Sentiment")

        model.write_text(model.read_text().replace("* self._scale, floor", "* 2 * self._scale, floor"))
        watch.wait("the restart", lambda w: deployment(chains, "Reviews")["version"] == 2)

        assert call(chains) == {"average": 0.17, "worst": "It came broken"}
        assert replica_facts(deployment(chains, "Reviews"), "Reviews") == caller
        assert replica_facts(deployment(chains, "Reviews"), "Sentiment") != truss
