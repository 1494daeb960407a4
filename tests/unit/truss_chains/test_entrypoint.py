"""V-80 to V-82: marking the entrypoint."""

import pytest

import truss_chains as chains

A = "class A(chains.ChainletBase):\n    async def run_remote(self) -> int: return 1\n"


def test_marking_returns_the_class_and_sets_the_marks(define):
    found = define(A + "B = chains.mark_entrypoint(A)\n")
    assert found.B is found.A
    assert found.A.meta_data.is_entrypoint
    named = define(A + "B = chains.mark_entrypoint('Billing Bot')(A)\n", name="chain")
    assert named.A.meta_data.chain_name == "Billing Bot"


def test_empty_parentheses_are_a_type_error():
    with pytest.raises(TypeError, match="missing"):
        chains.mark_entrypoint()


@pytest.mark.parametrize("target", ["int", "3", "None", "chains.ChainletBase", "lambda: 1"])
def test_v80_the_target_is_a_chainlet_class(define, target):
    error = define(f"\nx = chains.mark_entrypoint({target})\n").only
    assert (error.code, error.kind, error.chainlet) == ("CH123", "TYPE_ERROR", None)
    assert (error.location.line, error.location.source_line) == (3, f"x = chains.mark_entrypoint({target})")


def test_v80_as_decorator_with_a_name(define):
    error = define("@chains.mark_entrypoint('x')\nclass Plain:\n    pass\n").only
    assert error.code == "CH123"
    assert error.location.line in (2, 3)


def test_v81_a_truss_chainlet_is_no_entrypoint(define):
    found = define("@chains.mark_entrypoint\nclass T(chains.TrussChainlet):\n    truss_dir = 't'\n")
    assert (found.only.code, found.only.kind) == ("CH123", "TYPE_ERROR")
    assert "ChainletBase" in found.only.help
    assert not found.T.meta_data.is_entrypoint


def test_v82_an_engine_builder_is_no_entrypoint_and_leaks_no_mark(define):
    found = define(
        "from truss_chains.engine_builder import TRTLLMConfiguration\n"
        "@chains.mark_entrypoint\nclass E(chains.EngineBuilderLLMChainlet):\n"
        "    engine_builder_config = TRTLLMConfiguration()\n"
        "class F(chains.EngineBuilderLLMChainlet):\n"
        "    engine_builder_config = TRTLLMConfiguration()\n"
    )
    assert (found.only.code, found.only.kind) == ("CH123", "TYPE_ERROR")
    for cls in (found.E, found.F, chains.EngineBuilderLLMChainlet):
        assert not cls.meta_data.is_entrypoint
