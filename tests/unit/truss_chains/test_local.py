"""L-rules: Chains in this process."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import truss_chains as chains
from truss_chains import validation
from truss_chains.errors import ChainsRuntimeError, ChainsUsageError


class Leaf(chains.ChainletBase):
    def __init__(self) -> None:
        self.calls = 0

    async def run_remote(self, text: str, times: int = 1) -> str:
        self.calls += 1
        return text * times


class Other(chains.ChainletBase):
    def __init__(self, leaf: Leaf = chains.depends(Leaf)) -> None:
        self.leaf = leaf

    async def run_remote(self, text: str) -> str:
        return await self.leaf.run_remote(text)


class Top(chains.ChainletBase):
    def __init__(
        self,
        other: Other = chains.depends(Other),
        leaf: Leaf = chains.depends(Leaf),
        context: chains.DeploymentContext = chains.depends_context(),
    ) -> None:
        self.other = other
        self.leaf = leaf
        self.context = context

    async def run_remote(self, text: str) -> str:
        return await self.other.run_remote(text) + await self.leaf.run_remote(text, 2)


class FakeLeaf:
    async def run_remote(self, text: str, times: int = 1) -> str:
        return "fake"


class InInit(chains.ChainletBase):
    def __init__(self) -> None:
        self.leaf = Leaf()

    async def run_remote(self) -> None: ...


class InEndpoint(chains.ChainletBase):
    async def run_remote(self, how: str) -> None:
        if how == "direct":
            Leaf()
        elif how == "helper":
            make_leaf()
        else:
            [Leaf() for _ in range(1)]


class Wrapped(chains.TrussChainlet):
    truss_dir = "some_truss"


class UsesTruss(chains.ChainletBase):
    def __init__(self, wrapped: Wrapped = chains.depends(Wrapped)) -> None:
        self.wrapped = wrapped

    async def run_remote(self) -> None: ...


with pytest.warns(DeprecationWarning, match="Sync"):

    class Sync(chains.ChainletBase):
        def run_remote(self, n: int) -> int:
            return n + 1


class Streams(chains.ChainletBase):
    async def run_remote(self, n: int) -> AsyncIterator[str]:
        for i in range(n):
            yield str(i)


class Mixed(chains.ChainletBase):
    def __init__(self, sync: Sync = chains.depends(Sync), streams: Streams = chains.depends(Streams)) -> None:
        self.sync = sync
        self.streams = streams

    async def run_remote(self, n: int) -> str:
        return "".join([item async for item in self.streams.run_remote(self.sync.run_remote(n))])


class SpecialTop(Top):
    """No `__init__` of its own (V-91)."""


class Forwarding(Other):
    def __init__(self, leaf: Leaf = chains.depends(Leaf)) -> None:
        super().__init__(leaf=leaf)


class Forgetful(Other):
    def __init__(self) -> None:
        super().__init__()


def make_leaf() -> Leaf:
    return Leaf()


def run(awaitable: Any) -> Any:
    return asyncio.run(awaitable)


# --- construction --------------------------------------------------------------------------------------


def test_l01_collected_errors_are_raised_by_the_call_before_the_body() -> None:
    with validation.scope():

        class Untyped(chains.ChainletBase):
            async def run_remote(self, x) -> int:  # type: ignore[no-untyped-def]
                return 1

        with pytest.raises(ChainsUsageError, match="CH104"):
            chains.run_local()
        assert Untyped.__name__ == "Untyped"


def test_l02_dependencies_are_filled_with_local_instances() -> None:
    with chains.run_local():
        top = Top()
    assert run(top.run_remote("a")) == "aaa"


def test_l03_dependencies_are_shared_within_a_block_and_user_instances_are_not() -> None:
    with chains.run_local():
        first, second = Top(), Top()
        mine = Leaf()
    assert first.leaf is first.other.leaf is second.leaf
    assert first.other is second.other
    assert first is not second
    assert mine is not first.leaf
    with chains.run_local():
        assert Top().leaf is not first.leaf


def test_l03_dependencies_are_made_depth_first_in_parameter_order() -> None:
    made: list[str] = []

    class B(chains.ChainletBase):
        def __init__(self) -> None:
            made.append("B")

        async def run_remote(self) -> None: ...

    class A(chains.ChainletBase):
        def __init__(self, b: B = chains.depends(B)) -> None:
            made.append("A")

        async def run_remote(self) -> None: ...

    class C(chains.ChainletBase):
        def __init__(self) -> None:
            made.append("C")

        async def run_remote(self) -> None: ...

    class D(chains.ChainletBase):
        def __init__(
            self, c: C = chains.depends(C), a: A = chains.depends(A), b: B = chains.depends(B)
        ) -> None:
            made.append("D")

        async def run_remote(self) -> None: ...

    with chains.run_local():
        D()
    assert made == ["C", "B", "A", "D"]


def test_l03_building_a_deep_chain_does_not_recurse() -> None:
    deepest: type[Any] = Leaf
    with validation.scope():
        for n in range(300):
            below = deepest

            class Link(chains.ChainletBase):
                def __init__(self, below=chains.depends(below)) -> None: ...  # type: ignore[no-untyped-def]

                async def run_remote(self) -> None: ...

            Link.__name__ = f"Link{n}"
            deepest = Link
    with chains.run_local():
        deepest()


def test_l04_a_keyword_replaces_a_dependency_of_that_instance_only() -> None:
    with chains.run_local():
        mocked = Top(leaf=FakeLeaf())  # type: ignore[arg-type]
        plain = Top()
    assert run(mocked.run_remote("a")) == "afake"
    assert run(plain.run_remote("a")) == "aaa"
    assert mocked.other is plain.other


def test_l04_a_given_dependency_is_not_made() -> None:
    class Costly(chains.ChainletBase):
        def __init__(self) -> None:
            raise AssertionError("made without need")

        async def run_remote(self) -> None: ...

    class User(chains.ChainletBase):
        def __init__(self, costly: Costly = chains.depends(Costly)) -> None:
            self.costly = costly

        async def run_remote(self) -> None: ...

    with chains.run_local():
        assert User(costly=None).costly is None  # type: ignore[arg-type]


def test_l04_unknown_keywords_and_positional_arguments_are_type_errors() -> None:
    with chains.run_local():
        with pytest.raises(TypeError, match="nonsense"):
            Top(nonsense=1)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="keyword"):
            Top(FakeLeaf())  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="x"):
            InEndpoint(x=1)


def test_l05_the_context_is_filled_and_shared(tmp_path: Path) -> None:
    with chains.run_local(secrets={"key": "value", "undeclared": "x"}, data_dir=str(tmp_path)):
        context, again = Top().context, Top().context
    assert context is again
    assert (context.secrets["key"], context.secrets["undeclared"]) == ("value", "x")
    assert "nothing" not in context.secrets
    assert context.data_dir == tmp_path
    assert context.environment is None
    assert context.chainlet_to_service == {}
    with chains.run_local():
        bare = Top().context
    assert (len(bare.secrets), bare.data_dir) == (0, None)


def test_l05_a_given_context_is_used() -> None:
    mine = chains.DeploymentContext(chainlet_to_service={}, secrets={"a": "b"})
    with chains.run_local():
        assert Top(context=mine).context is mine


def test_l06_services_only_fill_the_context() -> None:
    service = chains.DeployedServiceDescriptor(name="Leaf", display_name="Leaf", predict_url="http://x")
    with chains.run_local(chainlet_to_service={"Leaf": service}):
        top = Top()
    assert top.context.get_service_descriptor("Leaf") is service
    assert isinstance(top.leaf, Leaf)


def test_l07_a_wrapped_truss_needs_a_stand_in() -> None:
    stand_in = object()
    with chains.run_local():
        with pytest.raises(ChainsUsageError, match=r"`UsesTruss`.*`Wrapped`.*wrapped=") as caught:
            UsesTruss()
        assert "CH125" in str(caught.value)
        assert UsesTruss(wrapped=stand_in).wrapped is stand_in  # type: ignore[arg-type]
    with chains.run_local(mocks={Wrapped: stand_in}):
        assert UsesTruss().wrapped is stand_in


def test_l08_calls_are_plain_python() -> None:
    class Mutates(chains.ChainletBase):
        async def run_remote(self, items: list[int]) -> list[int]:
            items.append(1)
            return items

    class Caller(chains.ChainletBase):
        def __init__(self, mutates: Mutates = chains.depends(Mutates, use_binary=True)) -> None:
            self.mutates = mutates

        async def run_remote(self) -> bool:
            mine: list[int] = []
            return await self.mutates.run_remote(mine) is mine and mine == [1]

    with chains.run_local():
        assert run(Caller().run_remote())
        assert run(Leaf().run_remote(7)) == 7  # type: ignore[arg-type]


def test_l08_x13_exceptions_arrive_as_raised() -> None:
    problem = ValueError("mine")

    class Fails(chains.ChainletBase):
        async def run_remote(self) -> None:
            raise problem

    class Asks(chains.ChainletBase):
        def __init__(self, fails: Fails = chains.depends(Fails, retries=3)) -> None:
            self.fails = fails

        async def run_remote(self) -> None:
            await self.fails.run_remote()

    with chains.run_local(), pytest.raises(ValueError, match="mine") as caught:
        run(Asks().run_remote())
    assert caught.value is problem


def test_l09_sync_async_and_streams_mix() -> None:
    with chains.run_local():
        assert run(Mixed().run_remote(2)) == "012"


def test_l10_after_the_block_instances_work_and_new_ones_are_guarded() -> None:
    with chains.run_local():
        top = Top()
    assert run(top.run_remote("a")) == "aaa"
    with pytest.raises(ChainsRuntimeError, match="CH125"):
        Top()
    assert isinstance(Leaf(), Leaf), "V-32: nothing to fill"


def test_l10_a_task_that_outlives_the_block_is_guarded() -> None:
    async def scenario() -> None:
        left = asyncio.Event()

        async def late() -> None:
            await left.wait()
            with pytest.raises(ChainsRuntimeError):
                Top()

        with chains.run_local():
            task = asyncio.create_task(late())
            await asyncio.sleep(0)
        left.set()
        await task

    run(scenario())


def test_l10_the_block_is_left_by_an_exception_too() -> None:
    with pytest.raises(ZeroDivisionError), chains.run_local():
        raise ZeroDivisionError
    with pytest.raises(ChainsRuntimeError):
        Top()


def test_l11_classes_defined_inside_the_block_are_not_managed() -> None:
    with chains.run_local():

        class Late(chains.ChainletBase):
            def __init__(self, leaf: Leaf = chains.depends(Leaf)) -> None:
                self.leaf = leaf

            async def run_remote(self) -> None: ...

        with pytest.raises(ChainsRuntimeError) as caught:
            Late()
        assert "defined inside the `run_local` block" in caught.value.__notes__[0]
        leaf = Leaf()
        assert Late(leaf=leaf).leaf is leaf


def test_l12_nested_blocks_have_their_own_pool_and_leave_the_outer_working() -> None:
    with chains.run_local(secrets={"a": "outer"}):
        outer = Top()
        with chains.run_local(secrets={"a": "inner"}):
            inner = Top()
        again = Top()
        assert Other().leaf is outer.leaf
    assert (inner.context.secrets["a"], again.context.secrets["a"]) == ("inner", "outer")
    assert inner.leaf is not outer.leaf
    assert again.leaf is outer.leaf


def test_l12_a_block_is_entered_once() -> None:
    block = chains.run_local()
    with block:
        pass
    with pytest.raises(ChainsRuntimeError, match="again"), block:
        pass


def test_l13_a_thread_with_the_context_of_the_block_works() -> None:
    async def scenario() -> None:
        with chains.run_local():
            tops = await asyncio.gather(*(asyncio.to_thread(Top) for _ in range(8)))
        assert len({id(top.leaf) for top in tops}) == 1

    run(scenario())


def test_l13_another_thread_gets_a_clear_error() -> None:
    with chains.run_local(), ThreadPoolExecutor(1) as pool:
        error = pool.submit(Top).exception()
    assert isinstance(error, ChainsRuntimeError)
    assert "run_local" in str(error)


def test_l13_two_threads_have_blocks_of_their_own() -> None:
    barrier = threading.Barrier(2, timeout=10)

    def one(secret: str) -> str:
        with chains.run_local(secrets={"a": secret}):
            barrier.wait()
            top = Top()
            barrier.wait()
        return top.context.secrets["a"]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(one, ["x", "y"])) == ["x", "y"]


# --- naive instantiation -------------------------------------------------------------------------------


def test_l20_creating_a_chainlet_in_another_ones_init_is_an_error_with_its_place() -> None:
    with chains.run_local(), pytest.raises(ChainsRuntimeError) as caught:
        InInit()
    text = str(caught.value)
    assert text.startswith(
        "CH125: `Leaf` can't be constructed here: the call is inside `InInit.__init__`, at "
    )
    line = InInit.__init__.__wrapped__.__code__.co_firstlineno + 1  # type: ignore[attr-defined]
    assert f"{__file__}:{line} in `InInit.__init__`: `self.leaf = Leaf()`" in text
    for fact in ("dependency", "run_local", "push", "https://", "chains.depends(Back)"):
        assert fact in text


@pytest.mark.parametrize("how", ["direct", "helper", "comprehension"])
def test_l20_creating_a_chainlet_in_an_endpoint_is_an_error(how: str) -> None:
    with chains.run_local(), pytest.raises(ChainsRuntimeError, match=r"inside `InEndpoint\.run_remote`"):
        run(InEndpoint().run_remote(how))


def test_l20_the_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with chains.run_local(), pytest.raises(ChainsRuntimeError):
        InInit()
    assert "InInit.__init__" in caplog.text


def test_l20_an_init_that_failed_leaves_nothing_behind() -> None:
    with chains.run_local():
        with pytest.raises(ChainsRuntimeError):
            InInit()
        assert Top()


def test_l21_forwarding_to_a_base_is_fine() -> None:
    with chains.run_local():
        assert run(Forwarding().run_remote("a")) == "a"
        assert run(SpecialTop().run_remote("a")) == "aaa"


def test_v92_a_base_that_is_not_given_its_dependencies_is_an_error_locally_too() -> None:
    with chains.run_local(), pytest.raises(ChainsRuntimeError, match="leaf"):
        Forgetful()


@pytest.fixture
def built_in_fixture() -> Iterator[Top]:
    with chains.run_local():
        yield Top()


def test_l22_fixtures_build_chains(built_in_fixture: Top) -> None:
    assert isinstance(built_in_fixture.leaf, Leaf)


def test_l22_helpers_lambdas_and_coroutines_build_chains() -> None:
    async def coroutine() -> Leaf:
        return make_leaf()

    with chains.run_local():
        make_leaf()
        for make in (lambda: Top().leaf, make_leaf):
            make()
        [Top() for _ in range(2)]
        assert isinstance(run(coroutine()), Leaf)


async def test_it_works_in_a_running_loop() -> None:
    with chains.run_local():
        assert await Top().run_remote("a") == "aaa"


@pytest.fixture
async def block_of_a_fixture() -> AsyncIterator[None]:
    with chains.run_local():
        yield


async def test_a_block_may_be_left_in_another_context(block_of_a_fixture: None) -> None:
    assert Leaf()


async def test_a_block_that_is_left_in_another_task_is_left() -> None:
    block = chains.run_local()
    await asyncio.create_task(_enter(block))
    block.__exit__(None, None, None)
    with pytest.raises(ChainsRuntimeError):
        Top()


async def _enter(block: Any) -> None:
    block.__enter__()
