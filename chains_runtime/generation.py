"""One generation of a Chainlet's code, with the instance that serves on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chains_protocol.replica import GenerationStatus
from chains_runtime.endpoint import Endpoint
from chains_runtime.hotswap.modules import ModuleTable
from chains_runtime.package import OpenPackage

if TYPE_CHECKING:
    from chains_runtime.stubs import Binding


@dataclass(eq=False)
class Generation:
    """Code, instance and endpoint. Everything but the counters is set before it serves.

    `since` is the version it serves from. `bindings` say how this generation calls each
    dependency, by class name. `in_flight` counts calls, streams and websockets inside it.
    """

    number: int
    since: int
    package_digest: str
    package: OpenPackage
    table: ModuleTable
    cls: type | None = None
    """None for an auto mock, which runs no user code."""
    bindings: Mapping[str, "Binding"] = field(default_factory=dict)
    instance: Any = None
    """An object of the user's class."""
    endpoint: Endpoint | None = None
    committed: bool = False
    retiring: bool = False
    in_flight: int = 0

    @property
    def served(self) -> Endpoint:
        """The endpoint of a generation that serves."""
        if self.endpoint is None:
            raise RuntimeError(f"generation {self.number} is used before it is complete")
        return self.endpoint

    @property
    def code(self) -> type:
        """The user's class of a generation that is loaded."""
        if self.cls is None:
            raise RuntimeError(f"generation {self.number} runs no code of a user")
        return self.cls

    def status(self) -> GenerationStatus:
        return GenerationStatus(
            number=self.number,
            since=self.since,
            package_digest=self.package_digest,
            in_flight=self.in_flight,
            committed=self.committed,
        )


__all__ = ["Generation"]
