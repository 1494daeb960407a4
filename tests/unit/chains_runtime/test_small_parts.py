"""Slots, tokens, routes, signatures, frames, state hand-over."""

import asyncio
import functools
import logging
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from chains_protocol.routes import Callee, DeploymentRoutes, ReplicaRoutes, ReplicaSet
from chains_protocol.rpc import Revision
from chains_protocol.spec import StreamItem
from chains_runtime.hotswap.modules import ModuleTable
from chains_runtime.hotswap.switch import StaleCode, hand_over
from chains_runtime.route_table import RouteTable, TokenSet
from chains_runtime.signature import Mode, read_signature
from chains_runtime.slots import QueueFull, Slots
from chains_runtime.stream_frames import item_writer, read_items

# --- slots -------------------------------------------------------------------------------------------------


async def test_slots_are_given_in_order_and_the_queue_is_bounded() -> None:
    slots = Slots(1, 2)
    order: list[int] = []

    async def call(number: int) -> None:
        await slots.take()
        order.append(number)

    assert slots.try_take()
    waiting = [asyncio.create_task(call(i)) for i in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await slots.take()
    for _ in range(2):
        slots.give_back()
    await asyncio.gather(*waiting)
    assert (order, slots.busy, slots.queued) == ([0, 1], 1, 0)


@pytest.mark.parametrize("granted", [False, True])
async def test_a_cancelled_waiter_takes_nothing_with_it(granted: bool) -> None:
    slots = Slots(1, 5)
    assert slots.try_take()
    waiting = asyncio.create_task(slots.take())
    await asyncio.sleep(0)
    if granted:
        slots.give_back()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (slots.busy, slots.queued) == (0 if granted else 1, 0)


# --- tokens and routes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "admitted"),
    [
        (b"Api-Key a", True),
        (b"bearer  b ", True),
        (b"Basic a", False),
        (b"a", False),
        (b"Api-Key ", False),
        (b"", False),
        (b"Api-Key c", False),
    ],
)
def test_tokens(header: bytes, admitted: bool) -> None:
    assert TokenSet(("a", "b", "")).admits(header) is admitted


def test_nothing_opens_an_empty_set() -> None:
    assert not TokenSet(()).admits(b"Api-Key ")


def test_routes_by_deployment_and_version() -> None:
    def callee(*sets: ReplicaSet) -> Callee:
        return Callee(class_name="Leaf", display_name="Leaf", sets=sets)

    old, new, other = (
        ReplicaSet(since=s, addresses=(a,), token="t") for s, a in ((1, "x"), (4, "y"), (1, "z"))
    )
    table = RouteTable(
        ReplicaRoutes(
            deployments=(
                DeploymentRoutes(deployment="d", callees=(callee(old, new),)),
                DeploymentRoutes(deployment="e", callees=(callee(other),)),
            )
        ),
        "d",
    )
    found = {
        revision: getattr(table.way("Leaf", Revision.parse(revision)), "addresses", None)
        for revision in ("d.1", "d.3", "d.4", "d.0", "e.9", "unknown.4")
    }
    assert found == {
        "d.1": ("x",),
        "d.3": ("x",),
        "d.4": ("y",),
        "d.0": ("x",),
        "e.9": ("z",),
        "unknown.4": ("y",),
    }
    assert table.way("Other", Revision("d", 1)) is None
    assert set(table.addresses()) == {"x", "y", "z"}


# --- signatures --------------------------------------------------------------------------------------------


class Sample:
    async def run(self, a: int, b: "str | None" = "x", *, c: list[int] = []) -> "dict[str, int]":  # noqa: B006
        return {}

    async def stream(self) -> AsyncIterator[str]:
        yield ""

    def plain(self) -> int:
        return 1

    async def untyped(self, a):  # type: ignore[no-untyped-def]
        return a


def test_a_signature_is_read_from_the_class() -> None:
    signature = read_signature(Sample, "run")
    assert (signature.mode, signature.optional, signature.result) == (Mode.ASYNC, {"b", "c"}, dict[str, int])
    assert signature.arguments.validate_json(b'{"a": "1", "b": null, "z": 0}') == {"a": 1, "b": None}
    assert read_signature(Sample, "stream").stream_item is StreamItem.STR
    assert read_signature(Sample, "plain").mode is Mode.SYNC
    for name in ("untyped", "absent"):
        with pytest.raises(TypeError):
            read_signature(Sample, name)


@pytest.mark.parametrize(
    ("args", "kwargs", "problem"),
    [
        ((), {}, "missing required argument: 'a'"),
        ((1, "b", [], 4), {}, "takes 2 positional arguments but 4 were given"),
        ((1,), {"a": 1}, "multiple values for argument 'a'"),
        ((1,), {"d": 1}, "unexpected keyword argument 'd'"),
    ],
)
def test_calls_that_do_not_fit_fail_as_in_python(args: Any, kwargs: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        read_signature(Sample, "run").bind(args, kwargs)


def test_only_what_was_given_is_sent() -> None:
    """G-55."""
    assert read_signature(Sample, "run").bind((1,), {"c": [2]}) == {"a": 1, "c": [2]}


# --- stream frames -----------------------------------------------------------------------------------------

ITEMS: dict[StreamItem, Any] = {
    StreamItem.STR: str,
    StreamItem.BYTES: bytes,
    StreamItem.MODEL: dict[str, str],
}


async def _cut(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


@given(
    values=st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=2), max_size=5),
    size=st.integers(1, 9),
    binary=st.booleans(),
)
async def test_typed_items_survive_any_chunking(
    values: list[dict[str, str]], size: int, binary: bool
) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(dict[str, str])
    write = item_writer(StreamItem.MODEL, adapter, binary=binary)
    data = b"".join(write(value) for value in values)
    assert [v async for v in read_items(StreamItem.MODEL, adapter, _cut(data, size), binary=binary)] == values


@given(text=st.text(), size=st.integers(1, 5))
async def test_characters_survive_any_chunking(text: str, size: int) -> None:
    """S-11, WP-16."""
    adapter: TypeAdapter[Any] = TypeAdapter(str)
    parts = [v async for v in read_items(StreamItem.STR, adapter, _cut(text.encode(), size), binary=False)]
    assert "".join(parts) == text


@pytest.mark.parametrize("data", [b'{"a":', struct.pack(">I", 5) + b"abc"])
async def test_a_stream_that_ends_inside_an_item_is_an_error(data: bytes) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(dict[str, str])
    with pytest.raises(ValueError, match="inside an item"):
        _ = [v async for v in read_items(StreamItem.MODEL, adapter, _cut(data, 2), binary=data[0] == 0)]


# --- state hand-over ---------------------------------------------------------------------------------------


def slotted(extra: str) -> type:
    """A class with slots, one of them private; a newer one of the same name has another."""
    names: dict[str, Any] = {}
    source = f"class Slotted:\n    __slots__ = ('__private', '_b', 'a', {extra!r})\n"
    source += "    def fill(self):\n        self.a, self.__private = 1, 2\n"
    source += "    def private(self):\n        return self.__private\n"
    exec(source, names)  # noqa: S102 (classes of one name, made twice)
    found: type = names["Slotted"]
    return found


def test_slots_are_copied() -> None:
    running: Any = slotted("old")()
    running.fill()
    newer = slotted("new")
    instance: Any = hand_over(running, newer)
    assert isinstance(instance, newer)
    assert (instance.a, instance.private(), hasattr(instance, "_b")) == (1, 2, False)


CODE = """
class Kept: pass
class Held: pass
def helper(): pass
async def work(): pass
class Owner:
    def method(self): pass
"""


@pytest.fixture
def tables(tmp_path: Path) -> tuple[ModuleTable, ModuleTable]:
    found = []
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "state_mod.py").write_text(CODE)
        found.append(ModuleTable(tmp_path / version, lambda name: None))
    old, new = found
    old.load("state_mod")
    new.load("state_mod").Kept = old.modules["state_mod"].Kept  # type: ignore[attr-defined]
    return old, new


def _closing_over(inner: Any) -> Any:
    return lambda: inner


async def _held(old: Any) -> dict[str, tuple[Any, str]]:
    loop = asyncio.get_running_loop()
    owner = old.Owner()
    return {
        "nothing": ({"a": [1, "x", None, loop, logging.getLogger(), asyncio.Lock()]}, ""),
        "kept": ([old.Kept()], ""),
        "object": ({"deep": ({old.Held()},)}, "holds a `Held`"),
        "class": (old.Held, "the class `Held`"),
        "function": (functools.partial(print, old.helper), "the function `helper`"),
        "closure": (_closing_over(old.helper), "the function `helper`"),
        "method": (owner.method, "the bound method `Owner.method`"),
        "foreign object": (type("Foreign", (), {})(), ""),
    }


@pytest.mark.parametrize(
    "case", ["nothing", "kept", "object", "class", "function", "closure", "method", "foreign object"]
)
async def test_old_code_in_the_state_is_found(tables: tuple[ModuleTable, ModuleTable], case: str) -> None:
    old, new = tables
    held, expected = (await _held(old.modules["state_mod"]))[case]
    ignored = [held.__self__] if case == "method" else []
    found = StaleCode(old, new, ignored).find([("self.x", held)])
    assert (expected in (found or "")) if expected else found is None


async def test_a_running_coroutine_of_old_code_is_found(tables: tuple[ModuleTable, ModuleTable]) -> None:
    old, new = tables
    task = asyncio.ensure_future(old.modules["state_mod"].work())  # type: ignore[attr-defined]
    found = StaleCode(old, new).find([("self.task", [task])])
    await task
    assert found == "`self.task` holds a coroutine or generator that runs old code"


def test_a_stand_in_without_types_takes_any_value() -> None:
    """Plain duck-typed mocks are served, too."""

    class Fake:
        async def run_remote(self, prompt, limit=3):  # type: ignore[no-untyped-def]  # what is tested
            return prompt

    with pytest.raises(TypeError, match="has no type"):
        read_signature(Fake, "run_remote")

    signature = read_signature(Fake, "run_remote", untyped=True)
    assert signature.optional == {"limit"}
    assert signature.arguments.validate_python({"prompt": ["x"]}) == {"prompt": ["x"]}
