"""`StubBase` under its old import path, and `factory` for generated code."""

from typing import TypeVar

from truss_chains.context import DeploymentContext
from truss_chains.stub import StubBase, decode_text

StubT = TypeVar("StubT", bound=StubBase)


def factory(stub_cls: type[StubT], context: DeploymentContext) -> StubT:
    """The stub of a dependency: its service is looked up by the stub's class name (S-13).

    Raises:
        MissingDependencyError: CH509 or CH508, the service or the key is not there.
    """
    descriptor = context.get_service_descriptor(stub_cls.__name__)
    return stub_cls(descriptor, context.get_baseten_api_key())


__all__ = ["StubBase", "decode_text", "factory"]
