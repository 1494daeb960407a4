"""V-20 to V-29: the parameters of `__init__`."""

import pytest

DEP = """
from typing import Any, Optional, Protocol
import typing

class Dep(chains.ChainletBase):
    async def run_remote(self) -> int: return 1

class SubDep(Dep): pass

class Speaks(Protocol):
    async def run_remote(self) -> int: ...

class Wraps(chains.TrussChainlet):
    truss_dir = "./t"
"""


def front(parameters: str) -> str:
    return (
        f"{DEP}\nclass Front(chains.ChainletBase):\n    def __init__({parameters}): ...\n"
        "    async def run_remote(self) -> int: return 1\n"
    )


@pytest.mark.parametrize(("parameters", "found"), [("this", "`this`"), ("", "no parameters")])
def test_v20_the_first_parameter_is_self(define, parameters, found):
    error = define(front(parameters)).only
    assert (error.code, error.kind) == ("CH109", "TYPE_ERROR")
    assert found in error.message


CONTEXT = "context=chains.depends_context()"


def test_v21_context_with_its_marker_is_fine(define):
    assert define(front(f"self, {CONTEXT}")).errors == []
    assert define(front(f"self, *, {CONTEXT}")).errors == []


@pytest.mark.parametrize(
    "parameters",
    [
        "self, context",
        "self, context=None",
        "self, context=chains.depends(Dep)",
        "self, ctx=chains.depends_context()",
    ],
)
def test_v21_name_and_marker_go_together(define, parameters):
    error = define(front(parameters)).only
    assert (error.code, error.kind) == ("CH117", "TYPE_ERROR")
    assert "`context`" in error.message
    assert "context: chains.DeploymentContext = chains.depends_context()" in error.help


@pytest.mark.parametrize(
    ("annotation", "codes"),
    [
        ("chains.DeploymentContext", []),
        ("'chains.DeploymentContext'", []),
        ("Mine", []),
        ("int", ["CH117"]),
        ("Any", ["CH117"]),
        ("'Absent'", ["CH128"]),
    ],
)
def test_v22_the_annotation_of_context(define, annotation, codes):
    found = define(
        "class Mine(chains.DeploymentContext): pass\n"
        + front(f"self, context: {annotation} = chains.depends_context()")
    )
    assert found.codes == codes
    assert all(d.kind == "TYPE_ERROR" for d in found.errors)


def test_v23_context_is_last(define):
    error = define(front(f"self, {CONTEXT}, dep=chains.depends(Dep)")).only
    assert (error.code, error.kind) == ("CH117", "TYPE_ERROR")
    assert "last" in error.message


@pytest.mark.parametrize("parameter", ["x", "x: int = 3", "*args", "**kwargs", "x=None"])
def test_v24_every_other_parameter_is_a_dependency(define, parameter):
    error = define(front(f"self, {parameter}")).only
    assert (error.code, error.kind) == ("CH118", "TYPE_ERROR")
    assert f"`{parameter.strip('*').partition('=')[0].partition(':')[0]}`" in error.message


@pytest.mark.parametrize(
    "target", ["int", "3", "chains.ChainletBase", "chains.TrussChainlet", "Model", "Dep()"]
)
def test_v25_depends_takes_a_chainlet_class(define, target):
    model = "class Model(chains.ModelBase):\n    async def predict(self) -> int: return 1\n"
    error = define(model + front(f"self, dep=chains.depends({target})")).only
    assert (error.code, error.kind) == ("CH119", "TYPE_ERROR")


@pytest.mark.parametrize(
    "annotation",
    [
        "Dep",
        "'Dep'",
        "chains.ChainletBase",
        "object",
        "Speaks",
        "Optional[Dep]",
        "Dep | None",
        "typing.Annotated[Dep, 1]",
    ],
)
def test_v26_fitting_annotations(define, annotation):
    assert define(front(f"self, dep: {annotation} = chains.depends(Dep)")).errors == []


@pytest.mark.parametrize("annotation", ["SubDep", "Any", "int", "Optional[int]", "Wraps", "None"])
def test_v26_annotations_that_promise_something_else(define, annotation):
    error = define(front(f"self, dep: {annotation} = chains.depends(Dep)")).only
    assert (error.code, error.kind) == ("CH120", "TYPE_ERROR")
    assert "`Dep`" in error.message
    assert error.location.column == 24


def test_v26_a_text_annotation_that_means_nothing_is_collected(define):
    error = define(front("self, dep: 'Absent' = chains.depends(Dep)")).only
    assert (error.code, error.kind, error.method) == ("CH128", "TYPE_ERROR", "__init__")


def test_v26_future_annotations_work(define):
    context = "context: chains.DeploymentContext = chains.depends_context()"
    found = define(
        front(f"self, dep: Dep = chains.depends(Dep), {context}"),
        header="from __future__ import annotations\nimport truss_chains as chains\n",
    )
    assert found.errors == []


def test_v26_a_truss_handle_stands_for_a_truss_chainlet(define):
    handle = "class TrussHandle: ...\n"
    assert define(handle + front("self, dep: TrussHandle = chains.depends(Wraps)")).errors == []
    assert define(handle + front("self, dep: TrussHandle = chains.depends(Dep)")).codes == ["CH120"]


def test_v27_a_chainlet_is_used_once(define):
    error = define(front("self, one=chains.depends(Dep), two=chains.depends(Dep)")).only
    assert (error.code, error.kind) == ("CH121", "TYPE_ERROR")
    assert "`one`" in error.message and "`two`" in error.message


def test_v28_a_websocket_belongs_to_the_entrypoint(define):
    socket = (
        "class Socket(chains.ChainletBase):\n"
        "    async def run_remote(self, ws: chains.WebSocketProtocol) -> None: ...\n"
    )
    error = define(socket + front("self, dep=chains.depends(Socket)")).only
    assert (error.code, error.kind) == ("CH113", "TYPE_ERROR")
    assert "entrypoint" in error.help


def test_v29_models_and_engines_take_context_only(define):
    found = define(
        DEP
        + "from truss_chains.engine_builder import TRTLLMConfiguration\n"
        + "class M(chains.ModelBase):\n"
        + "    def __init__(self, dep=chains.depends(Dep), context=chains.depends_context()): ...\n"
        + "    async def predict(self) -> int: return 1\n"
        + "class E(chains.EngineBuilderLLMChainlet):\n"
        + "    engine_builder_config = TRTLLMConfiguration()\n"
        + "    def __init__(self, dep=chains.depends(Dep)): ...\n"
    )
    assert [(d.code, d.kind, d.chainlet) for d in found.errors] == [
        ("CH118", "TYPE_ERROR", "M"),
        ("CH118", "TYPE_ERROR", "E"),
    ]


def test_v91_an_inherited_init_is_reported_once(define):
    found = define(front("self, x=3") + "class Sub(Front): pass\n")
    assert [d.chainlet for d in found.errors] == ["Front"]
