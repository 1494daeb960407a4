"""The main job once, for real: push, call, watch, kill; every process and request is real."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.conftest import Chains

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
QUESTION = {"question": "a storm at sea", "texts": ["bread and dough", "ships and sails in a storm"]}
CHAIN = "glue-and-model"


@pytest.fixture
def glue(chains: Chains) -> Path:
    """A copy of the example that may be edited; the tool runs beside it."""
    shutil.copytree(ROOT / "examples" / "glue_and_model", chains.cwd, dirs_exist_ok=True)
    return chains.cwd


def deployment(chains: Chains, chain: str = CHAIN) -> dict[str, Any]:
    result = chains.ok("status", chain, "--output", "json").result
    found: dict[str, Any] = result["chains"][0]["deployments"][0]
    return found


def chainlet(info: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [c for c in info["chainlets"] if c["display_name"] == name]
    return dict(found)


def replica_facts(info: dict[str, Any], name: str) -> list[tuple[int, int]]:
    """(process id, load count) of each replica."""
    return [(r["pid"], r["load_count"]) for r in chainlet(info, name)["replicas"]]


def wait_for(what: str, probe: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not probe():
        assert time.monotonic() < deadline, f"{what} did not happen in {timeout_s} s"
        time.sleep(0.005)


class Watch:
    """`chains watch` in the background; its JSON events are collected as they come."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.raw.append(line)
            if line.startswith("{"):
                self.events.append(json.loads(line))

    def close(self) -> None:
        """The process has ended: read the rest and give the pipe back."""
        self._thread.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [e for e in self.events if e["type"] == kind]

    def wait(self, what: str, probe: Callable[["Watch"], bool], timeout_s: float = 60) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, "".join(self.raw)
            return probe(self)

        wait_for(f"{what}; so far: {self.raw[-20:]}", ready, timeout_s)


@contextmanager
def watching(
    chains: Chains, source: str = "chain.py", *options: str, end: signal.Signals = signal.SIGINT
) -> Iterator[Watch]:
    process = chains.start("watch", source, "--output", "json", *options)
    watch = Watch(process)
    try:
        watch.wait("watching", lambda w: bool(w.of("watching")))
        yield watch
        process.send_signal(end)
        assert process.wait(30) == 0, "".join(watch.raw)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        watch.close()


class Load:
    """One request every 10 ms through the gateway until stopped; every answer is kept."""

    def __init__(self, url: str, token: str) -> None:
        self.answers: list[tuple[float, int, Any]] = []
        self._stop = threading.Event()
        self._url, self._token = url, token
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Load":
        self._thread.start()
        wait_for("a first answer", lambda: bool(self.answers))
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        with httpx.Client(headers={"Authorization": f"Api-Key {self._token}"}, timeout=30) as client:
            while not self._stop.wait(0.01):
                try:
                    reply = client.post(self._url, json=QUESTION)
                    self.answers.append((time.monotonic(), reply.status_code, reply.json()))
                except httpx.HTTPError as error:
                    self.answers.append((time.monotonic(), 0, repr(error)))

    @property
    def failures(self) -> list[tuple[float, int, Any]]:
        return [answer for answer in self.answers if answer[1] != 200]


def edit(file: Path, old: str, new: str) -> None:
    """As an editor saves: write beside, then rename over."""
    text = file.read_text()
    assert old in text
    beside = file.with_suffix(".swp~")
    beside.write_text(text.replace(old, new))
    beside.replace(file)


def kill_control_plane(chains: Chains) -> None:
    pid = json.loads((chains.home / "platform" / "platform.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(
        "the end of the control plane",
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE,
    )


def test_the_second_push_sends_nothing_and_restarts_nothing(chains: Chains, glue: Path) -> None:
    first = chains.ok("push", "chain.py", "--output", "json").result
    before = {p.pid for p in chains.replicas()}

    second = chains.ok("push", "chain.py", "--output", "json").result
    said = chains.ok("push", "chain.py")

    assert (first["unchanged"], second["unchanged"]) == (False, True)
    assert (second["sent_files"], second["sent_bytes"]) == (0, 0)
    assert second["deployment"]["id"] == first["deployment"]["id"]
    assert {p.pid for p in chains.replicas()} == before
    assert len(before) == 2
    assert "no file sent" in said.out + said.err
    answer = chains.ok("call", CHAIN, "--data", json.dumps(QUESTION), "--output", "json").result["value"]
    assert answer[0]["text"] == "ships and sails in a storm"


def test_a_changed_glue_shares_the_models_replica(chains: Chains, glue: Path) -> None:
    chains.ok("push", "chain.py")
    model = replica_facts(deployment(chains), "Embedder")
    edit(glue / "chain.py", "round(score, 3)", "round(score, 1)")

    pushed = chains.ok("push", "chain.py", "--output", "json").result

    assert pushed["unchanged"] is False
    assert replica_facts(deployment(chains), "Embedder") == model


def test_watch_patches_the_glue_and_keeps_the_model(chains: Chains, glue: Path) -> None:
    with watching(chains) as watch:
        info = deployment(chains)
        assert info["kind"] == "development"
        model, search = replica_facts(info, "Embedder"), replica_facts(info, "Search")
        token = (chains.home / "platform" / "token").read_text().strip()
        with Load(info["run_remote_url"], token) as load:
            _edit_reaches_the_gateway(glue, load)
            _a_comment_does_nothing(chains, glue, watch)
            _a_syntax_error_is_shown_and_harms_nothing(glue, watch, load)
            _fixing_it_recovers(glue, load)
        assert load.failures == []
        after = deployment(chains)
        assert replica_facts(after, "Embedder") == model
        assert replica_facts(after, "Search") == search
        actions = {(e["chainlet"], e["action"]) for e in watch.of("patched")}
        assert ("Search", "patched") in actions
        assert not {a for a in actions if a[0] == "Embedder" and a[1] != "unchanged"}


def _edit_reaches_the_gateway(glue: Path, load: Load) -> None:
    saved = time.monotonic()
    edit(glue / "chain.py", "round(score, 3)", "round(score, 3) + 100")
    wait_for("the edit", lambda: _score(load) > 50, 10)
    first = next(at for at, status, value in load.answers if status == 200 and value[0]["score"] > 50)
    assert first - saved < 1.0


def _a_comment_does_nothing(chains: Chains, glue: Path, watch: Watch) -> None:
    version, rounds = deployment(chains)["version"], len(watch.of("round_finished"))
    edit(glue / "scoring.py", "def similarity", "# compares two vectors\ndef similarity")
    watch.wait("a round for the comment", lambda w: len(w.of("round_finished")) > rounds)
    assert deployment(chains)["version"] == version


def _a_syntax_error_is_shown_and_harms_nothing(glue: Path, watch: Watch, load: Load) -> None:
    edit(glue / "chain.py", "round(score, 3) + 100", "round(score, 3) + + )")
    watch.wait("the error", lambda w: bool(_errors(w)))
    (found,) = _errors(watch)
    lines = (glue / "chain.py").read_text().splitlines()
    (broken,) = [number for number, text in enumerate(lines, 1) if "+ + )" in text]
    assert found["location"]["path"].endswith("chain.py")
    assert found["location"]["line"] == broken
    seen = len(load.answers)
    wait_for("answers after the broken save", lambda: len(load.answers) > seen + 5)
    assert _score(load) > 50


def _errors(watch: Watch) -> list[dict[str, Any]]:
    found = [e["diagnostic"] for e in watch.of("diagnostic")]
    return [d for d in found if d.get("severity", "error") == "error"]


def _fixing_it_recovers(glue: Path, load: Load) -> None:
    edit(glue / "chain.py", "round(score, 3) + + )", "round(score, 3) + 200")
    wait_for("the fixed code", lambda: _score(load) > 150, 10)


def _score(load: Load) -> float:
    _, status, value = load.answers[-1]
    return float(value[0]["score"]) if status == 200 else -1.0


def test_killing_the_control_plane_stops_no_request(chains: Chains, glue: Path) -> None:
    chains.ok("push", "chain.py")
    before = {p.pid for p in chains.replicas()}
    kill_control_plane(chains)

    called = chains.ok("call", CHAIN, "--data", json.dumps(QUESTION), "--output", "json").result
    chains.ok("platform", "up")

    assert called["value"][0]["text"] == "ships and sails in a storm"
    assert {p.pid for p in chains.replicas()} == before
    assert {pid for n in ("Embedder", "Search") for pid, _ in replica_facts(deployment(chains), n)} == before
    chains.ok("call", CHAIN, "--data", json.dumps(QUESTION))


def test_down_after_a_crash_ends_what_was_left(chains: Chains, glue: Path) -> None:
    chains.ok("push", "chain.py")
    kill_control_plane(chains)

    said = chains.run("platform", "status")
    done = chains.ok("platform", "down")

    assert said.code == 4
    assert "chains platform down" in said.out
    assert "stopped" in done.out
    assert chains.processes() == []


def test_a_chainlet_whose_init_raises_fails_the_push(chains: Chains) -> None:
    (chains.cwd / "broken.py").write_text(
        "import truss_chains as chains\n\n\n"
        "@chains.mark_entrypoint\n"
        "class Broken(chains.ChainletBase):\n"
        "    def __init__(self) -> None:\n"
        '        self.weights = {}["missing.bin"]\n\n'
        "    async def run_remote(self) -> int:\n"
        "        return 1\n"
    )

    pushed = chains.run("push", "broken.py")

    assert pushed.code == 3
    said = pushed.out + pushed.err
    assert "CH501" in said
    assert "KeyError: 'missing.bin'" in said
    assert re.search(r'File ".*broken.py", line 7, in __init__', said)
    assert "chains_runtime" not in said
    assert "chains_platform" not in said
    assert chains.replicas() == []


def test_two_packagings_are_byte_identical(chains: Chains, glue: Path) -> None:
    for out in ("one", "two"):
        chains.ok("package", "chain.py", "--out", str(chains.cwd.parent / out))

    def tree(out: str) -> dict[str, bytes]:
        root = chains.cwd.parent / out
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    assert tree("one") == tree("two")
    assert any(name.endswith("config.yaml") for name in tree("one"))


def test_a_taken_port_is_a_diagnostic(chains: Chains) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = chains.run("platform", "run", "--port", str(port))

    assert done.code == 4
    assert f"error[CH308]: port {port}" in done.err
    assert "CHAINS-FAILED" not in done.out + done.err
    assert chains.processes() == []


def test_a_chain_that_is_not_valid_starts_no_platform(chains: Chains) -> None:
    done = chains.run("push", "nowhere.py")

    assert done.code == 1
    assert "error[CH150]" in done.err
    assert not (chains.home / "platform").exists()
