"""Calls between Chainlets: latency, rate, fan-out, memory and start, each beside a floor.

Run: `python -m benchmarks.data_plane`. The floor is what two Python processes can do at all: asyncio
protocols that pass lines over Unix sockets, with no HTTP, no types and no checks. Client, first and
second process are the same three processes in both cases. A busy machine slows both: judge the ratio.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from chains_protocol.routes import GatewayRoutes
from tests.soak.world import World, platform

IN_FLIGHT = 32
FAN_OUT = 100

SOURCE = f"""\
import asyncio

import truss_chains as chains


class Leaf(chains.ChainletBase):
    async def run_remote(self, text: str) -> str:
        return text


class Entry(chains.ChainletBase):
    def __init__(self, leaf: Leaf = chains.depends(Leaf)):
        self.leaf = leaf

    async def run_remote(self, text: str) -> str:
        if text != "fan":
            return await self.leaf.run_remote(text)
        await asyncio.gather(*(self.leaf.run_remote("x") for _ in range({FAN_OUT})))
        return "done"
"""

FLOOR = """\
import asyncio
import sys
from collections import deque


class Line(asyncio.BufferedProtocol):
    def __init__(self, heard):
        self.heard, self.rest, self.buffer = heard, b"", memoryview(bytearray(65536))

    def connection_made(self, transport):
        self.transport = transport

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, nbytes):
        *lines, self.rest = (self.rest + bytes(self.buffer[:nbytes])).split(b"\\n")
        for line in lines:
            self.heard(self, line)


async def main(own, other):
    loop = asyncio.get_running_loop()
    free, waiting = [], {}

    def answered(connection, line):
        waiting.pop(connection).set_result(line)
        free.append(connection)

    async def ask(line):
        if free:
            connection = free.pop()
        else:
            _, connection = await loop.create_unix_connection(lambda: Line(answered), other)
        waiting[connection] = loop.create_future()
        connection.transport.write(line + b"\\n")
        return await waiting[connection]

    async def serve(connection, line):
        if line == b"fan":
            await asyncio.gather(*(ask(b"x") for _ in range(FAN)))
        answer = await ask(line) if other else line
        connection.transport.write(answer + b"\\n")

    def asked(connection, line):
        if other:
            loop.create_task(serve(connection, line))
        else:
            connection.transport.write(line + b"\\n")

    await loop.create_unix_server(lambda: Line(asked), own)
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1], sys.argv[2]))
""".replace("FAN", str(FAN_OUT))


class Exchange(asyncio.BufferedProtocol):
    """Sends one message again and again; an answer is complete when as many bytes came as the first had."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(65536))
        self._transport: asyncio.WriteTransport | None = None
        self._answer: asyncio.Future[None] | None = None
        self._expected = 0
        self._seen = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self._expected:
            first = bytes(self._buffer[:nbytes])
            assert not first.startswith(b"HTTP") or first.startswith(b"HTTP/1.1 200"), first
            self._expected = nbytes
        self._seen += nbytes
        if self._seen >= self._expected and self._answer is not None:
            self._answer.set_result(None)

    async def ask(self, message: bytes) -> None:
        assert self._transport is not None
        self._seen = 0
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        await self._answer


@dataclass(frozen=True)
class Place:
    """Where requests go: a Unix socket, or a TCP port of this machine; what is sent."""

    address: str | int
    small: bytes
    fan: bytes

    async def connect(self) -> Exchange:
        loop = asyncio.get_running_loop()
        if isinstance(self.address, int):
            return (await loop.create_connection(Exchange, "127.0.0.1", self.address))[1]
        return (await loop.create_unix_connection(Exchange, self.address))[1]


@dataclass(frozen=True)
class Figures:
    p50_ms: float
    per_s: float
    fan_ms: float


async def measure(place: Place, *, calls: int) -> Figures:
    """One at a time, then many at once, then requests that fan out."""
    one = await place.connect()
    await timed(lambda: one.ask(place.small), calls // 4)
    p50 = await timed(lambda: one.ask(place.small), calls)
    many = [await place.connect() for _ in range(IN_FLIGHT)]
    for connection in many:
        await connection.ask(place.small)

    async def run(connection: Exchange) -> None:
        for _ in range(calls // 4):
            await connection.ask(place.small)

    begun = time.perf_counter()
    await asyncio.gather(*map(run, many))
    rate = IN_FLIGHT * (calls // 4) / (time.perf_counter() - begun)
    other = await place.connect()
    await timed(lambda: other.ask(place.fan), 5)
    fan = await timed(lambda: other.ask(place.fan), max(5, calls // 40))
    return Figures(p50 * 1000, rate, fan * 1000)


async def timed(work: Callable[[], "asyncio.Future[None] | object"], count: int) -> float:
    """The median time of one, in seconds."""
    took = []
    for _ in range(count):
        begun = time.perf_counter()
        await work()  # type: ignore[misc]  # a coroutine of `Exchange.ask`
        took.append(time.perf_counter() - begun)
    return median(took)


@contextmanager
def floor() -> Iterator[tuple[Place, psutil.Process, float]]:
    """Two processes that pass lines; the second one's process, and its seconds until ready."""
    with tempfile.TemporaryDirectory(prefix="floor-", dir="/tmp") as directory:
        program = Path(directory, "floor.py")
        program.write_text(FLOOR)
        begun = time.perf_counter()
        started: list[subprocess.Popen[str]] = []
        try:
            for own, other in (("b", ""), ("a", f"{directory}/b")):
                command = [sys.executable, str(program), f"{directory}/{own}", other]
                started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
                assert started[-1].stdout is not None and started[-1].stdout.readline()
                took = time.perf_counter() - begun
                begun = time.perf_counter()
            place = Place(f"{directory}/a", b"x\n", b"fan\n")
            yield place, psutil.Process(started[0].pid), took
        finally:
            for process in started:
                process.kill()
                process.communicate()


def places(world: World) -> tuple[Place, Place]:
    """The entrypoint's replica itself, and the gateway."""
    routes = GatewayRoutes.model_validate_json(world.layout.gateway_table.read_bytes())
    (target,) = routes.targets
    (found,) = target.sets
    revision = f"{target.deployment}.{target.version}"
    direct = [
        request(
            "/v1/models/model:predict", f"Api-Key {found.token}", text, f"x-chains-revision: {revision}\r\n"
        )
        for text in ("x", "fan")
    ]
    path = "/chains/demo/development/run_remote"
    outside = [request(path, f"Bearer {world.token}", text) for text in ("x", "fan")]
    port = int(world.file.gateway_url.rpartition(":")[2])
    return Place(found.addresses[0].removeprefix("unix:"), *direct), Place(port, *outside)


def request(path: str, authorization: str, text: str, more: str = "") -> bytes:
    body = json.dumps({"text": text})
    return (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {authorization}\r\n{more}"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode()


def start_s(world: World, rounds: int) -> float:
    """Seconds from starting a replica's process to its answer that it is ready."""
    (like,) = (status for status in world.statuses()["Leaf"])
    process = psutil.Process(like.pid)
    command, environ = process.cmdline(), process.environ()
    launch = {
        "replica_id": "bench",
        "deployment": "d",
        "admin_token": "t",
        "package_digest": like.package_digest,
    }
    took = []
    for number in range(rounds):
        socket = f"{tempfile.gettempdir()}/bench-{process.pid}-{number}.sock"
        changed = [socket if "--socket" in command[i - 1 : i] else word for i, word in enumerate(command)]
        begun = time.perf_counter()
        started = subprocess.Popen(
            changed, env=environ, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            assert started.stdin is not None
            started.stdin.write(json.dumps(launch).encode())
            started.stdin.close()
            asyncio.run(until_ready(socket))
            took.append(time.perf_counter() - begun)
        finally:
            started.terminate()
            started.wait(10)
    return median(took)


async def until_ready(socket: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(socket)
                writer.write(b"GET /v1/models/model HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                answer = await reader.read()
                writer.close()
                if answer.startswith(b"HTTP/1.1 200"):
                    return
            except OSError:
                pass
            await asyncio.sleep(0.005)


def main(short: bool = False) -> None:
    """Measure both in turns."""
    calls = 40 if short else 2000
    with (
        floor() as (ground, ground_process, ground_start_s),
        platform({"Leaf": (), "Entry": ("Leaf",)}) as world,
    ):
        world.push(world.chain(SOURCE))
        direct, outside = places(world)
        idle = psutil.Process(world.statuses()["Leaf"][0].pid).memory_full_info().pss
        rows = {}
        for _ in range(1 if short else 3):
            for name, place in (("floor", ground), ("chains", direct), ("through the gateway", outside)):
                rows.setdefault(name, []).append(asyncio.run(measure(place, calls=calls)))
        ready_s = start_s(world, 1 if short else 5)
        ground_pss = ground_process.memory_full_info().pss
    for name, found in rows.items():
        best = Figures(
            min(f.p50_ms for f in found), max(f.per_s for f in found), min(f.fan_ms for f in found)
        )
        print(
            f"{name:<20} p50 {best.p50_ms:.3f} ms; {best.per_s:,.0f} requests/s at {IN_FLIGHT} in flight; "
            f"fan-out of {FAN_OUT} {best.fan_ms:.2f} ms"
        )
    print(f"idle replica         {idle / 2**20:.1f} MiB PSS (floor {ground_pss / 2**20:.1f})")
    print(f"start to ready       {ready_s:.3f} s (floor {ground_start_s:.3f})")


if __name__ == "__main__":
    main()
