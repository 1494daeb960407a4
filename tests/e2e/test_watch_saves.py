"""Saves that `chains watch` patches: types that change, a model in the same file, many files."""

import signal
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Chains
from tests.e2e.test_the_road import deployment, edit, replica_facts, wait_for, watching
from tests.soak.files import edit_many
from tests.soak.load import Load, failed
from tests.soak.world import call_source

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

MODEL = """\
import os
import pathlib
import time

import truss_chains as chains


def load():
    with pathlib.Path("{loads}").open("a") as log:
        log.write(f"{{os.getpid()}}\\n")
    time.sleep(3)
    return {{"loaded_by": os.getpid()}}


MODEL = load()


def shown(number):
    return number + 0


@chains.mark_entrypoint("one-file")
class Answer(chains.ChainletBase):
    async def run_remote(self) -> tuple[int, int]:
        return shown(0), MODEL["loaded_by"]
"""


def marked(source: str) -> str:
    return source.replace("class Entry", '@chains.mark_entrypoint("soak")\nclass Entry')


def test_saves_under_load_change_types_on_both_sides_of_a_hop(chains: Chains) -> None:
    """Each answer proves one version on all hops; none fails."""
    file = chains.cwd / "chain.py"
    file.write_text(marked(call_source(0)))
    with watching(chains) as watch:
        url = deployment(chains, "soak")["run_remote_url"]
        token = (chains.home / "platform" / "token").read_text().strip()
        with Load(url, token, {"text": "go"}) as load:
            for number in range(1, 9):
                rounds = len(watch.of("round_finished"))
                beside = file.with_suffix(".new~")
                beside.write_text(marked(call_source(number, number // 2)))
                beside.replace(file)
                watch.wait("a round", lambda w, n=rounds: len(w.of("round_finished")) > n)  # type: ignore[misc]
        assert all(e["committed"] for e in watch.of("round_finished")), watch.raw
    assert failed(load.answers) == []
    assert {len(set(a.value)) for a in load.answers} == {1}
    assert {a.value[0] for a in load.answers} >= {0, 7}


def test_editing_glue_never_loads_the_model_of_its_file_again(chains: Chains, tmp_path: Path) -> None:
    loads = tmp_path / "loads"
    file = chains.cwd / "chain.py"
    file.write_text(MODEL.format(loads=loads))
    with watching(chains, end=signal.SIGTERM):
        ((pid, count),) = replica_facts(deployment(chains, "one-file"), "Answer")
        logged = loads.read_text()
        assert logged.splitlines().count(str(pid)) == 1
        for number in range(1, 6):
            saved = time.monotonic()
            edit(file, f"return number + {number - 1}", f"return number + {number}")
            wait_for("the edit", lambda n=number: _answer(chains)[0] == n, 30)  # type: ignore[misc]
            assert time.monotonic() - saved < 3, "it took as long as loading the model"
        assert _answer(chains) == [5, pid]
        assert replica_facts(deployment(chains, "one-file"), "Answer") == [(pid, count)]
        assert loads.read_text() == logged


def _answer(chains: Chains) -> list[int]:
    value: list[int] = chains.ok("call", "one-file", "--development", "--output", "json").result["value"]
    return value


def test_no_save_among_many_files_is_missed_and_none_made_up(chains: Chains) -> None:
    seen = edit_many(chains, files=300, edits=30, idle_s=3)

    assert (seen.missed, seen.spurious) == ([], []), str(seen)
    assert seen.quantile(0.5) < 500, str(seen)
    assert seen.idle_cpu < 0.05, str(seen)
