"""A watch whose platform is elsewhere: HTTP with a token, a connection that breaks, a second author."""

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Chains
from tests.e2e.test_the_road import Watch, kill_control_plane, wait_for, watching

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CHAIN = """\
import pathlib
import time

import truss_chains as chains


def slow(name: str) -> None:
    here = pathlib.Path("{files}")
    (here / f"{{name}}-began").touch()
    while not (here / f"{{name}}-may-go").exists():
        time.sleep(0.005)


class Model(chains.ChainletBase):
    def __init__(self) -> None:
        self.loaded = True

    async def run_remote(self) -> str:
        return "one"


@chains.mark_entrypoint("elsewhere")
class Entry(chains.ChainletBase):
    def __init__(self, model: Model = chains.depends(Model)) -> None:
        self.model = model

    async def run_remote(self) -> list[str]:
        return ["one", await self.model.run_remote()]
"""
FAST = "        self.loaded = True\n"


@dataclass
class Proxy:
    """A way to the platform that can be cut, with all that is on it."""

    target: int
    is_open: bool = True
    _pairs: list[socket.socket] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._begin(self._accept)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def cut(self) -> None:
        self.is_open = False
        for one in self._pairs:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for one in (self._server, *self._pairs):
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:  # closed
                return
            self._pairs.append(near)
            try:
                far = socket.create_connection(("127.0.0.1", self.target if self.is_open else 1))
            except OSError:
                near.shutdown(socket.SHUT_RDWR)
                continue
            self._pairs.append(far)
            for pair in ((near, far), (far, near)):
                self._begin(self._pump, *pair)

    def _begin(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@dataclass
class World:
    """A platform that somebody runs in the foreground, and authors who have nothing but its address."""

    chains: Chains
    directory: Path
    running: "subprocess.Popen[str]"
    proxy: Proxy

    @property
    def files(self) -> Path:
        return self.directory / "files"

    def author(self, name: str) -> Chains:
        work = self.directory / name
        work.mkdir()
        (work / "chain.py").write_text(CHAIN.format(files=self.files))
        made = Chains(home=self.directory / f"{name}-home", cwd=work)
        token = (self.chains.home / "platform" / "token").read_text()
        made.ok("remote", "add", "lab", "--url", self.proxy.url, stdin=token)
        made.ok("remote", "use", "lab")
        return made

    def answer(self) -> Any:
        token = (self.chains.home / "platform" / "token").read_text().strip()
        gateway = json.loads((self.chains.home / "platform" / "platform.json").read_text())["gateway_url"]
        url = f"{gateway}/chains/elsewhere/development/run_remote"
        return httpx.post(url, json={}, headers={"Authorization": f"Bearer {token}"}, timeout=30).json()

    def began(self, name: str) -> None:
        wait_for(f"{name} to begin", (self.files / f"{name}-began").exists)

    def may_go(self, name: str) -> None:
        (self.files / f"{name}-may-go").touch()

    def run_platform(self) -> None:
        self.running.wait(30)
        self.running = run_platform(self.chains)


def run_platform(chains: Chains) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        chains.command("platform", "run"),
        cwd=chains.cwd,
        env=chains.environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    wait_for("the platform", lambda: chains.run("platform", "status").code == 0)
    return process


@pytest.fixture
def world(chains: Chains, tmp_path: Path) -> Iterator[World]:
    (tmp_path / "files").mkdir()
    running = run_platform(chains)
    state = json.loads((chains.home / "platform" / "platform.json").read_text())
    proxy = Proxy(int(state["control_url"].rpartition(":")[2]))
    made = World(chains, tmp_path, running, proxy)
    try:
        yield made
    finally:
        proxy.close()
        chains.run("platform", "down")
        made.running.wait(60)


def save(author: Chains, word: str, slow: str | None = None) -> None:
    """Both Chainlets say `word`; the model's `__init__` waits, if it is `slow`."""
    text = CHAIN.format(files=author.cwd.parent / "files").replace('"one"', f'"{word}"')
    if slow is not None:
        text = text.replace(FAST, f'        slow("{slow}")\n')
    beside = author.cwd / "chain.py~"
    beside.write_text(text)
    beside.replace(author.cwd / "chain.py")


def told(watch: Watch, code: str, severity: str) -> bool:
    found = [e["diagnostic"] for e in watch.of("diagnostic")]
    return any(d["code"] == code and d.get("severity", "error") == severity for d in found)


def rounds(watch: Watch) -> list[bool]:
    return [e["committed"] for e in watch.of("round_finished") if e["changed"]]


def test_a_watch_survives_the_loss_of_its_platform_at_any_moment(world: World) -> None:
    """What was saved meanwhile is sent once it can be; what runs is told by digest, not by memory."""
    author = world.author("ann")
    with watching(author) as watch:
        save(author, "two")
        watch.wait("a patch", lambda w: rounds(w) == [True])
        assert world.answer() == ["two", "two"]

        world.proxy.cut()
        watch.wait("the loss", lambda w: told(w, "CH301", "warning"))
        save(author, "three")
        watch.wait("a round that reaches nobody", lambda w: rounds(w) == [True, False])
        assert world.answer() == ["two", "two"]
        world.proxy.is_open = True
        watch.wait("the way back", lambda w: rounds(w)[2:] == [True])
        assert world.answer() == ["three", "three"]

        save(author, "four", slow="cut")
        world.began("cut")
        world.proxy.cut()
        watch.wait("a patch that is cut", lambda w: rounds(w)[3:] == [False])
        world.may_go("cut")
        world.proxy.is_open = True
        watch.wait("the same patch", lambda w: rounds(w)[4:] == [True])
        assert world.answer() == ["four", "four"]

        save(author, "five", slow="killed")
        world.began("killed")
        kill_control_plane(world.chains)
        watch.wait("a patch that nobody finishes", lambda w: rounds(w)[5:] == [False])
        assert world.answer() == ["four", "four"]
        world.may_go("killed")
        world.run_platform()
        watch.wait("the same patch", lambda w: rounds(w)[6:] == [True])
        assert world.answer() == ["five", "five"]
    assert not author.processes()


def test_two_authors_of_one_chain_are_never_mixed(world: World) -> None:
    """CH305: the second learns of it, and exits 5 with `--once`; the next save starts from what runs."""
    ann, bob = world.author("ann"), world.author("bob")
    with watching(ann) as first:
        with watching(bob, "chain.py", "--explain") as second:
            save(ann, "ann", slow="ann")
            world.began("ann")
            save(bob, "bob")
            second.wait("a decision", lambda w: bool(w.of("explained")))
            world.may_go("ann")
            first.wait("a patch", lambda w: rounds(w) == [True])
            second.wait("a conflict", lambda w: rounds(w) == [False])
            assert told(second, "CH305", "error")
            assert world.answer() == ["ann", "ann"]

            save(bob, "bob again")
            second.wait("a patch", lambda w: rounds(w) == [False, True])
            assert world.answer() == ["bob again", "bob again"]
            first.wait("the news", lambda w: told(w, "CH305", "warning"))
        save(ann, "ann once more", slow="once")
        world.began("once")
        save(bob, "bob once more")
        with once(bob) as third:
            third.wait("a decision", lambda w: bool(w.of("explained")))
            world.may_go("once")
            assert third.process.wait(60) == 5, third.raw
        assert third.of("result")[0]["exit_code"] == 5
        assert told(third, "CH305", "error")
        assert world.answer() == ["ann once more", "ann once more"]


@contextmanager
def once(author: Chains) -> Iterator[Watch]:
    watch = Watch(author.start("watch", "chain.py", "--once", "--explain", "--output", "json"))
    try:
        yield watch
    finally:
        watch.process.kill()
        watch.process.wait()
        watch.close()
