"""What a push sends and takes when little or nothing changed: 2,000 files, 100 MB of data, ten Chainlets.

Run: `python -m benchmarks push`. A platform of its own, spoken to through a proxy that counts requests and
bytes. Aims: after an edit of one line less than 100 kB are sent and the tool takes less than a second until
the deployment is accepted; of an unchanged Chain the push is one round trip. The time that is judged is the
processor's, of the tool and of the child that reads the user's file: on a machine with nothing else to do
the wall clock shows less, on a busy one (replicas are being started) more. What is sent after an edit is
the edited file and twice the manifest of all packages, to be planned and to be deployed. A full run leaves
`results/push.md`.
"""

import json
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks._measured import write_table
from benchmarks.packaging import large_workspace

DATA_BYTES = 100_000_000
ROUNDS = 5
SENT_AIM_BYTES = 100_000
TIME_AIM_S = 1.0
_REQUEST = re.compile(rb"(?:GET|POST|PUT|DELETE) /\S* HTTP/1\.1\r\n")


@dataclass
class Proxy:
    """Passes connections on to a local port; counts what the tool sends."""

    port: int
    requests: int = 0
    sent_bytes: int = 0
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> None:
        self.requests = self.sent_bytes = 0

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.port))
                for source, target, counts in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pump, args=(source, target, counts), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 18):
                if counts:
                    self.sent_bytes += len(data)
                    self.requests += len(_REQUEST.findall(data))
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class Measured:
    """One push: seconds by the wall and by the processor, requests, bytes sent, and its result."""

    seconds: float
    cpu_s: float
    requests: int
    sent_bytes: int
    result: dict[str, object]


def write_workspace(root: Path, data_bytes: int) -> None:
    """The workspace of `packaging`, whose first Chainlet has a data directory."""
    large_workspace(root)
    data = root / "weights"
    data.mkdir()
    for n in range(10):
        (data / f"part{n}.bin").write_bytes(os.urandom(data_bytes // 10))
    source = (root / "chain.py").read_text()
    config = "\n    remote_config = chains.RemoteConfig(docker_image=chains.DockerImage(data_dir=DATA))\n"
    head = 'DATA = chains.make_abs_path_here("weights")\n\n\nclass C0(chains.ChainletBase):' + config
    (root / "chain.py").write_text(source.replace("class C0(chains.ChainletBase):", head))


def push(root: Path, home: Path, proxy: Proxy, token: str) -> Measured:
    """`push --no-wait` through the proxy."""
    proxy.reset()
    environ = {**os.environ, "CHAINS_HOME": str(home), "CHAINS_TOKEN": token}
    command = [sys.executable, "-m", "chains_cli", "push", "chain.py", "--no-wait"]
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*command, "--remote", proxy.url, "--output", "json"],
        cwd=root,
        env=environ,
        capture_output=True,
        check=False,
    )
    elapsed, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode != 0:
        raise RuntimeError(done.stdout.decode() + done.stderr.decode())
    result = json.loads(done.stdout.splitlines()[-1])
    return Measured(elapsed, cpu_s, proxy.requests, proxy.sent_bytes, result)


@contextmanager
def platform(home: Path) -> Iterator[tuple[Proxy, str]]:
    """A platform of its own behind a proxy; its token."""
    environ = {**os.environ, "CHAINS_HOME": str(home)}
    subprocess.run(
        [sys.executable, "-m", "chains_cli", "platform", "up"], env=environ, check=True, capture_output=True
    )
    try:
        file = json.loads((home / "platform" / "platform.json").read_text())
        proxy = Proxy(int(file["control_url"].rpartition(":")[2]))
        proxy.serve()
        yield proxy, (home / "platform" / "token").read_text().strip()
        proxy.close()
    finally:
        subprocess.run(
            [sys.executable, "-m", "chains_cli", "platform", "down"],
            env=environ,
            check=False,
            capture_output=True,
        )


def settle(root: Path, home: Path, chain: str) -> None:
    """Wait until the newest deployment serves."""
    environ = {**os.environ, "CHAINS_HOME": str(home)}
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        command = [sys.executable, "-m", "chains_cli", "status", chain, "--output", "json"]
        done = subprocess.run(command, cwd=root, env=environ, capture_output=True, check=False)
        result = json.loads(done.stdout.splitlines()[-1])
        states = [d["state"] for c in result.get("chains", ()) for d in c["deployments"]]
        if states and states[0] in ("active", "failed"):
            assert states[0] == "active", result
            return
        time.sleep(0.2)
    raise RuntimeError("the deployment did not become active")


def main(short: bool = False) -> None:
    """Print a line a case; exit 1 if an aim is missed."""
    home = Path(tempfile.mkdtemp(prefix="chains-bench-"))
    root = home / "workspace"
    try:
        write_workspace(root, DATA_BYTES // 100 if short else DATA_BYTES)
        with platform(home) as (proxy, token):
            first = push(root, home, proxy, token)
            settle(root, home, "C9")
            unchanged = [push(root, home, proxy, token) for _ in range(1 if short else ROUNDS)]
            edited: list[Measured] = []
            for n in range(1 if short else ROUNDS):
                file = root / "shared" / "p0" / "m3.py"
                file.write_text(f"EDIT = {n}\n" + file.read_text().partition("\n")[2])
                edited.append(push(root, home, proxy, token))
                settle(root, home, "C9")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    report(first, unchanged, edited, judge=not short)


def medians(pushes: list[Measured]) -> tuple[float, float]:
    """Seconds by the wall and by the processor."""
    return statistics.median(m.seconds for m in pushes), statistics.median(m.cpu_s for m in pushes)


def report(first: Measured, unchanged: list[Measured], edited: list[Measured], *, judge: bool) -> None:
    """The lines, and the judgement."""
    same_s, same_cpu_s = medians(unchanged)
    edit_s, edit_cpu_s = medians(edited)
    sent = max(m.sent_bytes for m in edited)
    trips = max(m.requests for m in unchanged)
    same_sent = unchanged[0].sent_bytes
    print(
        f"push, first: {first.seconds:.2f} s, {first.requests} requests, {first.sent_bytes / 1e6:.1f} MB sent"
    )
    print(
        f"push, unchanged: {same_cpu_s:.2f} s of processor, {same_s:.2f} s, {trips} request(s) (aim 1), "
        f"{same_sent / 1e3:.1f} kB sent"
    )
    print(
        f"push, one line edited: {edit_cpu_s:.2f} s of processor (aim {TIME_AIM_S:g}), {edit_s:.2f} s, "
        f"{edited[0].requests} requests, {sent / 1e3:.1f} kB sent (aim {SENT_AIM_BYTES / 1e3:g})"
    )
    if not judge:
        return
    rows = [
        _row("first", first.seconds, first.cpu_s, first, ""),
        _row("unchanged", same_s, same_cpu_s, unchanged[0], "1 request"),
        _row(
            "one line edited", edit_s, edit_cpu_s, edited[0], f"{TIME_AIM_S:g} s, {SENT_AIM_BYTES / 1e3:g} kB"
        ),
    ]
    head = ("push", "wall, s", "processor, s", "requests", "sent, kB", "aim")
    write_table("push", "`chains push` of 10 Chainlets, 2,000 files and 100 MB of data", head, rows)
    if trips != 1 or edit_cpu_s > TIME_AIM_S or sent > SENT_AIM_BYTES:
        sys.exit(1)


def _row(name: str, wall_s: float, cpu_s: float, one: Measured, aim: str) -> list[str]:
    return [name, f"{wall_s:.2f}", f"{cpu_s:.2f}", str(one.requests), f"{one.sent_bytes / 1e3:,.1f}", aim]


if __name__ == "__main__":
    main()
