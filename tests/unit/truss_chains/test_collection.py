"""E-01 to E-08: how definition errors are collected, written and raised."""

from pathlib import Path

import pytest

from chains_protocol.errors import Code, Diagnostic, ErrorKind, Location
from truss_chains import validation
from truss_chains.errors import ChainsError, ChainsUsageError

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "diagnostics"

BROKEN = """
class A(chains.ChainletBase):
    async def run_remote(self, x) -> int: ...

@chains.mark_entrypoint
class B(chains.ChainletBase):
    pass
"""


def test_e01_defining_a_broken_chainlet_raises_nothing(define):
    found = define(BROKEN)
    assert found.codes == ["CH104", "CH107"]
    assert found.B.meta_data.is_entrypoint


def test_e02_kind_and_place_are_known(define):
    found = define(BROKEN)
    first, second = found.errors
    assert (first.kind, first.chainlet, first.method) == ("IO_TYPE_ERROR", "A", "run_remote")
    assert (second.kind, second.chainlet, second.method) == ("MISSING_API_ERROR", "B", None)
    assert first.location.path == second.location.path == str(found.path)


def test_e03_the_published_line(define):
    found = define(
        """
        class A(chains.ChainletBase):
            @staticmethod
            async def run_remote(
                x: int,
            ) -> int: ...

        @chains.mark_entrypoint
        @chains.mark_entrypoint
        class B(chains.ChainletBase):
            remote_config = 3

            async def run_remote(
                self,
                x,
            ) -> int: ...

        chains.mark_entrypoint(3)
        """
    )
    lines = [validation.one_line(d).partition(": CH")[0] for d in found.errors]
    path = found.path
    assert lines == [
        f"{path}:4 (A.run_remote) [kind: TYPE_ERROR]",
        f"{path}:9 (B) [kind: TYPE_ERROR]",
        f"{path}:14 (B.run_remote) [kind: IO_TYPE_ERROR]",
        f"{path}:19 [kind: TYPE_ERROR]",
    ]
    assert [(d.location.line, d.location.column) for d in found.errors] == [
        (4, 5),
        (12, 5),
        (16, 9),
        (19, None),
    ]


def test_e04_one_exception_for_all_in_order_of_detection_and_cleared(define):
    found = define(BROKEN)
    with pytest.raises(ChainsUsageError) as caught:
        validation.raise_if_any()
    introduction, *entries = str(caught.value).splitlines()
    assert "2 errors" in introduction
    assert entries == [f"* {validation.one_line(d)}" for d in found.errors]
    assert caught.value.diagnostics == tuple(found.errors)
    assert isinstance(caught.value, TypeError) and isinstance(caught.value, ChainsError)
    validation.raise_if_any()
    assert validation.collected() == ()


def test_e07_what_one_import_found_does_not_reach_the_next(define):
    with validation.scope():
        define(BROKEN, name="first")
    validation.raise_if_any()


def test_where_nobody_will_look_nothing_is_checked(define):
    with validation.scope(checks=False):
        define(BROKEN, name="first")
        assert validation.collected() == ()
    with validation.scope():
        define(BROKEN, name="second")
        assert validation.collected()


def test_e08_writing_an_error_needs_no_readable_file():
    gone = Diagnostic(
        code=Code.MISSING_METHOD,
        kind=ErrorKind.MISSING_API_ERROR,
        location=Location(path="/nowhere/chain.py", line=3),
        chainlet="A",
        message="`A` has no method",
    )
    assert validation.one_line(gone) == (
        "/nowhere/chain.py:3 (A) [kind: MISSING_API_ERROR]: CH107: `A` has no method"
    )
    placeless = Diagnostic(code=Code.INTERNAL, message="m")
    assert validation.one_line(placeless) == "<unknown>:1 [kind: TYPE_ERROR]: CH901: m"


def test_e08_errors_of_a_class_without_source(registry_scope):
    import truss_chains as chains

    names = {"__name__": "generated", "chains": chains}
    text = "class A(chains.ChainletBase):\n    async def run_remote(self, x) -> int: ...\n"
    exec(compile(text, "<generated>", "exec"), names)  # noqa: S102 (our own text)
    (error,) = validation.collected()
    assert validation.one_line(error).startswith("<generated>:1 (A.run_remote) [kind: IO_TYPE_ERROR]")


def test_e08_user_classes_may_have_any_name(define):
    found = define(
        "class HelloWorld(chains.ChainletBase):\n    async def run_remote(self, x) -> int: ...\n"
        "class RandInt(chains.ChainletBase):\n    async def run_remote(self, x: object) -> int: ...\n"
    )
    assert found.codes == ["CH104", "CH105"]


EVERYTHING = (GOLDEN / "everything.py").read_text()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_whole_text_of_many_errors(define):
    define(EVERYTHING, header="")
    with pytest.raises(ChainsUsageError) as caught:
        validation.raise_if_any()
    path = caught.value.diagnostics[0].location.path
    text = str(caught.value).replace(path, "chain.py") + "\n"
    assert text == (GOLDEN / "everything.txt").read_text()
