"""How a watch ends, at every stage: promptly, nothing half-done left, and the next one goes on."""

import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import Chains
from tests.e2e.test_the_road import Watch, deployment, edit, replica_facts, wait_for, watching

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CHAIN = """\
import truss_chains as chains
from model import Model
from words import word


@chains.mark_entrypoint("manners")
class Entry(chains.ChainletBase):
    def __init__(self, model: Model = chains.depends(Model)) -> None:
        self.model = model

    async def run_remote(self) -> str:
        return word() + await self.model.run_remote()
"""
MODEL = """\
import pathlib
import time

import truss_chains as chains

MARK = pathlib.Path("{mark}")


class Model(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        options=chains.ChainletOptions(env_variables={{"MOOD": "calm"}})
    )

    def __init__(self) -> None:
        self.size = 1

    async def run_remote(self) -> str:
        return "model " + str(self.size)
"""
LOOPS = """\
import pathlib
pathlib.Path(__file__).parents[1].joinpath("looping").touch()
while True: pass


"""
GOOD, HANGS = "        self.size = 1\n", "        MARK.touch()\n        time.sleep(600)\n"


class Terminal:
    """The tool on a terminal of its own; what it wrote there."""

    def __init__(self, chains: Chains, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            chains.command(*arguments),
            cwd=chains.cwd,
            env={**chains.environ(), "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.text = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the other side is closed
                return
            self.text += data.decode(errors="replace")

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            self._thread.join(10)
            os.close(self._master)


@pytest.fixture
def mark(chains: Chains, tmp_path: Path) -> Iterator[Path]:
    found = tmp_path / "began"
    (chains.cwd / "chain.py").write_text(CHAIN)
    (chains.cwd / "my_model.py").write_text(MODEL.format(mark=found))
    (chains.cwd / "chain.py").write_text(CHAIN.replace("from model", "from my_model"))
    (chains.cwd / "words.py").write_text('def word():\n    return "a "\n')
    yield found


def answer(chains: Chains) -> str:
    value: str = chains.ok("call", "manners", "--development", "--output", "json").result["value"]
    return value


def replicas(chains: Chains) -> int:
    """How many run; -1 if one ends at this moment."""
    try:
        return len(chains.replicas())
    except psutil.NoSuchProcess:
        return -1


def hang(chains: Chains, mark: Path, *more: tuple[str, str]) -> None:
    """Save an `__init__` that hangs."""
    mark.unlink(missing_ok=True)
    model = chains.cwd / "my_model.py"
    text = re.sub(r" +self\.size = .\n", HANGS, model.read_text())
    for old, new in more:
        assert old in text
        text = text.replace(old, new)
    model.write_text(text)


def superseded(watch: Watch) -> int:
    return [e["superseded"] for e in watch.of("round_finished")].count(True)


def correct(chains: Chains, size: int) -> None:
    edit(chains.cwd / "my_model.py", HANGS, GOOD.replace("1", str(size)))


def began(watch: Watch, mark: Path) -> None:
    watch.wait("the new `__init__`", lambda w: mark.exists())


def test_an_interrupted_first_push_leaves_nothing_and_a_clean_terminal(chains: Chains, mark: Path) -> None:
    hang(chains, mark)
    terminal = Terminal(chains, "watch", "chain.py")
    wait_for("the replica's `__init__`", mark.exists)

    assert terminal.end(signal.SIGINT) == 130, terminal.text

    assert "Traceback" not in terminal.text
    assert "is not ready yet" in terminal.text
    assert terminal.text.rfind("\x1b[?25h") >= terminal.text.rfind("\x1b[?25l")  # the cursor is shown
    assert chains.ok("list", "--output", "json").result["chains"] == []
    wait_for("the end of the replicas", lambda: replicas(chains) == 0)
    edit(chains.cwd / "my_model.py", HANGS, GOOD)
    assert chains.ok("watch", "chain.py", "--once", "--output", "json").result["version"] == 1
    assert answer(chains) == "a model 1"


def test_a_round_that_hangs_is_given_up_by_the_next_save_or_by_the_user(chains: Chains, mark: Path) -> None:
    """Of another file, a save joins the next round; Ctrl-C and SIGTERM end the tool in order (P-15)."""
    with watching(chains) as watch:
        entry = replica_facts(deployment(chains, "manners"), "Entry")
        hang(chains, mark)
        began(watch, mark)
        edit(chains.cwd / "words.py", '"a "', '"b "')
        correct(chains, 2)
        watch.wait("a correction", lambda w: w.of("round_finished")[-1]["version"] > 1)
        wait_for("both saves", lambda: answer(chains) == "b model 2")
        assert superseded(watch) == 1
        edit(chains.cwd / "words.py", "def word", f"{LOOPS}def word")
        began(watch, mark.with_name("looping"))
        edit(chains.cwd / "words.py", LOOPS, "")
        watch.wait("the end of the reading", lambda w: superseded(w) == 2)
        assert [e for e in watch.of("diagnostic") if e["diagnostic"].get("severity") == "error"] == []
        hang(chains, mark)
        began(watch, mark)
    info = deployment(chains, "manners")
    version = info["version"]

    assert replica_facts(info, "Entry") == entry
    correct(chains, 3)

    with watching(chains, end=signal.SIGTERM) as watch:
        assert answer(chains) == "b model 3"
        hang(chains, mark, ('"calm"', '"wild"'))
        began(watch, mark)
    wait_for("the end of the replica", lambda: replicas(chains) == 2)
    info = deployment(chains, "manners")
    assert info["version"] == version + 1
    assert answer(chains) == "b model 3"
    correct(chains, 4)
    done = chains.ok("watch", "chain.py", "--once", "--output", "json")
    assert answer(chains) == "b model 4"
    assert {e["chainlet"]: e["action"] for e in done.events() if e["type"] == "patched"} == {
        "Model": "restarted",
        "Entry": "unchanged",
    }
