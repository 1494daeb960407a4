"""Defines Chainlets from source text, each test in a registry of its own."""

import importlib.util
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from chains_protocol.errors import Diagnostic, Severity
from truss_chains import validation

HEADER = "import truss_chains as chains\n"


@dataclass
class Defined:
    """A module that was just executed, and what was collected meanwhile."""

    module: ModuleType
    path: Path
    diagnostics: tuple[Diagnostic, ...]

    def __getattr__(self, name: str) -> type:
        return vars(self.module)[name]

    @property
    def errors(self) -> list[Diagnostic]:
        return [d for d in self.diagnostics if d.severity is Severity.ERROR]

    @property
    def only(self) -> Diagnostic:
        """The one error."""
        assert len(self.errors) == 1, [d.message for d in self.errors]
        return self.errors[0]

    @property
    def codes(self) -> list[str]:
        return [str(d.code) for d in self.errors]


Define = Callable[..., Defined]


@pytest.fixture
def registry_scope() -> Iterator[None]:
    """An empty registry for the test."""
    with validation.scope():
        yield


@pytest.fixture
def define(tmp_path: Path, registry_scope: None) -> Iterator[Define]:
    """Executes source text as a module; `import truss_chains as chains` is its first line."""
    with ExitStack() as stack:

        def run(source: str, name: str = "chain", header: str = HEADER) -> Defined:
            path = tmp_path / f"{name}.py"
            path.write_text(header + textwrap.dedent(source))
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            stack.callback(sys.modules.pop, name, None)
            spec.loader.exec_module(module)
            return Defined(module, path, validation.collected())

        yield run
