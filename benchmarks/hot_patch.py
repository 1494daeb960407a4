"""From a save on disk to the new code's answer, beside what else reloads Python code.

Run: `python -m benchmarks.hot_patch`. `chains watch` watches a Chain of two Chainlets; each edit changes
the called one, and is answered through the gateway and one hop. The peers are single processes without
a hop: `uvicorn --reload`, jurigged, and a class swap (the module is executed again in the process that
serves it). They are installed into an environment of their own below the user's cache directory.
A busy machine slows all: the CPU time of an edit, all processes of ours together, is printed, too.
"""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from tests.e2e.conftest import Chains

AIM_P50_MS = 30.0
AIM_P99_MS = 100.0
PEERS = ("uvicorn>=0.32", "watchfiles>=1.0", "jurigged>=0.6")

CHAIN = """\
import truss_chains as chains


class Leaf(chains.ChainletBase):
    async def run_remote(self) -> int:
        return 0


@chains.mark_entrypoint("bench")
class Entry(chains.ChainletBase):
    def __init__(self, leaf: Leaf = chains.depends(Leaf)) -> None:
        self.leaf = leaf

    async def run_remote(self) -> int:
        return await self.leaf.run_remote()
"""

ASGI = """\
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    headers = [(b"content-length", b"%d" % len(answer()))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer()})


def answer():
    return b"%d" % value()


def value():
    return 0
"""

JURIGGED = """\
import http.server
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b"%d" % value()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def value():
    return 0


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

SWAP = """\
import asyncio
import importlib
import sys

import uvicorn
import watchfiles

import app


async def main():
    async def serve(scope, receive, send):
        await app.app(scope, receive, send)

    async def swap():
        async for _ in watchfiles.awatch(".", debounce=20, step=1):
            importlib.reload(app)

    config = uvicorn.Config(serve, port=int(sys.argv[1]), log_level="error", lifespan="off")
    await asyncio.gather(uvicorn.Server(config).serve(), swap())


sys.dont_write_bytecode = True
asyncio.run(main())
"""


@dataclass
class Times:
    """Milliseconds from save to answer, one an edit."""

    took_ms: list[float] = field(default_factory=list)
    failed: int = 0

    def quantile(self, share: float) -> float:
        ordered = sorted(self.took_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@dataclass(frozen=True)
class Subject:
    """Something that serves a file's code: a POST to `path` answers with the number in its `return`."""

    file: Path
    port: int
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    in_place: bool = False
    """Write into the file instead of replacing it: not every reloader sees both."""


def edit_and_wait(subject: Subject, edits: int, *, within_s: float = 20.0) -> Times:
    """Edit again and again; the next edit comes when the last one was answered and a moment passed."""
    times = Times()
    text = subject.file.read_text()
    ask = _asker(subject, times)
    for number in range(1, edits + 1):
        beside = subject.file if subject.in_place else subject.file.with_suffix(".new~")
        beside.write_text(re.sub(r"return \d+\n", f"return {number}\n", text))
        saved = time.perf_counter()
        if beside != subject.file:
            beside.replace(subject.file)
        while ask() != number:
            assert time.perf_counter() < saved + within_s, f"edit {number} of {subject.file} had no effect"
            time.sleep(0.001)
        times.took_ms.append((time.perf_counter() - saved) * 1000)
        time.sleep(0.05)
    return times


def _asker(subject: Subject, times: Times) -> Callable[[], int | None]:
    connection = http.client.HTTPConnection("127.0.0.1", subject.port, timeout=10)

    def ask() -> int | None:
        try:
            connection.request("POST", subject.path, b"{}", dict(subject.headers))
            answer = connection.getresponse()
            body = answer.read()
        except OSError:
            times.failed += 1
            connection.close()
            return None
        except http.client.HTTPException:
            times.failed += 1
            connection.close()
            return None
        if answer.status != 200:
            times.failed += 1
            return None
        return int(json.loads(body))

    return ask


# --- ours


@contextmanager
def chains_watch(cpu_s: Callable[[Callable[[], float]], None]) -> Iterator[Subject]:
    """A platform of its own and `chains watch`; `cpu_s` gets a function that tells their CPU seconds."""
    home, work = Path(tempfile.mkdtemp(prefix="chains-bench-")), Path(tempfile.mkdtemp(prefix="bench-work-"))
    tool = Chains(home=home, cwd=work)
    source = work / "chain.py"
    source.write_text(CHAIN)
    process = tool.start("watch", "chain.py", "--output", "json")
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if '"type": "watching"' in line:
                break
        assert process.poll() is None, "`chains watch` ended"
        log = subprocess.Popen(
            ["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL
        )  # nothing may block it
        info = tool.ok("status", "bench", "--output", "json").result["chains"][0]["deployments"][0]
        url = info["run_remote_url"]
        token = (home / "platform" / "token").read_text().strip()
        port, path = int(url.split(":")[2].split("/")[0]), "/" + url.split("/", 3)[3]
        processes = tool.processes()
        cpu_s(lambda: sum(sum(p.cpu_times()[:2]) for p in processes if p.is_running()))
        yield Subject(
            source, port, path, {"authorization": f"Bearer {token}", "content-type": "application/json"}
        )
        process.terminate()
        process.wait(20)
        log.wait(5)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        tool.run("platform", "down")
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(work, ignore_errors=True)


# --- the peers


def peers_python() -> Path:
    """The interpreter of the peers' environment, made at the first run."""
    root = platformdirs.user_cache_path("chains-benchmarks") / "hot-patch-peers"
    python, done = root / "bin" / "python", root / ".complete"
    if not done.exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(root)], check=True)
        subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(python), *PEERS], check=True)
        done.touch()
    return python


@contextmanager
def peer(
    command: Callable[[Path, int], list[str]], source: str, more: Mapping[str, str], *, in_place: bool = False
) -> Iterator[Subject]:
    """One peer, serving `app.py` in a directory of its own."""
    work = Path(tempfile.mkdtemp(prefix="bench-peer-"))
    (work / "app.py").write_text(source)
    for name, text in more.items():
        (work / name).write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        command(peers_python(), port),
        cwd=work,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    subject = Subject(work / "app.py", port, in_place=in_place)
    try:
        ask, deadline = _asker(subject, Times()), time.monotonic() + 20
        while ask() != 0:
            assert time.monotonic() < deadline and process.poll() is None, "the peer does not serve"
            time.sleep(0.05)
        time.sleep(0.5)  # reloaders have no sign that they watch
        yield subject
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(work, ignore_errors=True)


def _uvicorn(python: Path, port: int) -> list[str]:
    return [str(python), "-m", "uvicorn", "app:app", "--reload", "--port", str(port), "--log-level", "error"]


def _jurigged(python: Path, port: int) -> list[str]:
    return [str(python), "-m", "jurigged", "app.py", str(port)]


def _swap(python: Path, port: int) -> list[str]:
    return [str(python), "swap.py", str(port)]


def main(short: bool = False) -> None:
    """Ours first, then each peer, one after the other."""
    edits = 5 if short else 300
    counters: list[Callable[[], float]] = []
    with chains_watch(counters.append) as subject:
        edit_and_wait(subject, 3)
        begun = counters[0]()
        ours = edit_and_wait(subject, edits)
        cpu_ms = (counters[0]() - begun) / edits * 1000
    show("chains watch", ours, f"; {cpu_ms:.0f} ms of CPU an edit, polling included")
    if short:
        return  # the peers would have to be installed
    for name, command, source, more, count in (
        ("class swap", _swap, ASGI, {"swap.py": SWAP}, edits),
        ("jurigged", _jurigged, JURIGGED, {}, edits // 3),
        ("uvicorn --reload", _uvicorn, ASGI, {}, edits // 10),
    ):
        with peer(command, source, more, in_place=command is _jurigged) as subject:
            show(name, edit_and_wait(subject, count))
    if ours.quantile(0.5) > AIM_P50_MS or ours.quantile(0.99) > AIM_P99_MS:
        sys.exit(f"missed: p50 {AIM_P50_MS:.0f} ms, p99 {AIM_P99_MS:.0f} ms")


def show(name: str, times: Times, more: str = "") -> None:
    print(
        f"{name:<18} p50 {times.quantile(0.5):6.1f} ms, p99 {times.quantile(0.99):6.1f} ms "
        f"({len(times.took_ms)} edits, {times.failed} failed requests){more}",
        flush=True,
    )


if __name__ == "__main__":
    main()
