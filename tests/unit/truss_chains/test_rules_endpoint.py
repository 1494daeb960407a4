"""V-40 to V-56 and V-60 to V-62: methods. The types are in `test_rules_types`."""

import pytest

from chains_protocol.spec import PythonSpec
from truss_chains.describe import describe_chain
from truss_chains.inspection import endpoint_of


def chainlet(method: str, base: str = "ChainletBase", before: str = "") -> str:
    imports = "from collections.abc import AsyncIterator, Iterator"
    return f"{imports}\n{before}\nclass A(chains.{base}):\n    {method}\n"


@pytest.mark.parametrize(("base", "name"), [("ChainletBase", "run_remote"), ("ModelBase", "predict")])
def test_v40_the_method_is_required(define, base, name):
    error = define(chainlet("pass", base)).only
    assert (error.code, error.kind, error.method) == ("CH107", "MISSING_API_ERROR", None)
    assert f"`{name}`" in error.message


@pytest.mark.parametrize(
    ("method", "word"),
    [
        ("run_remote = 3", "`int`"),
        ("run_remote = print", "`builtin_function_or_method`"),
        ("@classmethod\n    async def run_remote(cls) -> int: ...", "class method"),
        ("@property\n    def run_remote(self) -> int: ...", "`property`"),
    ],
)
def test_v41_it_is_a_plain_function(define, method, word):
    error = define(chainlet(method)).only
    assert (error.code, error.kind) == ("CH108", "TYPE_ERROR")
    assert word in error.message
    assert error.location.line == 5


@pytest.mark.parametrize(
    "method",
    [
        "async def run_remote() -> int: ...",
        "async def run_remote(this) -> int: ...",
        "@staticmethod\n    async def run_remote(x: int) -> int: ...",
    ],
)
def test_v42_the_first_parameter_is_self(define, method):
    error = define(chainlet(method)).only
    assert (error.code, error.kind) == ("CH109", "TYPE_ERROR")


def test_v43_every_parameter_is_annotated(define):
    found = define(chainlet("async def run_remote(self, x, y: int, z=3) -> int: ..."))
    assert [(d.code, d.kind) for d in found.errors] == [("CH104", "IO_TYPE_ERROR")] * 2
    assert "`x`" in found.errors[0].message and "`z`" in found.errors[1].message
    assert found.errors[0].location.line == 5
    assert found.errors[0].location.column == len("    async def run_remote(self, ") + 1
    assert (
        found.errors[0].location.source_line == "    async def run_remote(self, x, y: int, z=3) -> int: ..."
    )
    assert found.errors[0].help == "write the type, for example `x: str`"


def test_v43_keyword_only_parameters_are_fine(define):
    assert define(chainlet("async def run_remote(self, x: int, *, y: int = 3) -> int: ...")).errors == []


@pytest.mark.parametrize("name", ["'Model'", "list['Model']", "'list[Model] | None'"])
def test_v44_text_annotations_are_resolved_even_if_defined_later(define, name):
    found = define(
        chainlet(f"async def run_remote(self, x: {name}) -> {name}: ...")
        + "import pydantic\nclass Model(pydantic.BaseModel):\n    a: int\n"
    )
    assert found.errors == []
    assert "Model" in str(endpoint_of(found.A).parameters[0].annotation)


def test_v44_a_name_that_does_not_exist_is_an_error_that_tells_parameter_and_cause(define):
    found = define(
        chainlet(
            "async def run_remote(self, x: 'Gone', y: 3) -> 'Lost': ...",
            before="import typing\nif typing.TYPE_CHECKING:\n    from somewhere import Gone",
        )
    )
    assert [d.code for d in found.errors] == ["CH128", "CH105", "CH128"]
    assert "`x`" in found.errors[0].message and "name 'Gone' is not defined" in found.errors[0].message
    assert "TYPE_CHECKING" in found.errors[0].help
    assert found.errors[0].kind == "IO_TYPE_ERROR"
    assert "result" in found.errors[2].message


def test_v44_future_annotations_work_for_classes_inside_functions(define):
    found = define(
        """
        def make():
            from pydantic import BaseModel
            class Model(BaseModel):
                a: int
            class A(chains.ChainletBase):
                class Inner(BaseModel):
                    b: int
                async def run_remote(self, m: Model, i: Inner) -> list[Model]: ...
            return A
        A = make()
        """,
        header="from __future__ import annotations\nimport truss_chains as chains\n",
    )
    assert found.errors == []
    assert endpoint_of(found.A).parameters[1].annotation is found.A.Inner


@pytest.mark.parametrize("annotations", ["x: 'Model'", "x: list['Model']", "x: int"])
def test_v44_text_may_name_what_a_function_defines(define, annotations):
    found = define(
        f"""
        def make():
            from pydantic import BaseModel
            class Model(BaseModel):
                a: int
            class A(chains.ChainletBase):
                async def run_remote(self, {annotations}) -> "Model | None": ...
            return A
        A = make()
        """
    )
    assert found.errors == []


def test_v44_a_part_of_a_type_that_does_not_exist(define):
    found = define(
        chainlet(
            "async def run_remote(self, x: Holds) -> int: ...",
            before="import dataclasses\n@dataclasses.dataclass\nclass Holds:\n    part: 'Gone'\n",
        )
    )
    assert found.only.code == "CH105"
    assert "`chain.Holds`" in found.only.message and "not defined" in found.only.message


def test_v46_the_return_annotation_is_required_and_the_signature_shown(define):
    error = define(chainlet("async def run_remote(self, x: int): ...")).only
    assert (error.code, error.kind) == ("CH106", "IO_TYPE_ERROR")
    assert "async def run_remote(self, x: int)" in error.message


def test_v47_a_tuple_is_one_result(define):
    found = define(chainlet("async def run_remote(self) -> tuple[int, str]: ..."))
    assert found.errors == []
    assert endpoint_of(found.A).return_type == tuple[int, str]


@pytest.mark.parametrize("item", ["str", "bytes", "int", "dict[str, int]", "float | None"])
@pytest.mark.parametrize("iterator", ["AsyncIterator", "Iterator"])
def test_v45_streams_of_anything_that_can_be_sent(define, iterator, item):
    found = define(chainlet(f"async def run_remote(self) -> {iterator}[{item}]:\n        yield 1"))
    assert found.errors == []
    assert endpoint_of(found.A).stream_item == {"str": "str", "bytes": "bytes"}.get(item, "model")


@pytest.mark.parametrize(
    ("method", "word"),
    [
        ("async def run_remote(self) -> AsyncIterator[str]: ...", "no `yield`"),  # V-48
        # V-49
        ("async def run_remote(self) -> str:\n        yield ''", "`async def run_remote(self) -> str`"),
        ("async def run_remote(self) -> AsyncIterator:\n        yield ''", "no item type"),  # V-50
        ("async def run_remote(self) -> AsyncIterator[object]:\n        yield ''", "`object`"),  # V-51
        ("def run_remote(self) -> Iterator[str]:\n        yield ''", "`async def`"),  # V-52
    ],
)
def test_v48_to_v52_broken_streams(define, method, word):
    error = define(chainlet(method)).only
    assert (error.code, error.kind) == ("CH111", "IO_TYPE_ERROR")
    assert word in error.message


def test_v51_points_to_the_stream_helpers(define):
    error = define(chainlet("async def run_remote(self) -> AsyncIterator[object]:\n        yield ''")).only
    assert "truss_chains.streaming" in error.help


SYNC = chainlet("def run_remote(self) -> int: return 1")


def test_v53_a_synchronous_method_warns_at_the_users_line(define):
    with pytest.warns(DeprecationWarning) as caught:
        found = define(SYNC)
    assert found.errors == []
    assert (caught[0].filename, caught[0].lineno) == (str(found.path), 5)
    text = str(caught[0].message)
    assert "async def" in text and "run_local" in text and "threads" in text


def test_v53_the_tool_gets_the_warning_with_the_description(define):
    with pytest.warns(DeprecationWarning):
        found = define(SYNC)
    spec = describe_chain(found.A, source=found.path, python=PythonSpec(executable="p", version="3.12"))
    assert [(n.code, n.severity, n.location.line) for n in spec.notes] == [("CH112", "warning", 5)]


SOCKET = "chains.WebSocketProtocol"


def test_v54_a_websocket_endpoint(define):
    found = define(chainlet(f"async def run_remote(self, ws: {SOCKET}) -> None: ..."))
    assert found.errors == []
    assert endpoint_of(found.A).is_websocket


@pytest.mark.parametrize(
    ("method", "number"),
    [
        (f"async def run_remote(self, ws: {SOCKET}, x: int) -> None: ...", 1),
        (f"async def run_remote(self, ws: {SOCKET}, other: {SOCKET}) -> None: ...", 1),
        (f"async def run_remote(self, ws: {SOCKET}) -> int: ...", 1),
        (f"async def run_remote(self, ws: {SOCKET}): ...", 1),
        (f"def run_remote(self, ws: {SOCKET}) -> None: ...", 1),
        (f"async def run_remote(self, ws: {SOCKET}) -> None:\n        yield 1", 1),
        (f"def run_remote(self, ws: {SOCKET}, x: int) -> int:\n        yield 1", 4),
        (f"async def run_remote(self) -> {SOCKET}: ...", 1),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_v54_each_violation_is_an_error_of_its_own(define, method, number):
    found = define(chainlet(method))
    assert [(d.code, d.kind) for d in found.errors] == [("CH113", "IO_TYPE_ERROR")] * number


@pytest.mark.parametrize("parameters", ["*args: int", "**kwargs: int", "x: int, /"])
def test_v55_arguments_travel_by_name(define, parameters):
    error = define(chainlet(f"async def run_remote(self, {parameters}) -> int: ...")).only
    assert (error.code, error.kind) == ("CH110", "IO_TYPE_ERROR")


def test_v56_any_default_makes_a_parameter_optional(define):
    found = define(chainlet("async def run_remote(self, x: int = 'no int') -> int: ..."))
    assert found.errors == []
    assert endpoint_of(found.A).parameters[0].is_optional


def test_inherited_endpoints_are_reported_once(define):
    found = define(chainlet("async def run_remote(self, x) -> int: ...") + "class B(A): pass\n")
    assert [d.chainlet for d in found.errors] == ["A"]


def test_a_method_of_a_mixin_is_examined(define):
    found = define(
        "class Mixin:\n    async def run_remote(self, x) -> int: ...\n"
        "class A(Mixin, chains.ChainletBase): pass\n"
    )
    assert found.only.chainlet == "A"
    assert found.only.location.line == 3


def test_decorated_methods_keep_their_signature(define):
    found = define(
        chainlet(
            "@traced\n    async def run_remote(self, x: int) -> int: return x",
            before="import functools\ndef traced(f):\n    @functools.wraps(f)\n"
            "    def inner(*a, **k): return f(*a, **k)\n    return inner\n",
        )
    )
    assert found.errors == []
    assert endpoint_of(found.A).is_async


HEALTHY = "async def run_remote(self) -> int: return 1\n    "


@pytest.mark.parametrize(
    "method", ["def is_healthy(self) -> bool: ...", "async def is_healthy(self) -> 'bool': ...", ""]
)
def test_v60_v61_v62_health_checks(define, method):
    assert define(chainlet(HEALTHY + method)).errors == []


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("is_healthy = True", "TYPE_ERROR"),  # V-60
        ("@staticmethod\n    def is_healthy() -> bool: ...", "TYPE_ERROR"),  # V-60
        ("def is_healthy(this) -> bool: ...", "TYPE_ERROR"),  # V-61
        ("def is_healthy(self, x: int) -> bool: ...", "TYPE_ERROR"),  # V-61
        ("def is_healthy(self): ...", "IO_TYPE_ERROR"),  # V-62
        ("def is_healthy(self) -> int: ...", "IO_TYPE_ERROR"),  # V-62
        ("def is_healthy(self) -> bool | None: ...", "IO_TYPE_ERROR"),  # V-62
    ],
)
def test_v60_v61_v62_broken_health_checks(define, method, kind):
    error = define(chainlet(HEALTHY + method)).only
    assert (error.code, error.kind, error.method) == ("CH114", kind, "is_healthy")


def test_v60_an_unknown_return_annotation(define):
    error = define(chainlet(HEALTHY + "def is_healthy(self) -> 'Gone': ...")).only
    assert (error.code, error.method) == ("CH128", "is_healthy")


def test_health_rules_apply_to_models(define):
    assert define(chainlet("async def predict(self) -> int: ...\n    is_healthy = 1", "ModelBase")).codes == [
        "CH114"
    ]
