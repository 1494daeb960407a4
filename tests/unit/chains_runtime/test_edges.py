"""One replica calls another (spec 7.7 and 7.8)."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chains_protocol.patch import Action
from chains_protocol.routes import Callee, DeploymentRoutes, ReplicaRoutes, ReplicaSet
from chains_protocol.spec import RPCOptions
from chains_runtime.hotswap.judging import Judgement
from tests.unit.chains_runtime.conftest import TOKEN, Running, Start, until
from tests.unit.chains_runtime.packages import dependency, write_package

SOURCE = """
    import asyncio
    from collections.abc import AsyncIterator
    import truss_chains as chains
    from pydantic import BaseModel

    class Out(BaseModel):
        text: str
        n: int

    class Leaf(chains.ChainletBase):
        def __init__(self):
            self.cancelled = asyncio.Event()
        async def run_remote(self, text: str, n: int = 3, mode: str = "") -> Out:
            if mode == "fail":
                raise KeyError("empty")
            if mode == "slow":
                try:
                    await asyncio.sleep(30)
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise
            return Out(text=text * n, n=n)

    class Words(chains.ChainletBase):
        async def run_remote(self, n: int, fail: bool = False) -> AsyncIterator[str]:
            for i in range(n):
                yield f"é{i}"
            if fail:
                raise ValueError("broke")

    class Tokens(chains.ChainletBase):
        async def run_remote(self, n: int) -> AsyncIterator[Out]:
            for i in range(n):
                yield Out(text="t", n=i)

    class Blocking(chains.ChainletBase):
        def run_remote(self, text: str) -> str:
            return text.upper()

    class Front(chains.ChainletBase):
        def __init__(
            self,
            leaf: Leaf = chains.depends(Leaf),
            words: Words = chains.depends(Words),
            tokens: Tokens = chains.depends(Tokens),
            blocking: Blocking = chains.depends(Blocking),
        ):
            self.leaf, self.words, self.tokens, self.blocking = leaf, words, tokens, blocking

        async def run_remote(self, what: str) -> list[str]:
            if what == "positional":
                return [(await self.leaf.run_remote("a", 2)).text]
            if what == "default":
                return [(await self.leaf.run_remote(text="a")).text]
            if what == "many":
                found = await asyncio.gather(*(self.leaf.run_remote(str(i), 1) for i in range(50)))
                return [f.text for f in found]
            if what == "words":
                return [w async for w in self.words.run_remote(3)]
            if what == "broken":
                try:
                    return [w async for w in self.words.run_remote(2, fail=True)]
                except ConnectionError as error:
                    return [str(error)]
            if what == "tokens":
                return [f"{t.n}" async for t in self.tokens.run_remote(n=3)]
            if what == "sync":
                return [self.blocking.run_remote("shout")]
            if what == "thread":
                return [await asyncio.to_thread(self.blocking.run_remote, "shout")]
            if what == "foreign-loop":
                return [(await asyncio.to_thread(lambda: asyncio.run(self.leaf.run_remote("a")))).text]
            if what == "too-many":
                await self.leaf.run_remote("a", 1, "", 4)
            if what == "wrong-type":
                await self.leaf.run_remote(text=[1])
            await self.leaf.run_remote("a", mode=what)
            return []
"""
LEAVES = ("Leaf", "Words", "Tokens", "Blocking")
pytestmark = pytest.mark.filterwarnings("ignore:.*run_remote.*:DeprecationWarning")  # V-53


def options_of(name: str, **options: Any) -> RPCOptions:
    return RPCOptions(**(options if name in ("Leaf", "Tokens") else {}))


def front_package(path: Path, source: str = SOURCE, **options: Any) -> Path:
    edges = [dependency(name, name.lower(), options_of(name, **options)) for name in LEAVES]
    return write_package(path, {"chain.py": source}, "Front", dependencies=edges)


def routes_to(**sets: tuple[ReplicaSet, ...]) -> ReplicaRoutes:
    callees = tuple(Callee(class_name=n, display_name=n, sets=s) for n, s in sets.items())
    return ReplicaRoutes(accepts=(TOKEN,), deployments=(DeploymentRoutes(deployment="d", callees=callees),))


def one_set(*replicas: Running, since: int = 1) -> ReplicaSet:
    return ReplicaSet(since=since, addresses=tuple(r.address for r in replicas), token=TOKEN)


class Chain:
    def __init__(self, front: Running, leaves: dict[str, Running]) -> None:
        self.front = front
        self.leaves = leaves


async def chain(start: Start, tmp_path: Path, **options: Any) -> Chain:
    leaves = {
        name: await start(write_package(tmp_path / name, {"chain.py": SOURCE}, name)) for name in LEAVES
    }
    routes = routes_to(**{name: (one_set(leaf),) for name, leaf in leaves.items()})
    return Chain(await start(front_package(tmp_path / "front", **options), routes=routes), leaves)


EXPECTED = {
    "positional": ["aa"],
    "default": ["aaa"],
    "many": [str(i) for i in range(50)],
    "words": ["é0", "é1", "é2"],
    "broken": None,
    "tokens": ["0", "1", "2"],
    "sync": ["SHOUT"],
    "thread": ["SHOUT"],
    "foreign-loop": ["aaa"],
}


@pytest.mark.parametrize("binary", [False, True])
async def test_a_stub_looks_like_the_dependency(start: Start, tmp_path: Path, binary: bool) -> None:
    """G-54, G-55, S-02, S-03, S-11, S-12, S-14, R-21."""
    found = await chain(start, tmp_path, use_binary=binary)
    for what, expected in EXPECTED.items():
        if what != "sync":  # it would block the loop that the callee lives on in this test
            value = await found.front.value({"what": what})
            assert value == expected or what == "broken", what


async def test_a_broken_stream_is_noticed(start: Start, tmp_path: Path) -> None:
    """R-27."""
    found = await chain(start, tmp_path)
    (text,) = await found.front.value({"what": "broken"})
    assert text.startswith("the stream of `Words` broke off")


async def test_an_error_of_the_callee_is_the_same_class_with_both_traces(
    start: Start, tmp_path: Path
) -> None:
    """X-03, X-11, X-12."""
    found = await chain(start, tmp_path)
    answer = await found.front.call({"what": "fail"})
    detail = answer.json()["error"]
    assert (answer.status_code, detail["exception_cls_name"]) == (500, "KeyError")
    assert "├─ `Leaf` answered with HTTP 500" in detail["exception_message"]
    assert detail["exception_message"].splitlines()[-1].startswith("╰   KeyError")
    assert [f["name"] for f in detail["user_stack_trace"]] == ["run_remote"]


async def test_arguments_that_do_not_fit_fail_at_the_call(start: Start, tmp_path: Path) -> None:
    found = await chain(start, tmp_path)
    too_many = (await found.front.call({"what": "too-many"})).json()["error"]
    assert too_many["exception_message"] == "Leaf.run_remote() takes 3 positional arguments but 4 were given"
    wrong = (await found.front.call({"what": "wrong-type"})).json()["error"]
    assert wrong["exception_cls_name"] == "ValidationError"
    assert found.leaves["Leaf"].replica.requests_total == 0


async def test_a_timeout_names_dependency_and_limit(start: Start, tmp_path: Path) -> None:
    """S-06; the callee is cancelled."""
    found = await chain(start, tmp_path, timeout_sec=0.1)
    detail = (await found.front.call({"what": "slow"})).json()["error"]
    assert detail["exception_cls_name"] == "TimeoutError"
    assert ("`Leaf`" in detail["exception_message"], "0.1 s" in detail["exception_message"]) == (True, True)
    await asyncio.wait_for(found.leaves["Leaf"].replica.newest.instance.cancelled.wait(), 5)


async def test_a_caller_that_leaves_cancels_the_whole_tree(start: Start, tmp_path: Path) -> None:
    found = await chain(start, tmp_path)
    leaf = found.leaves["Leaf"].replica
    call = asyncio.create_task(found.front.call({"what": "slow"}))
    async with asyncio.timeout(5):
        await until(lambda: leaf.in_flight)
        call.cancel()
        await leaf.newest.instance.cancelled.wait()
        await until(lambda: not (leaf.in_flight or found.front.replica.in_flight))


async def test_a_replica_that_cannot_be_reached_is_passed_over(start: Start, tmp_path: Path) -> None:
    leaf = await start(write_package(tmp_path / "leaf", {"chain.py": SOURCE}, "Leaf"))
    both = ReplicaSet(addresses=(f"unix:{tmp_path}/gone.s", leaf.address), token=TOKEN)
    routes = routes_to(**dict.fromkeys(LEAVES, (both,)))
    front = await start(front_package(tmp_path / "front"), routes=routes, callee_wait_s=0.0)
    for _ in range(4):
        assert await front.value({"what": "default"}) == ["aaa"]
    front.replica.set_routes(routes_to(Leaf=(ReplicaSet(addresses=(both.addresses[0],), token=TOKEN),)))
    detail = (await front.call({"what": "default"})).json()["error"]
    assert detail["exception_cls_name"] == "ConnectionRefusedError"
    assert "no replica of `Leaf` can be reached" in detail["exception_message"]


async def test_a_replica_that_refuses_is_passed_over(start: Start, tmp_path: Path) -> None:
    """A draining replica executes nothing, so another one gets the call."""
    first = await start(write_package(tmp_path / "a", {"chain.py": SOURCE}, "Leaf"))
    second = await start(write_package(tmp_path / "b", {"chain.py": SOURCE}, "Leaf"))
    routes = routes_to(**{name: (one_set(first, second),) for name in LEAVES})
    front = await start(front_package(tmp_path / "front"), routes=routes)
    first.replica.drain()
    for _ in range(4):
        assert await front.value({"what": "default"}) == ["aaa"]
    assert (first.replica.requests_total, second.replica.requests_total) == (0, 4)


async def test_requests_reach_the_set_of_their_version(start: Start, tmp_path: Path) -> None:
    """Old and new run side by side; each request sees one version on every hop."""
    first = await start(write_package(tmp_path / "a", {"chain.py": SOURCE}, "Leaf"))
    second = await start(write_package(tmp_path / "b", {"chain.py": SOURCE}, "Leaf"))
    rest = {name: (one_set(first),) for name in LEAVES if name != "Leaf"}
    routes = routes_to(Leaf=(one_set(first), one_set(second, since=2)), **rest)
    front = await start(front_package(tmp_path / "f"), routes=routes)
    for version, counts in ((1, (1, 0)), (2, (1, 1)), (7, (1, 2))):
        await front.value({"what": "default"}, version=version)
        assert (first.replica.requests_total, second.replica.requests_total) == counts


async def test_a_stub_kept_in_the_state_uses_the_types_of_the_running_generation(
    start: Start, tmp_path: Path
) -> None:
    """An I/O type changes on both sides of an edge; requests of both versions pass unmixed."""

    def judge(before: object, after: object) -> Judgement:
        return Judgement(Action.PATCHED)

    edited = (
        SOURCE.replace("text: str\n        n: int", "words: str\n        n: int")
        .replace("Out(text=", "Out(words=")
        .replace(".text", ".words")
    )
    leaf = await start(write_package(tmp_path / "leaf", {"chain.py": SOURCE}, "Leaf"), judge=judge)
    routes = routes_to(**{name: (one_set(leaf),) for name in LEAVES})
    front = await start(front_package(tmp_path / "front"), routes=routes, judge=judge)
    await leaf.patch(write_package(tmp_path / "leaf2", {"chain.py": edited}, "Leaf"), 2)
    await front.patch(front_package(tmp_path / "front2", edited), 2)
    assert await front.value({"what": "default"}, version=1) == ["aaa"]
    assert await front.value({"what": "default"}, version=2) == ["aaa"]
    assert front.replica.load_count == 1


HOP = """
    import asyncio
    import truss_chains as chains
    from pydantic import BaseModel

    class Out(BaseModel):
        text: str

    EMPTY = Out(text="none")

    class Leaf(chains.ChainletBase):
        async def run_remote(self, text: str) -> Out:
            return Out(text=text)

    class Front(chains.ChainletBase):
        last = EMPTY

        def __init__(self, leaf: Leaf = chains.depends(Leaf, retries=2)):
            self.leaf = leaf
            self.gate = asyncio.Event()
            self.waiting = 0

        async def run_remote(self, wait: bool = False) -> str:
            if wait:
                self.waiting += 1
                await self.gate.wait()
            found = await self.leaf.run_remote("a")
            return found.text + EMPTY.text + self.last.text
"""


async def test_a_type_that_changes_on_both_sides_of_a_hop_patches_both(start: Start, tmp_path: Path) -> None:
    """Judged by the analysis: the state stays, open requests end on the old types, no call is mixed."""
    edges = [dependency("Leaf", "leaf", RPCOptions(retries=2))]
    leaf = await start(write_package(tmp_path / "leaf", {"chain.py": HOP}, "Leaf"))
    first = write_package(tmp_path / "front", {"chain.py": HOP}, "Front", dependencies=edges)
    front = await start(first, routes=routes_to(Leaf=(one_set(leaf),)))
    old = front.replica.newest.instance
    calls = [asyncio.create_task(front.value({"wait": True}, version=1)) for _ in range(5)]
    await until(lambda: old.waiting == 5)

    edited = HOP.replace("text: str\n\n", "words: str\n\n").replace("Out(text=", "Out(words=")
    edited = edited.replace(".text", ".words").replace("retries=2", "retries=3") + "\n"
    edges = [dependency("Leaf", "leaf", RPCOptions(retries=3))]
    for number, (replica, name) in enumerate(((leaf, "Leaf"), (front, "Front"))):
        package = write_package(
            tmp_path / f"new{number}", {"chain.py": edited}, name, dependencies=edges * number
        )
        reply = await replica.patch(package, 2)
        assert (reply.action, replica.replica.load_count) == (Action.PATCHED, 1), reply.reasons
    new = front.replica.newest.instance
    assert new.__dict__ is old.__dict__
    assert (
        front.replica.newest.bindings["Leaf"].policy
        is not front.replica.generations[0].bindings["Leaf"].policy
    )
    assert await front.value({}, version=2) == "anonenone"
    old.gate.set()
    assert await asyncio.gather(*calls) == ["anonenone"] * 5
    assert [await front.value({}, version=v) for v in (1, 2)] == ["anonenone"] * 2


async def test_an_object_of_a_changed_type_in_the_state_is_reloaded(start: Start, tmp_path: Path) -> None:
    """What a call kept in the state is found there, whatever the text says."""
    source = HOP.replace(
        "            return found.text", "            self.kept = found\n            return found.text"
    )
    edges = [dependency("Leaf", "leaf")]
    leaf = await start(write_package(tmp_path / "leaf", {"chain.py": source}, "Leaf"))
    first = write_package(tmp_path / "front", {"chain.py": source}, "Front", dependencies=edges)
    front = await start(first, routes=routes_to(Leaf=(one_set(leaf),)))
    await front.value({})
    edited = source.replace("text: str\n\n", "text: str\n        n: int = 0\n\n")
    reply = await front.prepare(
        write_package(tmp_path / "2", {"chain.py": edited}, "Front", dependencies=edges), 2
    )
    assert (reply.ok, reply.action) == (True, Action.RELOADED)
    assert reply.reasons[-1] == "`self.kept` holds a `Out`, whose class is new"


@pytest.mark.parametrize(("before", "after"), [(["Leaf"], ["Leaf", "More"]), (["Leaf", "More"], ["Leaf"])])
async def test_an_instance_that_was_made_with_other_dependencies_is_not_handed_over(
    start: Start, tmp_path: Path, before: list[str], after: list[str]
) -> None:
    """Whatever was judged: a stub in the state that the new code can't call would fail at its first call."""

    def judge(old: object, new: object) -> Judgement:
        return Judgement(Action.PATCHED)

    more = HOP.replace("retries=2)", "retries=2), more: Leaf = chains.depends(Leaf)")
    packages = [
        write_package(
            tmp_path / str(n),
            {"chain.py": more if "More" in names else HOP},
            "Front",
            dependencies=[dependency(name, name.lower()) for name in names],
        )
        for n, names in enumerate((before, after))
    ]
    leaf = await start(write_package(tmp_path / "leaf", {"chain.py": HOP}, "Leaf"))
    front = await start(packages[0], routes=routes_to(Leaf=(one_set(leaf),)), judge=judge)
    reply = await front.prepare(packages[1], 2)
    assert (reply.ok, reply.action) == (True, Action.RELOADED)
    assert "More" in reply.reasons[0]


async def test_headers_and_deadline_travel(start: Start, tmp_path: Path) -> None:
    """R-22: non-empty headers of the request reach the callee; the deadline shrinks on the way."""
    source = """
        import time
        import truss_chains as chains
        from truss_chains.calling import CURRENT_REQUEST

        class Leaf(chains.ChainletBase):
            async def run_remote(self) -> list[str]:
                now = CURRENT_REQUEST.get()
                left = now.deadline - time.monotonic()
                return [now.forwarded.get("traceparent", ""), now.revision, str(0 < left <= 5)]

        class Front(chains.ChainletBase):
            def __init__(self, leaf: Leaf = chains.depends(Leaf)):
                self.leaf = leaf
            async def run_remote(self) -> list[str]:
                return await self.leaf.run_remote()
    """
    leaf = await start(write_package(tmp_path / "leaf", {"chain.py": source}, "Leaf"))
    package = write_package(
        tmp_path / "front", {"chain.py": source}, "Front", dependencies=[dependency("Leaf", "leaf")]
    )
    front = await start(package, routes=routes_to(Leaf=(one_set(leaf),)))
    headers = {"traceparent": "00-ab-cd-01", "x-chains-deadline": "5", "x-baseten-request-id": ""}
    answer = await front.call({}, version=3, headers=headers)
    assert answer.json() == ["00-ab-cd-01", "d.3", "True"]


async def test_dependencies_can_be_called_while_loading_also_in_plain_threads(
    start: Start, tmp_path: Path
) -> None:
    """A Chainlet that asks its dependency for something in `__init__`; no request has a context yet."""
    source = """
        import asyncio, threading
        import truss_chains as chains

        class Leaf(chains.ChainletBase):
            def run_remote(self) -> int:
                return 7

        class Front(chains.ChainletBase):
            def __init__(self, leaf: Leaf = chains.depends(Leaf)):
                self.found = [leaf.run_remote()]
                thread = threading.Thread(target=lambda: self.found.append(leaf.run_remote()))
                thread.start()
                thread.join()
            async def run_remote(self) -> list[int]:
                return self.found
    """
    leaf = await start(write_package(tmp_path / "leaf", {"chain.py": source}, "Leaf"))
    package = write_package(
        tmp_path / "front", {"chain.py": source}, "Front", dependencies=[dependency("Leaf", "leaf")]
    )
    front = await start(package, routes=routes_to(Leaf=(one_set(leaf),)))
    assert await front.value({}) == [7, 7]


TRUSS = """
    import truss_chains as chains
    from truss_chains.remote_chainlet.truss_chainlet import TrussHandle

    class Wrapped(chains.TrussChainlet):
        truss_dir = "."

    class Caller(chains.ChainletBase):
        def __init__(self, wrapped: TrussHandle = chains.depends(Wrapped)):
            self.wrapped = wrapped

        async def run_remote(self) -> bool:
            return isinstance(self.wrapped, TrussHandle)
"""


async def test_g54_a_wrapped_truss_is_a_handle(start: Start, tmp_path: Path) -> None:
    caller = await start(
        write_package(
            tmp_path, {"chain.py": TRUSS}, "Caller", dependencies=(dependency("Wrapped", "wrapped"),)
        )
    )
    assert (await caller.call({})).json() is True
