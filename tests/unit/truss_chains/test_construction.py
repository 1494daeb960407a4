"""V-30 to V-32 and V-92 to V-94: constructing Chainlets outside `run_local`, and the seam for it."""

import logging

import pytest

import truss_chains as chains
from truss_chains.construction import CONSTRUCTION, guard_construction
from truss_chains.errors import ChainsRuntimeError

CHAIN = """
class Dep(chains.ChainletBase):
    async def run_remote(self) -> int: return 1

class Other(chains.ChainletBase):
    async def run_remote(self) -> int: return 2

class Front(chains.ChainletBase):
    def __init__(self, dep=chains.depends(Dep), context=chains.depends_context()):
        self.dep = dep
        self.context = context
    async def run_remote(self) -> int: return 1

class Forwards(Front):
    def __init__(self, dep=chains.depends(Other), context=chains.depends_context()):
        super().__init__(dep=dep, context=context)

class Positional(Front):
    def __init__(self, dep=chains.depends(Other), context=chains.depends_context()):
        super().__init__(dep, context)

class Forgets(Front):
    def __init__(self, dep=chains.depends(Other)):
        super().__init__()

class Inherits(Front):
    pass
"""


def context():
    return chains.DeploymentContext(chainlet_to_service={}, secrets={})


@pytest.fixture
def chain(define):
    found = define(CHAIN)
    assert found.errors == []
    return found


def test_v30_positional_arguments_are_refused(chain):
    with pytest.raises(ChainsRuntimeError, match=r"CH125: `Front` takes keyword arguments only"):
        chain.Front(chain.Dep(), context())
    with pytest.raises(ChainsRuntimeError, match="keyword arguments only"):
        chain.Dep(3)


def test_v31_a_marker_left_in_place_is_refused_with_the_ways_out(chain, caplog):
    with caplog.at_level(logging.ERROR), pytest.raises(ChainsRuntimeError) as caught:
        chain.Front(context=context())
    text = str(caught.value)
    for fact in ("`Front`", "`dep`", "dependency", "run_local", "push", "https://", "chains.depends(Back)"):
        assert fact in text
    assert "`dep`" in caplog.text


@pytest.mark.parametrize("value", [None, {}, "context"])
def test_v31_a_context_of_another_type_is_refused(chain, value):
    with pytest.raises(ChainsRuntimeError, match="parameter `context`"):
        chain.Front(dep=chain.Dep(), context=value)


def test_v32_without_dependencies_anyone_may_construct(chain):
    assert chain.Dep().name == "Dep"


def test_v32_with_every_parameter_by_keyword_anyone_may_construct(chain):
    dep, ctx = object(), context()
    front = chain.Front(dep=dep, context=ctx)
    assert (front.dep, front.context) == (dep, ctx)


def test_v91_an_inherited_init_is_guarded_too(chain):
    with pytest.raises(ChainsRuntimeError, match="`Inherits` can't be constructed"):
        chain.Inherits()
    assert chain.Inherits(dep=1, context=context()).dep == 1


@pytest.mark.parametrize("name", ["Forwards", "Positional"])
def test_v92_v93_v94_a_subclass_forwards_what_it_received(chain, name):
    ctx = context()
    made = vars(chain.module)[name](dep="other", context=ctx)
    assert (made.dep, made.context) == ("other", ctx)


def test_v92_a_subclass_that_forgets_to_forward_is_told(chain):
    with pytest.raises(ChainsRuntimeError, match=r"`Forgets`.*`dep` is `depends\(Dep\)`"):
        chain.Forgets(dep="other")


def test_v92_holds_under_every_strategy(chain):
    token = CONSTRUCTION.set(lambda instance, init, args, kwargs: init(instance, dep="injected"))
    try:
        with pytest.raises(ChainsRuntimeError, match="`Forgets`"):
            chain.Forgets()
    finally:
        CONSTRUCTION.reset(token)


def test_unknown_arguments_are_pythons_own_error(chain):
    with pytest.raises(TypeError, match="wrong"):
        chain.Front(dep=1, context=context(), wrong=3)
    with pytest.raises(TypeError):
        chain.Dep(wrong=3)


def test_the_strategy_gets_only_the_outermost_construction(chain):
    seen = []

    def strategy(instance, init, args, kwargs):
        seen.append((type(instance).__name__, args, dict(kwargs)))
        init(instance, dep="injected", context="injected")

    assert CONSTRUCTION.get() is guard_construction
    token = CONSTRUCTION.set(strategy)
    try:
        made = chain.Forwards(dep="given")
    finally:
        CONSTRUCTION.reset(token)
    assert made.dep == "injected"
    assert seen == [("Forwards", (), {"dep": "given"})]


def test_the_signature_of_the_class_stays_readable(chain):
    import inspect

    assert list(inspect.signature(chain.Front).parameters) == ["dep", "context"]


def test_a_decorator_that_copies_attributes_does_not_escape_the_guard(define):
    found = define(
        CHAIN
        + """
import functools

class Copies(Front):
    @functools.wraps(Front.__init__)
    def __init__(self, dep=chains.depends(Other)):
        self.dep = dep
"""
    )
    with pytest.raises(ChainsRuntimeError, match="`Copies`"):
        found.Copies()


def test_mixins_take_part_in_construction(define):
    found = define(
        """
        class Mixin:
            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.mixed = True

        class A(chains.ChainletBase, Mixin):
            def __init__(self, context=chains.depends_context()):
                super().__init__()
            async def run_remote(self) -> int: return 1
        """
    )
    assert found.errors == []
    assert found.A(context=context()).mixed


DATACLASS = """
import dataclasses

class Dep(chains.ChainletBase):
    async def run_remote(self) -> int: return 1

@dataclasses.dataclass{options}
class Front(chains.ChainletBase):
    dep: Dep = chains.depends(Dep)
    context: chains.DeploymentContext = chains.depends_context()

    async def run_remote(self) -> int: return await self.dep.run_remote()
"""


@pytest.mark.parametrize("options", ["", "(slots=True)", "(kw_only=True, eq=False)"])
def test_v30_v31_a_dataclass_does_not_escape_the_guards(define, options):
    found = define(DATACLASS.format(options=options))
    assert found.errors == []
    with pytest.raises(ChainsRuntimeError, match="keyword arguments only"):
        found.Front(found.Dep(), context())
    with pytest.raises(ChainsRuntimeError, match="`dep` is `depends"):
        found.Front()
    assert type(found.Front(dep=found.Dep(), context=context()).dep) is found.Dep
    with chains.run_local(secrets={"a": "b"}):
        front = found.Front()
    assert (type(front.dep), front.context.secrets["a"]) == (found.Dep, "b")


def test_v24_fields_of_a_dataclass_are_parameters(define):
    found = define(
        """
        import dataclasses
        from typing import ClassVar

        @dataclasses.dataclass
        class Front(chains.ChainletBase):
            limit: ClassVar[int] = 3
            size: int = 3

            async def run_remote(self) -> int: return 1
        """
    )
    assert (found.only.code, found.only.location.source_line) == ("CH118", "    size: int = 3")
    assert "`size` of `Front.__init__` is no dependency" in found.only.message


def test_v24_an_init_that_a_decorator_wrote_is_checked_once_also_if_construction_came_first(define):
    found = define(
        """
        import dataclasses

        @dataclasses.dataclass
        class Front(chains.ChainletBase):
            size: int = 3

            async def run_remote(self) -> int: return 1

        Front()
        """
    )
    assert found.codes == ["CH118"]


def test_a_mixin_may_have_a_new_of_its_own(define):
    found = define(
        """
        class Counts:
            def __new__(cls, *args, **kwargs):
                instance = super().__new__(cls)
                instance.given = kwargs
                return instance

        class Front(chains.ChainletBase, Counts):
            async def run_remote(self) -> int: return 1
        """
    )
    assert found.Front().given == {}
