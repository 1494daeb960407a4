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


class LocalLeaf(chains.ChainletBase):
    def __init__(self) -> None:
        self.calls = 0

    async def run_remote(self, text: str, times: int = 1) -> str:
        self.calls += 1
        return text * times


class LocalOther(chains.ChainletBase):
    def __init__(self, leaf: LocalLeaf = chains.depends(LocalLeaf)) -> None:
        self.leaf = leaf

    async def run_remote(self, text: str) -> str:
        return await self.leaf.run_remote(text)


class LocalTop(chains.ChainletBase):
    def __init__(
        self,
        other: LocalOther = chains.depends(LocalOther),
        leaf: LocalLeaf = chains.depends(LocalLeaf),
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


class LocalInInit(chains.ChainletBase):
    def __init__(self) -> None:
        self.leaf = LocalLeaf()

    async def run_remote(self) -> None: ...


class LocalInEndpoint(chains.ChainletBase):
    async def run_remote(self, how: str) -> None:
        if how == "direct":
            LocalLeaf()
        elif how == "helper":
            make_leaf()
        else:
            [LocalLeaf() for _ in range(1)]


class LocalWrapped(chains.TrussChainlet):
    truss_dir = "some_truss"


class LocalUsesTruss(chains.ChainletBase):
    def __init__(self, wrapped: LocalWrapped = chains.depends(LocalWrapped)) -> None:
        self.wrapped = wrapped

    async def run_remote(self) -> None: ...


with pytest.warns(DeprecationWarning, match="LocalSync"):

    class LocalSync(chains.ChainletBase):
        def run_remote(self, n: int) -> int:
            return n + 1


class LocalStreams(chains.ChainletBase):
    async def run_remote(self, n: int) -> AsyncIterator[str]:
        for i in range(n):
            yield str(i)


class LocalMixed(chains.ChainletBase):
    def __init__(
        self,
        sync: LocalSync = chains.depends(LocalSync),
        streams: LocalStreams = chains.depends(LocalStreams),
    ) -> None:
        self.sync = sync
        self.streams = streams

    async def run_remote(self, n: int) -> str:
        return "".join([item async for item in self.streams.run_remote(self.sync.run_remote(n))])


class LocalSpecialTop(LocalTop):
    """No `__init__` of its own (V-91)."""


class LocalForwarding(LocalOther):
    def __init__(self, leaf: LocalLeaf = chains.depends(LocalLeaf)) -> None:
        super().__init__(leaf=leaf)


class LocalForgetful(LocalOther):
    def __init__(self) -> None:
        super().__init__()


def make_leaf() -> LocalLeaf:
    return LocalLeaf()


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
        top = LocalTop()
    assert run(top.run_remote("a")) == "aaa"


def test_l03_dependencies_are_shared_within_a_block_and_user_instances_are_not() -> None:
    with chains.run_local():
        first, second = LocalTop(), LocalTop()
        mine = LocalLeaf()
    assert first.leaf is first.other.leaf is second.leaf
    assert first.other is second.other
    assert first is not second
    assert mine is not first.leaf
    with chains.run_local():
        assert LocalTop().leaf is not first.leaf


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
    deepest: type[Any] = LocalLeaf
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
        mocked = LocalTop(leaf=FakeLeaf())  # type: ignore[arg-type]
        plain = LocalTop()
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
            LocalTop(nonsense=1)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="keyword"):
            LocalTop(FakeLeaf())  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="x"):
            LocalInEndpoint(x=1)


def test_l05_the_context_is_filled_and_shared(tmp_path: Path) -> None:
    with chains.run_local(secrets={"key": "value", "undeclared": "x"}, data_dir=str(tmp_path)):
        context, again = LocalTop().context, LocalTop().context
    assert context is again
    assert (context.secrets["key"], context.secrets["undeclared"]) == ("value", "x")
    assert "nothing" not in context.secrets
    assert context.data_dir == tmp_path
    assert context.environment is None
    assert context.chainlet_to_service == {}
    with chains.run_local():
        bare = LocalTop().context
    assert (len(bare.secrets), bare.data_dir) == (0, None)


def test_l05_a_given_context_is_used() -> None:
    mine = chains.DeploymentContext(chainlet_to_service={}, secrets={"a": "b"})
    with chains.run_local():
        assert LocalTop(context=mine).context is mine


def test_l06_services_only_fill_the_context() -> None:
    service = chains.DeployedServiceDescriptor(
        name="LocalLeaf", display_name="LocalLeaf", predict_url="http://x"
    )
    with chains.run_local(chainlet_to_service={"LocalLeaf": service}):
        top = LocalTop()
    assert top.context.get_service_descriptor("LocalLeaf") is service
    assert isinstance(top.leaf, LocalLeaf)


def test_l07_a_wrapped_truss_needs_a_stand_in() -> None:
    stand_in = object()
    with chains.run_local():
        with pytest.raises(ChainsUsageError, match=r"`LocalUsesTruss`.*`LocalWrapped`.*wrapped=") as caught:
            LocalUsesTruss()
        assert "CH125" in str(caught.value)
        assert LocalUsesTruss(wrapped=stand_in).wrapped is stand_in  # type: ignore[arg-type]
    with chains.run_local(mocks={LocalWrapped: stand_in}):
        assert LocalUsesTruss().wrapped is stand_in


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
        assert run(LocalLeaf().run_remote(7)) == 7  # type: ignore[arg-type]


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
        assert run(LocalMixed().run_remote(2)) == "012"


def test_l10_after_the_block_instances_work_and_new_ones_are_guarded() -> None:
    with chains.run_local():
        top = LocalTop()
    assert run(top.run_remote("a")) == "aaa"
    with pytest.raises(ChainsRuntimeError, match="CH125"):
        LocalTop()
    assert isinstance(LocalLeaf(), LocalLeaf), "V-32: nothing to fill"


def test_l10_a_task_that_outlives_the_block_is_guarded() -> None:
    async def scenario() -> None:
        left = asyncio.Event()

        async def late() -> None:
            await left.wait()
            with pytest.raises(ChainsRuntimeError):
                LocalTop()

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
        LocalTop()


def test_l11_classes_defined_inside_the_block_are_not_managed() -> None:
    with chains.run_local():

        class Late(chains.ChainletBase):
            def __init__(self, leaf: LocalLeaf = chains.depends(LocalLeaf)) -> None:
                self.leaf = leaf

            async def run_remote(self) -> None: ...

        with pytest.raises(ChainsRuntimeError) as caught:
            Late()
        assert "defined inside the `run_local` block" in caught.value.__notes__[0]
        leaf = LocalLeaf()
        assert Late(leaf=leaf).leaf is leaf


def test_l12_nested_blocks_have_their_own_pool_and_leave_the_outer_working() -> None:
    with chains.run_local(secrets={"a": "outer"}):
        outer = LocalTop()
        with chains.run_local(secrets={"a": "inner"}):
            inner = LocalTop()
        again = LocalTop()
        assert LocalOther().leaf is outer.leaf
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
            tops = await asyncio.gather(*(asyncio.to_thread(LocalTop) for _ in range(8)))
        assert len({id(top.leaf) for top in tops}) == 1

    run(scenario())


def test_l13_another_thread_gets_a_clear_error() -> None:
    with chains.run_local(), ThreadPoolExecutor(1) as pool:
        error = pool.submit(LocalTop).exception()
    assert isinstance(error, ChainsRuntimeError)
    assert "run_local" in str(error)


def test_l13_two_threads_have_blocks_of_their_own() -> None:
    barrier = threading.Barrier(2, timeout=10)

    def one(secret: str) -> str:
        with chains.run_local(secrets={"a": secret}):
            barrier.wait()
            top = LocalTop()
            barrier.wait()
        return top.context.secrets["a"]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(one, ["x", "y"])) == ["x", "y"]


# --- naive instantiation -------------------------------------------------------------------------------


def test_l20_creating_a_chainlet_in_another_ones_init_is_an_error_with_its_place() -> None:
    with chains.run_local(), pytest.raises(ChainsRuntimeError) as caught:
        LocalInInit()
    text = str(caught.value)
    assert text.startswith(
        "CH125: `LocalLeaf` can't be constructed here: the call is inside `LocalInInit.__init__`, at "
    )
    line = LocalInInit.__init__.__wrapped__.__code__.co_firstlineno + 1  # type: ignore[attr-defined]
    assert f"{__file__}:{line} in `LocalInInit.__init__`: `self.leaf = LocalLeaf()`" in text
    for fact in ("dependency", "run_local", "push", "https://", "chains.depends(Back)"):
        assert fact in text


@pytest.mark.parametrize("how", ["direct", "helper", "comprehension"])
def test_l20_creating_a_chainlet_in_an_endpoint_is_an_error(how: str) -> None:
    with chains.run_local(), pytest.raises(ChainsRuntimeError, match=r"inside `LocalInEndpoint\.run_remote`"):
        run(LocalInEndpoint().run_remote(how))


def test_l20_the_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with chains.run_local(), pytest.raises(ChainsRuntimeError):
        LocalInInit()
    assert "LocalInInit.__init__" in caplog.text


def test_l20_an_init_that_failed_leaves_nothing_behind() -> None:
    with chains.run_local():
        with pytest.raises(ChainsRuntimeError):
            LocalInInit()
        assert LocalTop()


def test_l21_forwarding_to_a_base_is_fine() -> None:
    with chains.run_local():
        assert run(LocalForwarding().run_remote("a")) == "a"
        assert run(LocalSpecialTop().run_remote("a")) == "aaa"


def test_v92_a_base_that_is_not_given_its_dependencies_is_an_error_locally_too() -> None:
    with chains.run_local(), pytest.raises(ChainsRuntimeError, match="leaf"):
        LocalForgetful()


@pytest.fixture
def built_in_fixture() -> Iterator[LocalTop]:
    with chains.run_local():
        yield LocalTop()


def test_l22_fixtures_build_chains(built_in_fixture: LocalTop) -> None:
    assert isinstance(built_in_fixture.leaf, LocalLeaf)


def test_l22_helpers_lambdas_and_coroutines_build_chains() -> None:
    async def coroutine() -> LocalLeaf:
        return make_leaf()

    with chains.run_local():
        make_leaf()
        for make in (lambda: LocalTop().leaf, make_leaf):
            make()
        [LocalTop() for _ in range(2)]
        assert isinstance(run(coroutine()), LocalLeaf)


async def test_it_works_in_a_running_loop() -> None:
    with chains.run_local():
        assert await LocalTop().run_remote("a") == "aaa"


@pytest.fixture
async def block_of_a_fixture() -> AsyncIterator[None]:
    with chains.run_local():
        yield


async def test_a_block_may_be_left_in_another_context(block_of_a_fixture: None) -> None:
    assert LocalLeaf()


async def test_a_block_that_is_left_in_another_task_is_left() -> None:
    block = chains.run_local()
    await asyncio.create_task(_enter(block))
    block.__exit__(None, None, None)
    with pytest.raises(ChainsRuntimeError):
        LocalTop()


async def _enter(block: Any) -> None:
    block.__enter__()
