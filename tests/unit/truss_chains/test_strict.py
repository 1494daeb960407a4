"""`run_local(strict=True)`: calls as over the network, in this process."""

import asyncio
import enum
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

import truss_chains as chains
from chains_protocol.spec import RPCOptions
from truss_chains import validation
from truss_chains.calling import CallPolicy
from truss_chains.endpoint_wire import wire_of
from truss_chains.pydantic_numpy import NumpyArrayField
from truss_chains.strict import StrictStub


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    n: int
    tags: list[str] = []


class SubItem(Item):
    extra: str = "more"


@dataclass
class Pair:
    left: int
    right: str | None


class Scored(BaseModel):
    score: float = Field(ge=0, le=1)


class Frame(BaseModel):
    pixels: NumpyArrayField


class OwnError(Exception):
    pass


class StrictEcho(chains.ChainletBase):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def run_remote(self, item: Item, n: int = 7) -> Item:
        self.seen.append((item, n))
        return item


class StrictEchoUser(chains.ChainletBase):
    def __init__(self, echo: StrictEcho = chains.depends(StrictEcho)) -> None:
        self.echo = echo

    async def run_remote(self, how: str) -> Item:
        item = Item(n=1, tags=["a"])
        if how == "default":
            return await self.echo.run_remote(item)
        if how == "null":
            return await self.echo.run_remote(item=item, n=None)  # type: ignore[arg-type]
        if how == "sub":
            return await self.echo.run_remote(SubItem(n=1))
        if how == "wrong":
            return await self.echo.run_remote("no item")  # type: ignore[arg-type]
        if how == "missing":
            return await self.echo.run_remote()  # type: ignore[call-arg]
        if how == "unknown":
            return await self.echo.run_remote(item, nonsense=1)  # type: ignore[call-arg]
        if how == "twice":
            return await self.echo.run_remote(item, item=item)  # type: ignore[misc]
        return await self.echo.anything(item)  # type: ignore[attr-defined, no-any-return]


class StrictWrongResult(chains.ChainletBase):
    async def run_remote(self, kind: str) -> list[int]:
        return "no list" if kind == "type" else object()  # type: ignore[return-value]


class StrictFails(chains.ChainletBase):
    def __init__(self) -> None:
        self.attempts = 0

    async def run_remote(self, kind: str) -> int:
        self.attempts += 1
        if kind == "value":
            raise ValueError("from the callee")
        if kind == "own":
            raise OwnError("mine")
        if kind == "timeout":
            raise TimeoutError("of the callee's own")
        if kind == "hangs":
            await asyncio.Event().wait()
        if kind == "flaky" and self.attempts == 1:
            raise ConnectionResetError("once")
        return self.attempts


class StrictBetween(chains.ChainletBase):
    def __init__(
        self,
        fails: StrictFails = chains.depends(StrictFails),
        wrong: StrictWrongResult = chains.depends(StrictWrongResult),
    ) -> None:
        self.fails = fails
        self.wrong = wrong

    async def run_remote(self, kind: str) -> int:
        return await self.fails.run_remote(kind)


class StrictRetries(chains.ChainletBase):
    def __init__(self, fails: StrictFails = chains.depends(StrictFails, retries=3, timeout_sec=0.05)) -> None:
        self.fails = fails

    async def run_remote(self, kind: str) -> int:
        return await self.fails.run_remote(kind)


class StrictOuter(chains.ChainletBase):
    def __init__(self, between: StrictBetween = chains.depends(StrictBetween)) -> None:
        self.between = between

    async def run_remote(self, kind: str) -> int:
        return await self.between.run_remote(kind)


class StrictTokens(chains.ChainletBase):
    async def run_remote(self, n: int, fail_at: int = -1) -> AsyncIterator[Item]:
        for i in range(n):
            if i == fail_at:
                raise ValueError("in the stream")
            yield Item(n=i)


class StrictReader(chains.ChainletBase):
    def __init__(self, tokens: StrictTokens = chains.depends(StrictTokens, use_binary=True)) -> None:
        self.tokens = tokens

    async def run_remote(self, n: int, fail_at: int = -1) -> list[int]:
        return [item.n async for item in self.tokens.run_remote(n, fail_at)]


class StrictArrays(chains.ChainletBase):
    async def run_remote(self, frame: Frame) -> Frame:
        frame.pixels.array += 1
        return frame


class StrictArrayUser(chains.ChainletBase):
    def __init__(self, arrays: StrictArrays = chains.depends(StrictArrays, use_binary=True)) -> None:
        self.arrays = arrays

    async def run_remote(self) -> list[float]:
        mine = Frame(pixels=np.zeros(2))
        theirs = await self.arrays.run_remote(mine)
        return [*mine.pixels.array.tolist(), *theirs.pixels.array.tolist()]


with pytest.warns(DeprecationWarning):

    class StrictSyncLeaf(chains.ChainletBase):
        def run_remote(self, n: int) -> tuple[int, str]:
            if n < 0:
                raise ValueError("negative")
            return n + 1, "x"


with pytest.warns(DeprecationWarning):

    class StrictSyncUser(chains.ChainletBase):
        def __init__(self, leaf: StrictSyncLeaf = chains.depends(StrictSyncLeaf)) -> None:
            self.leaf = leaf

        def run_remote(self, n: int) -> tuple[int, str]:
            return self.leaf.run_remote(n)


async def run(cls: type[Any], *args: Any, mocks: Any = None, **kwargs: Any) -> Any:
    with chains.run_local(strict=True, mocks=mocks):
        chain = cls()
    return await chain.run_remote(*args, **kwargs)


# --- values --------------------------------------------------------------------------------------------


async def test_values_are_copied_and_equal() -> None:
    with chains.run_local(strict=True):
        user = StrictEchoUser()
    assert await user.run_remote("default") == Item(n=1, tags=["a"])
    with chains.run_local(strict=True):
        echo = StrictEcho()
    mine = Item(n=1)
    got = await echo.run_remote(mine)
    assert got == mine
    assert got is not mine
    assert echo.seen[0][0] is not mine


async def test_r21_defaults_stay_with_the_callee_and_null_is_passed_on() -> None:
    seen: list[Any] = []

    class Spy:
        async def run_remote(self, item: Item, n: int = 8) -> Item:
            seen.append(n)
            return item

    for how in ("default", "null"):
        await run(StrictEchoUser, how, mocks={StrictEcho: Spy})
    assert seen == [8, None]


async def test_s02_a_subclass_is_cut_to_the_annotated_type() -> None:
    assert type(await run(StrictEchoUser, "sub")) is Item


async def test_an_argument_that_does_not_fit_is_a_validation_error_at_the_caller() -> None:
    with pytest.raises(ValidationError, match="item"):
        await run(StrictEcho, "no item")
    with pytest.raises(chains.GenericRemoteException, match="ValidationError"):
        await run(StrictEchoUser, "wrong")


@pytest.mark.parametrize(("how", "text"), [("missing", "item"), ("unknown", "nonsense"), ("twice", "item")])
async def test_arguments_are_bound_as_python_does(how: str, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        await run(StrictEchoUser, how)


async def test_only_the_endpoint_of_a_dependency_can_be_used() -> None:
    with pytest.raises(AttributeError, match="run_remote"):
        await run(StrictEchoUser, "other attribute")


@pytest.mark.parametrize("kind", ["type", "unwritable"])
async def test_r34_a_result_that_does_not_fit_names_the_endpoint(kind: str) -> None:
    with pytest.raises(chains.GenericRemoteException, match=r"`StrictWrongResult\.run_remote`"):
        await run(StrictWrongResult, kind)


async def test_arrays_travel_as_copies() -> None:
    assert await run(StrictArrayUser) == [0.0, 0.0, 1.0, 1.0]


def test_l09_blocking_chainlets() -> None:
    with chains.run_local(strict=True):
        user = StrictSyncUser()
    assert user.run_remote(1) == (2, "x")
    with pytest.raises(ValueError, match="negative") as caught:
        user.run_remote(-1)
    assert str(caught.value).count("`StrictSyncLeaf` answered with HTTP 500") == 1


# --- errors --------------------------------------------------------------------------------------------


async def test_x03_errors_are_rebuilt_with_the_trace_of_every_hop() -> None:
    with pytest.raises(ValueError, match="from the callee") as caught:
        await run(StrictOuter, "value")
    text = str(caught.value)
    for hop in ("StrictOuter", "StrictBetween", "StrictFails"):
        assert f"`{hop}` answered with HTTP 500 (trace id: none)" in text
    assert 'raise ValueError("from the callee")' in text
    assert "truss_chains/" not in text.replace("tests/unit/truss_chains", "")
    assert text.splitlines()[-1] == "╰   ╰   ╰   ValueError: from the callee"


async def test_x05_own_classes_are_rebuilt_too() -> None:
    with pytest.raises(OwnError, match="mine"):
        await run(StrictBetween, "own")


async def test_s07_a_timeout_of_the_callee_keeps_its_trace() -> None:
    with pytest.raises(TimeoutError, match="of the callee's own"):
        await run(StrictBetween, "timeout")


async def test_s05_s06_attempts_time_out_and_are_repeated() -> None:
    with chains.run_local(strict=True):
        fails = StrictFails()
        chain = StrictRetries(fails=fails)
    with pytest.raises(TimeoutError, match=r"`StrictFails`.*0\.05 s"):
        await chain.run_remote("hangs")
    assert fails.attempts == 3


async def test_s05_a_failure_of_the_callee_is_tried_again() -> None:
    assert await run(StrictRetries, "flaky") == 2


async def test_s08_calls_beyond_the_limit_wait() -> None:
    running, peak = 0, 0
    release = asyncio.Event()

    class Slow:
        async def run_remote(self, kind: str) -> int:
            nonlocal running, peak
            running += 1
            peak = max(peak, running)
            await release.wait()
            running -= 1
            return 1

    stub: Any = StrictStub(Slow(), wire_of(StrictFails), RPCOptions(concurrency_limit=2))
    calls = [asyncio.create_task(stub.run_remote("x")) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert running == 2
    release.set()
    assert await asyncio.gather(*calls) == [1] * 5
    assert peak == 2


def test_s06_a_blocking_call_that_took_too_long_is_thrown_away() -> None:
    times = iter([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0])

    def make_policy(name: str, options: Any) -> CallPolicy:
        return CallPolicy(name, options, clock=lambda: next(times, 5.0))

    class Slow:
        def run_remote(self, n: int) -> tuple[int, str]:
            for _ in times:
                pass
            return n, ""

    stub: Any = StrictStub(Slow(), wire_of(StrictSyncLeaf), RPCOptions(timeout_sec=1.0), make_policy)
    with pytest.raises(TimeoutError, match=r"`StrictSyncLeaf`.*1 s"):
        stub.run_remote(1)


async def test_a_deadline_of_the_caller_bounds_the_calls_below() -> None:
    class Impatient(chains.ChainletBase):
        def __init__(self, between: StrictBetween = chains.depends(StrictBetween, timeout_sec=0.05)) -> None:
            self.between = between

        async def run_remote(self) -> int:
            return await self.between.run_remote("hangs")

    with pytest.raises(TimeoutError, match="`StrictBetween`"):
        await run(Impatient)


# --- streams -------------------------------------------------------------------------------------------


async def test_streams_of_models() -> None:
    assert await run(StrictReader, 3) == [0, 1, 2]
    assert await run(StrictReader, 0) == []


async def test_a_failure_before_the_first_item_is_an_error_answer() -> None:
    with pytest.raises(ValueError, match="in the stream"):
        await run(StrictReader, 3, 0)


async def test_r27_a_failure_after_the_first_item_breaks_the_stream_off() -> None:
    with pytest.raises(ConnectionError, match="`StrictTokens` broke off"):
        await run(StrictReader, 3, 1)


async def test_s11_the_limit_counts_while_a_stream_is_read() -> None:
    class Endless:
        async def run_remote(self, n: int, fail_at: int = -1) -> AsyncIterator[Item]:
            yield Item(n=0)
            await asyncio.Event().wait()

    stub: Any = StrictStub(Endless(), wire_of(StrictTokens), RPCOptions(timeout_sec=0.05))
    items = stub.run_remote(1)
    assert await anext(items) == Item(n=0)
    with pytest.raises(TimeoutError, match=r"`StrictTokens`.*0\.05 s"):
        await anext(items)


async def test_a_stream_that_is_left_is_closed() -> None:
    closed = asyncio.Event()

    class Endless:
        async def run_remote(self, n: int, fail_at: int = -1) -> AsyncIterator[Item]:
            try:
                while True:
                    yield Item(n=0)
            finally:
                closed.set()

    stub: Any = StrictStub(Endless(), wire_of(StrictTokens), RPCOptions())
    items = stub.run_remote(1)
    await anext(items)
    await items.aclose()
    assert closed.is_set()


# --- the property --------------------------------------------------------------------------------------

FORMS: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(),
    bool: st.booleans(),
    type(None): st.none(),
    datetime: st.datetimes(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False, places=3),
    UUID: st.uuids(),
    Color: st.sampled_from(Color),
    Literal["a", "b"]: st.sampled_from(["a", "b"]),
    Item: st.builds(Item, n=st.integers(-100, 100), tags=st.lists(st.text(max_size=3), max_size=3)),
    Pair: st.builds(Pair, st.integers(-9, 9), st.none() | st.text(max_size=3)),
}


def _nested(inner: st.SearchStrategy[tuple[Any, Any]]) -> st.SearchStrategy[tuple[Any, Any]]:
    """(type form, strategy of its values) -> the same for containers of it."""
    return (
        inner.map(lambda f: (list[f[0]], st.lists(f[1], max_size=3)))
        | inner.map(lambda f: (dict[str, f[0]], st.dictionaries(st.text(max_size=3), f[1], max_size=3)))
        | inner.map(lambda f: (f[0] | None, st.none() | f[1]))
        | st.lists(inner, min_size=1, max_size=3).map(
            lambda fs: (tuple[tuple(f[0] for f in fs)], st.tuples(*(f[1] for f in fs)))  # type: ignore[misc]
        )
    )


FORM_AND_VALUES = st.recursive(st.sampled_from(list(FORMS.items())), _nested, max_leaves=4)


def echo_of(form: Any) -> type[Any]:
    """A Chainlet that returns what it gets, of a type that was made up."""
    with validation.scope():

        class Generated(chains.ChainletBase):
            async def run_remote(self, value: form) -> form:
                return value

        Generated.run_remote.__annotations__.update(value=form, **{"return": form})
        validation.raise_if_any()
    return Generated


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.booleans())
def test_strict_returns_what_plain_returns(data: st.DataObject, use_binary: bool) -> None:
    form, values = data.draw(FORM_AND_VALUES)
    value = data.draw(values)
    generated = echo_of(form)
    stub: Any = StrictStub(generated(), wire_of(generated), RPCOptions(use_binary=use_binary))
    with chains.run_local():
        plain = asyncio.run(generated().run_remote(value))
    assert asyncio.run(stub.run_remote(value)) == plain == value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.booleans())
def test_strict_rejects_what_the_schema_rejects(data: st.DataObject, use_binary: bool) -> None:
    form, _ = data.draw(FORM_AND_VALUES)
    _, other_values = data.draw(FORM_AND_VALUES)
    value = data.draw(other_values | st.just(object()))
    try:
        expected = TypeAdapter(form).validate_python(value)
    except ValidationError:
        expected = None
        rejected = True
    else:
        rejected = False
    generated = echo_of(form)
    stub: Any = StrictStub(generated(), wire_of(generated), RPCOptions(use_binary=use_binary))
    if rejected:
        with pytest.raises(ValidationError):
            asyncio.run(stub.run_remote(value))
    else:
        assert asyncio.run(stub.run_remote(value)) == expected


@pytest.mark.parametrize("use_binary", [True, False])
async def test_constraints_hold_at_both_ends(use_binary: bool) -> None:
    class Scores(chains.ChainletBase):
        async def run_remote(self, given: Scored) -> Scored:
            return Scored.model_construct(score=5.0) if given.score else given

    stub: Any = StrictStub(Scores(), wire_of(Scores), RPCOptions(use_binary=use_binary))
    assert await stub.run_remote(Scored(score=0)) == Scored(score=0)
    with pytest.raises(chains.GenericRemoteException, match=r"HTTP 400[^$]*given\.score"):
        await stub.run_remote(Scored.model_construct(score=7.0))
    with pytest.raises(ValidationError):  # S-03
        await stub.run_remote(Scored(score=1))


# --- what only the network does -------------------------------------------------------------------------


class StrictChunks(chains.ChainletBase):
    async def run_remote(self, how: str) -> AsyncIterator[bytes]:
        wrong: Any = 7
        for chunk in {"cut": (b"\xc3", b"\xa4"), "holes": (b"", b"a", b""), "wrong": (wrong,)}[how]:
            yield chunk


class StrictEnds(chains.ChainletBase):
    async def run_remote(self, *, n: int = 0) -> int:
        raise SystemExit("the callee ends the process")


class StrictNetwork(chains.ChainletBase):
    def __init__(
        self,
        chunks: StrictChunks = chains.depends(StrictChunks),
        ends: StrictEnds = chains.depends(StrictEnds),
    ) -> None:
        self.chunks = chunks
        self.ends = ends

    async def run_remote(self, how: str) -> list[str]:
        if how == "exit":
            return [str(await self.ends.run_remote())]
        if how == "positional":
            return [str(await self.ends.run_remote(1))]  # type: ignore[call-arg, misc]
        if how == "keyword":
            return [str(await self.ends.run_remote(n=3))]
        return [chunk.hex() async for chunk in self.chunks.run_remote(how)]


def network() -> StrictNetwork:
    with chains.run_local(strict=True):
        return StrictNetwork()


async def test_r26_bytes_travel_as_they_are_and_empty_chunks_not_at_all() -> None:
    assert await network().run_remote("cut") == ["c3", "a4"]
    assert await network().run_remote("holes") == ["61"]


async def test_r34_an_item_that_does_not_fit_is_told() -> None:
    with pytest.raises(chains.GenericRemoteException, match="streams `bytes`, and yielded `int`"):
        await network().run_remote("wrong")


async def test_x06_an_exit_of_the_callee_is_an_error_of_the_call() -> None:
    with pytest.raises(chains.GenericRemoteException, match="SystemExit: the callee ends the process"):
        await network().run_remote("exit")


async def test_keyword_only_parameters_are_not_given_by_position() -> None:
    with pytest.raises(TypeError, match="too many positional arguments"):
        await network().ends.run_remote(1)  # type: ignore[call-arg, misc]


async def test_a_duck_typed_mock_gets_keyword_only_parameters_by_name() -> None:
    class Fake:
        async def run_remote(self, *, n: int = 0) -> int:
            return n + 1

    with chains.run_local(strict=True, mocks={StrictEnds: Fake}):
        entry = StrictNetwork()
    assert await entry.run_remote("keyword") == ["4"]
