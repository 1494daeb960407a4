"""What a hot patch must stand, each in a short and a long form that differ only in numbers."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import httpx
import psutil
from websockets.asyncio.client import connect

from chains_protocol.patch import Action
from chains_protocol.spec import EndpointSpec, ParameterSpec, StreamItem
from tests.e2e.platform_api import CHAIN
from tests.soak.load import Load, failed, quantile
from tests.soak.world import World, call_source

TYPES_EVERY = 3
"""So many patches of one kind, then one that changes the types that travel, on both sides of each hop."""


@dataclass(frozen=True)
class LoadReport:
    """Figures of a load under patches."""

    requests: int
    failed: int
    mixed: int
    versions: int
    p99_calm_ms: float
    p99_patching_ms: float
    p50_patch_ms: float

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {self.failed} failed, {self.mixed} mixed, {self.versions} versions; "
            f"p99 {self.p99_calm_ms:.1f} ms calm, {self.p99_patching_ms:.1f} ms patching; "
            f"a patch takes {self.p50_patch_ms:.1f} ms (p50)"
        )


def patches_under_load(world: World, *, patches: int, calm_s: float, patching_s: float) -> LoadReport:
    """Patch all hops again and again while requests come at 200 a second."""
    world.push(world.chain(call_source(0)))
    took: list[float] = []
    with Load(world.url, world.token, {"text": "go"}) as load:
        begun = time.monotonic()
        _pause_until(begun + 0.5)
        calm = time.monotonic()
        _pause_until(calm + calm_s)
        patching = time.monotonic()
        for number in range(1, patches + 1):
            before = time.monotonic()
            outcome = world.patch_all(call_source(number, number // TYPES_EVERY))
            took.append(time.monotonic() - before)
            assert outcome.committed, outcome.diagnostics
            _pause_until(patching + patching_s * number / patches)
        ended = time.monotonic()
    during = load.between(patching, ended)
    answers = [a for a in load.answers if a.status == 200]
    return LoadReport(
        requests=len(load.answers),
        failed=len(failed(load.answers)),
        mixed=sum(len(set(a.value)) != 1 for a in answers),
        versions=len({a.value[0] for a in answers}),
        p99_calm_ms=quantile(load.between(calm, patching), 0.99),
        p99_patching_ms=quantile(during, 0.99),
        p50_patch_ms=sorted(took)[len(took) // 2] * 1000,
    )


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
