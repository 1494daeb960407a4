"""What a hot patch must stand, each in a short and a long form that differ only in numbers."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event

import httpx
import psutil
from websockets.asyncio.client import connect

from chains_protocol.patch import Action
from chains_protocol.spec import EndpointSpec, ParameterSpec, StreamItem
from tests.e2e.platform_api import CHAIN
from tests.soak.burden import Burden
from tests.soak.load import Answer, Load, failed, quantile
from tests.soak.world import World, call_source

TYPES_EVERY = 3
"""So many patches of one kind, then one that changes the types that travel, on both sides of each hop."""


@dataclass(frozen=True)
class Quantiles:
    """How long answers took, in milliseconds."""

    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, answers: list[Answer]) -> "Quantiles":
        return cls(quantile(answers, 0.5), quantile(answers, 0.99)) if answers else cls(0.0, 0.0)

    def __str__(self) -> str:
        return f"p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms"


@dataclass(frozen=True)
class LoadReport:
    """Figures of a load: calm, under patches, and while a process of its own does the patches' CPU work."""

    requests: int
    failed: int
    mixed: int
    versions: int
    calm: Quantiles
    patching: Quantiles
    control: Quantiles
    p50_patch_ms: float
    cpu_patch_ms: float

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {self.failed} failed, {self.mixed} mixed, {self.versions} versions; "
            f"calm: {self.calm}; patching: {self.patching}; "
            f"the same CPU work in another process: {self.control}; "
            f"a patch takes {self.p50_patch_ms:.1f} ms (p50) and {self.cpu_patch_ms:.1f} ms of CPU"
        )


def patches_under_load(
    world: World, *, patches: int, calm_s: float, patching_s: float, control_s: float = 0.0, rounds: int = 1
) -> LoadReport:
    """Patch all hops again and again while requests come at 200 a second.

    The times are for all rounds together. In turns, so that what else the machine does meets all alike.
    """
    world.push(world.chain(call_source(0)))
    cpu = _Cpu(world)
    took: list[float] = []
    costs: list[float] = []
    spans: dict[str, list[tuple[float, float]]] = {"calm": [], "patching": [], "control": []}
    every_s, each = patching_s / patches, patches // rounds
    with Load(world.url, world.token, {"text": "go"}) as load:
        _pause_until(time.monotonic() + 0.5)
        for turn in range(rounds):
            calm = _span(spans["calm"], cpu, lambda: time.sleep(calm_s / rounds))
            numbers = range(turn * each + 1, (turn + 1) * each + 1)
            patching = _span(spans["patching"], cpu, partial(_patch_every, world, every_s, numbers, took))
            costs.append(max(0.0, (patching - calm) * every_s))
            if control_s:
                with Burden(sum(costs) / len(costs), every_s):
                    _span(spans["control"], cpu, lambda: time.sleep(control_s / rounds))
    found = {name: [a for s in some for a in load.between(*s)] for name, some in spans.items()}
    answers = [a for a in load.answers if a.status == 200]
    return LoadReport(
        requests=len(load.answers),
        failed=len(failed(load.answers)),
        mixed=sum(len(set(a.value)) != 1 for a in answers),
        versions=len({a.value[0] for a in answers}),
        calm=Quantiles.of(found["calm"]),
        patching=Quantiles.of(found["patching"]),
        control=Quantiles.of(found["control"]),
        p50_patch_ms=sorted(took)[len(took) // 2] * 1000,
        cpu_patch_ms=sum(costs) / len(costs) * 1000,
    )


def _span(spans: list[tuple[float, float]], cpu: "_Cpu", work: Callable[[], object]) -> float:
    """Do `work` and note when; the CPU seconds a second that we and the platform took meanwhile."""
    before, begun = cpu(), time.monotonic()
    work()
    ended = time.monotonic()
    spans.append((begun, ended))
    return (cpu() - before) / (ended - begun)


def _patch_every(world: World, every_s: float, numbers: Iterable[int], took: list[float]) -> None:
    """Patch at a steady rate; adds the seconds that each one took."""
    due = time.monotonic()
    for number in numbers:
        before = time.monotonic()
        outcome = world.patch_all(call_source(number, number // TYPES_EVERY))
        took.append(time.monotonic() - before)
        assert outcome.committed, outcome.diagnostics
        due += every_s
        _pause_until(due)


class _Cpu:
    """CPU seconds so far of this process, which sends the patches, and of all of the platform."""

    def __init__(self, world: World) -> None:
        pids = [world.file.pid, world.file.gateway_pid]
        pids += [status.pid for found in world.statuses().values() for status in found]
        self._processes = [psutil.Process(pid) for pid in pids]

    def __call__(self) -> float:
        return time.process_time() + sum(sum(p.cpu_times()[:2]) for p in self._processes)


def _pause_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


@dataclass(frozen=True)
class Footprint:
    """What a replica's process holds."""

    pid: int
    rss_bytes: int
    fds: int
    generations: int


def footprints(world: World) -> dict[str, Footprint]:
    """By Chainlet; each has one replica here."""
    found = {}
    for name, (status,) in world.statuses().items():
        process = psutil.Process(status.pid)
        found[name] = Footprint(
            status.pid, process.memory_info().rss, process.num_fds(), len(status.generations)
        )
    return found


def patch_in_a_row(world: World, first: int, last: int, action: Action = Action.PATCHED) -> None:
    for number in range(first, last + 1):
        outcome = world.patch_all(call_source(number, number // TYPES_EVERY), action)
        assert outcome.committed, outcome.diagnostics


# --- streams and websockets

STREAM = """\
import asyncio
import pathlib
from collections.abc import AsyncIterator

import truss_chains as chains


class Leaf(chains.ChainletBase):
    async def run_remote(self, text: str) -> str:
        return "{version}"


class Entry(chains.ChainletBase):
    def __init__(self, leaf: Leaf = chains.depends(Leaf)):
        self.leaf = leaf

    async def run_remote(self, text: str) -> AsyncIterator[str]:
        while not pathlib.Path(text).exists():
            yield "{version}:" + await self.leaf.run_remote("x") + "\\n"
            await asyncio.sleep(0.1)
        yield "end\\n"
"""

SOCKET = """\
import truss_chains as chains


class Leaf(chains.ChainletBase):
    async def run_remote(self, text: str) -> str:
        return "{version}"


class Entry(chains.ChainletBase):
    def __init__(self, leaf: Leaf = chains.depends(Leaf)):
        self.leaf = leaf

    async def run_remote(self, websocket: chains.WebSocketProtocol) -> None:
        while (text := await websocket.receive_text()) != "end":
            await websocket.send_text("{version}:" + await self.leaf.run_remote(text))
"""

TWO_HOPS: Mapping[str, tuple[str, ...]] = {"Leaf": (), "Entry": ("Leaf",)}
STREAM_ENTRY = EndpointSpec(
    is_async=True,
    stream_item=StreamItem.STR,
    parameters=(ParameterSpec(name="text", annotation="str"),),
    return_annotation="AsyncIterator[str]",
)
SOCKET_ENTRY = EndpointSpec(is_websocket=True)


def streams_across_patches(world: World, stop: Path, *, patches: int) -> list[set[str]]:
    """Open a stream before each patch; what each one said, once a file ends them all."""
    world.push(world.chain(STREAM.format(version=0)))
    with ThreadPoolExecutor(patches) as pool, world.caller() as client:
        running = []
        for number in range(patches):
            begun = Event()
            running.append(pool.submit(_read_stream, client, str(stop), begun))
            if not begun.wait(20):
                stop.touch()
                raise AssertionError(f"stream {number} did not begin: {running[-1].exception(20)}")
            before = time.monotonic()
            outcome = world.patch_all(STREAM.format(version=number + 1))
            assert outcome.committed, outcome.diagnostics
            assert time.monotonic() - before < 5, "the patch waited"
        stop.touch()
        return [one.result(60) for one in running]


def _read_stream(client: httpx.Client, stop: str, begun: Event) -> set[str]:
    data = b""
    with client.stream("POST", "/development/run_remote", json={"text": stop}, timeout=120) as answer:
        assert answer.status_code == 200
        for chunk in answer.iter_raw():
            data += chunk
            begun.set()
    *lines, last = data.decode().splitlines()
    assert last == "end", "the stream broke off"
    return set(lines)


async def sockets_across_patches(world: World, *, patches: int) -> list[set[str]]:
    """Open a websocket before each patch; what all of them said after every patch."""
    await asyncio.to_thread(world.push, world.chain(SOCKET.format(version=0)))
    url = world.file.gateway_url.replace("http", "ws", 1) + f"/chains/{CHAIN}/development/websocket"
    headers = {"authorization": f"Bearer {world.token}"}
    said: list[set[str]] = []
    async with AsyncExitStack() as stack:
        sockets = []
        for number in range(patches):
            socket = await stack.enter_async_context(connect(url, additional_headers=headers))
            sockets.append(socket)
            said.append(set())
            await socket.send("first")
            said[-1].add(str(await socket.recv()))
            outcome = await asyncio.to_thread(world.patch_all, SOCKET.format(version=number + 1))
            assert outcome.committed, outcome.diagnostics
            for heard, one in zip(said, sockets, strict=True):
                await one.send("x")
                heard.add(str(await one.recv()))
        for one in sockets:
            await one.send("end")
            await one.wait_closed()
            assert one.close_code in (1000, 1001), one.close_code
    return said
