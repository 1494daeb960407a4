"""V-01 to V-05 and V-90: names, registration, what counts as a Chainlet."""

from pathlib import Path

import pytest

import truss_chains as chains
from truss_chains import validation
from truss_chains.chainlet import declaration_of, is_chainlet_class, is_framework_class
from truss_chains.entrypoint import registry
from truss_chains.errors import ChainsUsageError

PLAIN = """
class {name}(chains.ChainletBase):
    async def run_remote(self) -> int:
        return 1
"""


@pytest.mark.parametrize("name", ["Front", "front-2", "a_b", "0"])
def test_v01_accepts_letters_digits_underscore_and_hyphen(define, name):
    found = define(
        f"class A(chains.ChainletBase):\n    remote_config = chains.RemoteConfig(name={name!r})\n"
        "    async def run_remote(self) -> int: return 1\n"
    )
    assert found.errors == []
    assert found.A.display_name == name
    assert found.A.name == "A"


@pytest.mark.parametrize("name", ["My Front", "ä", "a.b", "a/b", "line\n"])
def test_v01_refuses_other_display_names_and_tells_name_and_pattern(define, name):
    found = define(
        f"class A(chains.ChainletBase):\n    remote_config = chains.RemoteConfig(name={name!r})\n"
        "    async def run_remote(self) -> int: return 1\n"
    )
    assert found.only.code == "CH101"
    assert found.only.kind == "INVALID_CONFIG_ERROR"
    assert name in found.only.message and "^[a-zA-Z0-9_-]+$" in found.only.message
    assert found.only.location.line == 3


def test_v01_does_not_apply_to_a_model_base(define):
    found = define(
        "class A(chains.ModelBase):\n    remote_config = chains.RemoteConfig(name='My Model')\n"
        "    async def predict(self) -> int: return 1\n"
    )
    assert found.errors == []


def test_v02_a_second_file_with_the_same_class_name_raises_at_once_and_names_both(define):
    first = define(PLAIN.format(name="Front"), name="first")
    with pytest.raises(ChainsUsageError) as caught:
        define(PLAIN.format(name="Front"), name="second")
    text = str(caught.value)
    assert text.startswith("CH102: ")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.chainlet) == ("CH102", "Front")
    assert diagnostic.location.path.endswith("second.py")
    assert diagnostic.location.source_line == "class Front(chains.ChainletBase):"
    assert "`Front`" in text
    assert str(first.path) in text and str(first.path.with_name("second.py")) in text


def test_v02_the_same_file_loaded_again_replaces_its_classes(define):
    first = define(PLAIN.format(name="Front"))
    second = define(PLAIN.format(name="Front"))
    assert first.Front is not second.Front
    assert list(registry) == [second.Front]


def test_v02_a_file_executed_as_main_and_imported_again_replaces(define, tmp_path):
    source = "import truss_chains as chains\n" + PLAIN.format(name="Front")
    path = tmp_path / "chain.py"
    path.write_text(source)
    names = {"__name__": "__main__", "__file__": str(path)}
    exec(compile(source, str(path), "exec"), names)  # noqa: S102 (our own text)
    imported = define(PLAIN.format(name="Front"))
    assert list(registry) == [imported.Front]


def test_v02_a_notebook_cell_run_again_replaces(registry_scope):
    names = {"__name__": "notebook", "chains": chains}
    for cell in ("<cell 1>", "<cell 2>"):
        exec(compile(PLAIN.format(name="Front"), cell, "exec"), names)  # noqa: S102 (our own text)
    assert list(registry) == [names["Front"]]


def test_v02_a_corrected_definition_forgets_the_errors_of_the_former(define):
    broken = define("class Front(chains.ChainletBase):\n    async def run_remote(self, x) -> int: return 1\n")
    assert broken.codes == ["CH104"]
    assert define(PLAIN.format(name="Front")).errors == []


def test_v02_classes_inside_functions_may_share_a_name(define):
    local = "def make():\n    class Front(chains.ChainletBase):\n{method}\n".format(
        method="        async def run_remote(self) -> int: return 1"
    )
    define(local + "make()\n", name="first")
    assert define(local + "make()\n", name="second").errors == []


def test_v04_framework_bases_are_known_by_identity(define):
    found = define(
        "class ModelBase(chains.ChainletBase):\n    async def run_remote(self, x) -> int: return 1\n"
    )
    assert found.codes == ["CH104"]
    assert is_chainlet_class(found.ModelBase) and not is_framework_class(found.ModelBase)
    for base in (
        chains.ChainletBase,
        chains.ModelBase,
        chains.TrussChainlet,
        chains.EngineBuilderLLMChainlet,
    ):
        assert is_framework_class(base) and not is_chainlet_class(base)


def test_v05_the_registry_is_in_order_of_definition(define):
    found = define("".join(PLAIN.format(name=name) for name in ("C", "A", "B")))
    assert [cls.__name__ for cls in registry] == ["C", "A", "B"]
    assert registry.get("A") is found.A
    assert registry.get("Z") is None


def test_v90_a_subclass_is_a_chainlet_with_its_own_name_and_metadata(define):
    found = define(
        PLAIN.format(name="Base")
        + "chains.mark_entrypoint(Base)\nclass Sub(Base):\n    pass\n"
        + "@chains.mark_entrypoint('Named')\nclass Marked(Base):\n    pass\n"
    )
    assert found.errors == []
    assert [cls.__name__ for cls in registry] == ["Base", "Sub", "Marked"]
    assert found.Base.meta_data.is_entrypoint and found.Base.meta_data.chain_name is None
    assert not found.Sub.meta_data.is_entrypoint
    assert found.Marked.meta_data.chain_name == "Named"
    assert found.Sub.name == "Sub"
    assert found.Sub.run_remote is found.Base.run_remote


def test_the_name_is_readable_on_instances_and_can_be_used_for_other_things(define):
    found = define(PLAIN.format(name="Front"))
    front = found.Front()
    assert (front.name, front.display_name) == ("Front", "Front")
    front.name = "mine"
    assert front.name == "mine"


def test_a_model_base_counts_as_entrypoint(define):
    found = define("class M(chains.ModelBase):\n    async def predict(self, x: int) -> int: return x\n")
    assert found.errors == []
    assert found.M.meta_data.is_entrypoint


def test_the_declaration_knows_the_class_statement(define):
    found = define(
        "\n\n@chains.mark_entrypoint\nclass Front(chains.ChainletBase):\n"
        "    async def run_remote(self) -> int: return 1\n"
    )
    declaration = declaration_of(found.Front)
    assert Path(declaration.path) == found.path
    assert declaration.line in (4, 5)
    assert not declaration.is_local


def test_e07_a_scope_isolates_classes_and_errors(define):
    define("class A(chains.ChainletBase):\n    async def run_remote(self, x) -> int: return 1\n")
    before = validation.collected()
    with pytest.raises(ZeroDivisionError), validation.scope():
        define("class A(chains.ChainletBase):\n    pass\n", name="other")
        assert [d.code for d in validation.collected()] == ["CH107"]
        raise ZeroDivisionError
    assert validation.collected() == before
    assert [cls.__module__ for cls in registry] == ["chain"]


def test_other_bases_combine_with_chainlets(define):
    found = define(
        """
        import abc
        from typing import Generic, Protocol, TypeVar

        T = TypeVar("T")

        class Shape(Protocol):
            async def run_remote(self, x: int) -> int: ...

        class Mixin:
            def __init__(self):
                super().__init__()
                self.mixed = True

        class A(chains.ChainletBase, Shape, abc.ABC):
            async def run_remote(self, x: int) -> int: return x

        class B(Mixin, chains.ChainletBase, Generic[T]):
            async def run_remote(self, x: int) -> int: return x

        class C(chains.ChainletBase, Mixin):
            async def run_remote(self, x: int) -> int: return x
        """
    )
    assert found.errors == []
    assert found.B().mixed and found.C().mixed
