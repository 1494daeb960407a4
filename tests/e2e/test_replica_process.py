"""A replica as a real process: load, serve, patch, drain."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgpack
import pytest
from websockets.sync.client import unix_connect

from chains_protocol.spec import DependencySpec, EndpointSpec
from tests.unit.chains_runtime.packages import dependency, write_package

pytestmark = pytest.mark.e2e
TOKEN = "edge"
ADMIN = "admin"
AUTH = {"authorization": f"Api-Key {TOKEN}"}


@dataclass
class Process:
    """A started replica."""

    process: "subprocess.Popen[str]"
    socket: Path
    http: httpx.Client
    digest: str = "0" * 64
    address: str = field(init=False)

    def __post_init__(self) -> None:
        self.address = f"unix:{self.socket}"

    def call(self, body: Mapping[str, Any], version: int | None = None, **headers: str) -> httpx.Response:
        stamp = {} if version is None else {"x-chains-revision": f"d.{version}"}
        return self.http.post(
            "/v1/models/model:predict", json=dict(body), headers={**AUTH, **stamp, **headers}
        )

    def value(self, body: Mapping[str, Any], version: int | None = None) -> Any:
        response = self.call(body, version)
        assert response.status_code == 200, response.text
        return response.json()

    def admin(self, method: str, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        response = self.http.request(
            method, f"/_chains/{name}", json=body, headers={"authorization": f"Bearer {ADMIN}"}
        )
        assert response.status_code == 200, response.text
        return response.json()

    def status(self) -> dict[str, Any]:
        return self.admin("GET", "status")

    def prepare(self, package: Path, since: int, action: str = "patched") -> dict[str, Any]:
        request = {
            "transaction": f"t{since}",
            "since": since,
            "base_digest": self.digest,
            "package_digest": f"{since:064x}",
            "package_dir": str(package),
            "action": action,
        }
        return self.admin("POST", "prepare", request)

    def commit(self, since: int) -> dict[str, Any]:
        found = self.admin("POST", "commit", {"transaction": f"t{since}"})
        self.digest = f"{since:064x}"
        return found

    def until(self, condition: Callable[[], object], within_s: float = 30) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, "the state did not come"
            assert self.process.poll() is None, "the replica ended"
            time.sleep(0.01)

    def is_listening(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def is_ready(self) -> bool:
        return self.is_listening() and self.http.get("/v1/models/model").status_code == 200


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start replicas; their sockets have short paths."""
    begun: list[Process] = []
    with tempfile.TemporaryDirectory(prefix="ch-", dir="/tmp") as sockets:

        def begin(package: Path, *, wait: bool = True, **launch: Any) -> Process:
            path = Path(sockets) / f"{len(begun)}.s"
            process = subprocess.Popen(
                [sys.executable, "-m", "chains_runtime", "--package", str(package), "--socket", str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
            )
            told = {
                "replica_id": "r",
                "deployment": "d",
                "admin_token": ADMIN,
                "package_digest": "0" * 64,
                "routes": {"accepts": [TOKEN]},
                **launch,
            }
            assert process.stdin is not None
            process.stdin.write(json.dumps(told))
            process.stdin.close()
            process.stdin = None
            http = httpx.Client(
                transport=httpx.HTTPTransport(uds=str(path)), base_url="http://replica", timeout=30
            )
            found = Process(process, path, http)
            begun.append(found)
            if wait:
                found.until(found.is_ready)
            return found

        yield begin
        for one in begun:
            one.http.close()
            one.process.kill()
            one.process.communicate(timeout=10)


COUNT = """
    import asyncio, os
    from collections.abc import AsyncIterator
    import truss_chains as chains

    SUFFIX = "!"

    class Count(chains.ChainletBase):
        def __init__(self):
            self.calls = 0
            self.thing = object()

        async def run_remote(self, wait: float = 0, fail: bool = False) -> list[str]:
            await asyncio.sleep(wait)
            if fail:
                raise RuntimeError("on purpose")
            self.calls += 1
            import late
            return [f"one{SUFFIX} {late.WORD}", str(self.calls), str(id(self.thing)), str(os.getpid())]
"""
FILES = {"chain.py": COUNT, "late.py": "WORD = 'old'"}
PATCHED = {"chain.py": COUNT.replace("one{", "two{"), "late.py": "WORD = 'new'"}


def test_load_call_and_drain(start: Start, tmp_path: Path) -> None:
    """R-07: what runs may finish, then the process ends with code 0 and its socket is gone."""
    count = start(write_package(tmp_path / "p", FILES, "Count"))
    assert stat.S_IMODE(count.socket.stat().st_mode) == 0o600
    assert count.value({})[:2] == ["one! old", "1"]
    headers = {**AUTH, "content-type": "application/octet-stream"}
    answer = count.http.post("/v1/models/model:predict_binary", content=msgpack.packb({}), headers=headers)
    assert msgpack.unpackb(answer.content)[:2] == ["one! old", "2"]
    assert count.call({"fail": True}).status_code == 500
    answers: list[Any] = []
    late = threading.Thread(target=lambda: answers.append(count.value({"wait": 0.5})))
    late.start()
    count.until(lambda: count.status()["in_flight"] == 1)
    count.process.send_signal(signal.SIGTERM)
    late.join()
    assert answers[0][1] == "3"
    assert count.process.wait(10) == 0
    assert not count.socket.exists()


def test_new_work_is_refused_while_draining(start: Start, tmp_path: Path) -> None:
    count = start(write_package(tmp_path / "p", FILES, "Count"))
    late = threading.Thread(target=lambda: count.value({"wait": 1}))
    late.start()
    count.until(lambda: count.status()["in_flight"] == 1)
    assert count.admin("POST", "drain")["state"] == "draining"
    refused = count.call({})
    assert (refused.status_code, refused.headers["x-chains-refused"]) == (503, "not-ready")
    assert count.http.get("/v1/models/model").status_code == 503
    late.join()
    assert count.process.wait(10) == 0


def test_drain_is_bounded(start: Start, tmp_path: Path) -> None:
    count = start(write_package(tmp_path / "p", FILES, "Count"), drain_timeout_s=0.2)
    failures: list[Exception] = []

    def call() -> None:
        try:
            count.value({"wait": 60})
        except httpx.TransportError as error:
            failures.append(error)

    late = threading.Thread(target=call)
    late.start()
    count.until(lambda: count.status()["in_flight"] == 1)
    count.process.terminate()
    assert count.process.wait(10) == 0
    late.join()
    assert len(failures) == 1


def test_a_failing_init_is_told_on_stdout(start: Start, tmp_path: Path) -> None:
    """R-04: no second attempt, exit code 1, only the user's own lines."""
    source = """
        import truss_chains as chains
        class Bad(chains.ChainletBase):
            def __init__(self):
                print("once")
                self.helper()
            def helper(self):
                raise ValueError("no weights")
            async def run_remote(self) -> int:
                return 1
    """
    package = write_package(tmp_path / "p", {"chain.py": source}, "Bad")
    bad = start(package, wait=False, user_root="/home/me/proj")
    out, _ = bad.process.communicate(timeout=30)
    assert bad.process.returncode == 1
    lines = out.splitlines()
    assert (lines[0], len(lines)) == ("once", 2)
    (found,) = json.loads(lines[1].removeprefix("CHAINS-FAILED "))
    assert (found["code"], found["location"]["path"], found["location"]["line"]) == (
        "CH501",
        "/home/me/proj/chain.py",
        8,
    )
    assert [line.strip() for line in found["detail"].splitlines() if line.strip().startswith("File")] == [
        'File "/home/me/proj/chain.py", line 6, in __init__',
        'File "/home/me/proj/chain.py", line 8, in helper',
    ]


def test_the_server_answers_while_init_blocks(start: Start, tmp_path: Path) -> None:
    """R-04: connections are accepted at once."""
    source = """
        import pathlib, time
        import truss_chains as chains
        class Slow(chains.ChainletBase):
            def __init__(self):
                while not pathlib.Path("go").exists():
                    time.sleep(0.01)
            async def run_remote(self) -> int:
                return 1
    """
    slow = start(write_package(tmp_path / "p", {"chain.py": source}, "Slow"), wait=False)
    slow.until(slow.is_listening)
    slow.until(lambda: slow.status()["state"] == "loading")
    assert slow.http.get("/").status_code == 200
    assert slow.http.get("/v1/models/model").status_code == 503
    assert slow.call({}).status_code == 503
    (tmp_path / "go").touch()
    slow.until(slow.is_ready)
    assert slow.value({}) == 1


def test_wrong_launches_exit_with_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chains_runtime", "--package", str(tmp_path), "--port", "0"]
    for text in ("{}", "not json"):
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stderr != "") == (2, True)


def test_patched_keeps_process_and_state(start: Start, tmp_path: Path) -> None:
    count = start(write_package(tmp_path / "1", FILES, "Count"))
    _, _, thing, pid = count.value({}, version=1)
    prepared = count.prepare(write_package(tmp_path / "2", PATCHED, "Count"), 2)
    assert (prepared["ok"], prepared["action"]) == (True, "patched"), prepared
    assert count.value({}, version=1)[0] == "one! old"
    status = count.commit(2)
    assert (status["load_count"], status["pid"]) == (1, int(pid))
    assert count.value({}, version=2) == ["two! new", "3", thing, pid]
    retired = count.admin("POST", "retire", {"below": 2})
    assert [g["since"] for g in retired["generations"]] == [2]


def test_reloaded_runs_init_again_beside(start: Start, tmp_path: Path) -> None:
    count = start(write_package(tmp_path / "1", FILES, "Count"))
    count.value({})
    edited = {**FILES, "chain.py": COUNT.replace("self.calls = 0", "self.calls = 40")}
    prepared = count.prepare(write_package(tmp_path / "2", edited, "Count"), 2)
    assert (prepared["ok"], prepared["action"]) == (True, "reloaded"), prepared
    assert count.commit(2)["load_count"] == 2
    assert count.value({})[1] == "41"
    assert count.value({}, version=1)[1] == "2"


def test_an_old_request_finishes_on_old_code(start: Start, tmp_path: Path) -> None:
    """Also an import that its code makes after the switch."""
    count = start(write_package(tmp_path / "1", FILES, "Count"))
    answers: list[Any] = []
    old = threading.Thread(target=lambda: answers.append(count.value({"wait": 1.5}, version=1)))
    old.start()
    count.until(lambda: count.status()["in_flight"] == 1)
    assert count.prepare(write_package(tmp_path / "2", PATCHED, "Count"), 2)["ok"]
    count.commit(2)
    assert count.value({}, version=2)[0] == "two! new"
    generations = count.admin("POST", "retire", {"below": 2})["generations"]
    assert [(g["since"], g["in_flight"]) for g in generations] == [(1, 1), (2, 0)]
    old.join()
    assert answers[0][0] == "one! old"
    count.until(lambda: [g["since"] for g in count.status()["generations"]] == [2])


def test_abort_and_a_broken_save_change_nothing(start: Start, tmp_path: Path) -> None:
    count = start(write_package(tmp_path / "1", FILES, "Count"), user_root="/home/me/proj")
    assert count.prepare(write_package(tmp_path / "2", PATCHED, "Count"), 2)["ok"]
    count.admin("POST", "abort", {"transaction": "t2"})
    broken = {**FILES, "chain.py": COUNT + "\n    raise ValueError('at import')\n"}
    reply = count.prepare(write_package(tmp_path / "3", broken, "Count"), 3)
    assert not reply["ok"]
    syntax = {**FILES, "chain.py": COUNT + "\n    def (:\n"}
    reply = count.prepare(write_package(tmp_path / "4", syntax, "Count"), 4)
    (found,) = reply["diagnostics"]
    assert (found["code"], found["location"]["path"]) == ("CH152", "/home/me/proj/chain.py")
    assert count.value({}, version=9)[0] == "one! old"


STREAM = """
    import asyncio
    from collections.abc import AsyncIterator
    import truss_chains as chains
    class Say(chains.ChainletBase):
        async def run_remote(self) -> AsyncIterator[str]:
            for i in range(30):
                yield f"one{i} "
                await asyncio.sleep(0.02)
"""


def test_a_stream_finishes_on_the_code_it_started_with(start: Start, tmp_path: Path) -> None:
    say = start(write_package(tmp_path / "1", {"chain.py": STREAM}, "Say"))
    with say.http.stream("POST", "/v1/models/model:predict", json={}, headers=AUTH) as answer:
        chunks = answer.iter_text()
        assert next(chunks).startswith("one0")
        edited = {"chain.py": STREAM.replace("one{", "two{")}
        assert say.prepare(write_package(tmp_path / "2", edited, "Say"), 2)["ok"]
        say.commit(2)
        rest = "".join(chunks)
    assert "two" not in rest
    assert rest.endswith("one29 ")
    assert say.call({}).text.startswith("two0 two1")


def test_a_websocket_finishes_on_the_code_it_started_with(start: Start, tmp_path: Path) -> None:
    source = """
        import truss_chains as chains
        class Chat(chains.ChainletBase):
            async def run_remote(self, ws: chains.WebSocketProtocol) -> None:
                async for text in ws.iter_text():
                    await ws.send_text("one " + text)
    """
    endpoint = EndpointSpec(is_websocket=True)
    chat = start(write_package(tmp_path / "1", {"chain.py": source}, "Chat", endpoint=endpoint))

    def connect() -> Any:
        return unix_connect(str(chat.socket), "ws://x/v1/websocket", additional_headers=AUTH)

    with connect() as old:
        old.send("a")
        assert old.recv() == "one a"
        edited = {"chain.py": source.replace('"one "', '"two "')}
        reply = chat.prepare(write_package(tmp_path / "2", edited, "Chat", endpoint=endpoint), 2)
        assert reply["ok"], reply
        chat.commit(2)
        with connect() as new:
            new.send("b")
            assert new.recv() == "two b"
        old.send("c")
        assert old.recv() == "one c"


EDGE = """
    import truss_chains as chains
    class Leaf(chains.ChainletBase):
        def run_remote(self, text: str) -> str:
            if not text:
                raise ValueError("empty text")
            return text.upper()
    class Front(chains.ChainletBase):
        def __init__(self, leaf: Leaf = chains.depends(Leaf)):
            self.leaf = leaf
        async def run_remote(self, text: str) -> str:
            return self.leaf.run_remote(text)
"""


def leaf_edge() -> tuple[DependencySpec, ...]:
    return (dependency("Leaf", "leaf"),)


def test_two_replicas_with_an_edge(start: Start, tmp_path: Path) -> None:
    """A sync dependency called from async code (S-15), and its error with both traces (X-11)."""
    leaf = start(write_package(tmp_path / "leaf", {"chain.py": EDGE}, "Leaf"))
    package = write_package(tmp_path / "front", {"chain.py": EDGE}, "Front", dependencies=leaf_edge())
    callee = {
        "class_name": "Leaf",
        "display_name": "Leaf",
        "sets": [{"addresses": [leaf.address], "token": TOKEN}],
    }
    routes = {"accepts": [TOKEN], "deployments": [{"deployment": "d", "callees": [callee]}]}
    front = start(package, routes=routes)
    assert front.value({"text": "hi"}) == "HI"
    detail = front.call({"text": ""}).json()["error"]
    assert detail["exception_cls_name"] == "ValueError"
    assert detail["exception_message"].splitlines()[-1] == "╰   ValueError: empty text"


def test_a_replica_by_hand_makes_up_its_token(tmp_path: Path) -> None:
    package = write_package(tmp_path / "p", FILES, "Count")
    process = subprocess.Popen(
        [sys.executable, "-m", "chains_runtime", "--package", str(package), "--port", "0"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stderr is not None
        assert "token for calls" in process.stderr.readline()
    finally:
        process.terminate()
        process.communicate(timeout=10)
    assert process.returncode == 0


BLOCKED = """
    import sys, threading
    import truss_chains as chains
    class Blocked(chains.ChainletBase):
        def __init__(self):
            print("printed", flush=False)
            threading.Thread(target=threading.Event().wait).start()
            threading.Event().wait()
        async def run_remote(self) -> int:
            return 1
"""


def test_nothing_of_the_users_keeps_the_process_alive(start: Start, tmp_path: Path) -> None:
    """SIGTERM while `__init__` blocks for ever, with a thread beside; what was printed has arrived."""
    blocked = start(write_package(tmp_path / "p", {"chain.py": BLOCKED}, "Blocked"), wait=False)
    blocked.until(blocked.is_listening)
    blocked.until(lambda: blocked.status()["state"] == "loading")
    assert blocked.process.stdout is not None
    assert blocked.process.stdout.readline() == "printed\n"
    blocked.process.terminate()
    assert blocked.process.wait(20) == 0
    assert not blocked.socket.exists()


def test_tracebacks_in_the_log_show_the_authors_paths(start: Start, tmp_path: Path) -> None:
    source = """
        import logging
        import truss_chains as chains
        class Logs(chains.ChainletBase):
            async def run_remote(self) -> int:
                try:
                    return 1 // 0
                except ZeroDivisionError:
                    logging.getLogger("mine").exception("caught")
                    return 0
    """
    logs = start(write_package(tmp_path / "p", {"chain.py": source}, "Logs"), user_root="/home/me/proj")
    assert logs.call({}, **{"x-baseten-request-id": "r-1"}).json() == 0
    logs.process.terminate()
    _, err = logs.process.communicate(timeout=10)
    assert 'File "/home/me/proj/chain.py", line 7, in run_remote' in err
    assert "ERROR mine: caught request_id=r-1" in err


def test_a_replica_loads_only_what_it_needs() -> None:
    """Start-up time and idle memory: clients, websockets, arrays and the analysis come at their first use."""
    heavy = ("httpx", "uvicorn", "websockets", "numpy", "msgpack", "chains_analysis", "click", "rich")
    code = "import sys, chains_runtime.__main__, chains_runtime.serving; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert set(heavy) & set(done.stdout.split()) == set()
