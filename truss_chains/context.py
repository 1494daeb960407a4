"""What a Chainlet knows about its deployment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Protocol, Self, overload

from pydantic import Field, SkipValidation, model_validator

from chains_protocol.errors import Code
from truss_chains.config import RPCOptions
from truss_chains.errors import MissingDependencyError
from truss_chains.settings import ClosedSettings, OpenSettings

CHAIN_API_KEY_SECRET: Final = "baseten_chain_api_key"  # noqa: S105 (the name of a secret)
"""The secret that opens calls to other services of the Chain."""

SECRET_PLACEHOLDER: Final = "***"  # noqa: S105 (no secret)
"""Stands for the value of a secret that has not been provided."""


class Secrets(Protocol):
    """Secrets by name. Not iterable: only names that the Chainlet declares can be read.

    One that has no value is missing: `in` says no, `get` gives the default, `[]` raises `KeyError`.
    """

    def __getitem__(self, name: str, /) -> str: ...

    def __len__(self) -> int: ...

    def __contains__(self, name: object, /) -> bool: ...

    @overload
    def get(self, name: str, /) -> str | None: ...

    @overload
    def get(self, name: str, /, default: str) -> str: ...


class Environment(OpenSettings):
    """The environment a deployment serves, for example `production`."""

    name: str


class InternalURL(OpenSettings):
    """The way to a service through an internal gateway."""

    gateway_run_remote_url: str
    hostname: str


class ServiceDescriptor(OpenSettings):
    """A service by name and how to call it, without its address."""

    name: str
    display_name: str
    options: RPCOptions = Field(default_factory=RPCOptions)


class DeployedServiceDescriptor(ServiceDescriptor):
    """A service with its address: at least one of `predict_url` and `internal_url`.

    `internal_url` is preferred when both are there.
    """

    predict_url: str | None = None
    internal_url: InternalURL | None = None

    @model_validator(mode="after")
    def _has_address(self) -> Self:
        if not (self.predict_url or self.internal_url):
            raise ValueError(f"service `{self.name}` has neither `predict_url` nor `internal_url`")
        return self


class DeploymentContext(ClosedSettings):
    """Passed to a Chainlet that declares `context=depends_context()`.

    Args:
        chainlet_to_service: the Chainlet's own dependencies, by class name.
        secrets: the secrets named in `assets.secret_keys`.
        data_dir: where `docker_image.data_dir` is, or None.
        environment: the environment that the deployment serves, or None.
    """

    chainlet_to_service: Mapping[str, DeployedServiceDescriptor]
    secrets: Annotated[Secrets, SkipValidation] = Field(repr=False)
    data_dir: Path | None = None
    environment: Environment | None = None

    def get_service_descriptor(self, chainlet_name: str) -> DeployedServiceDescriptor:
        """The service of a dependency, by class name.

        Raises:
            MissingDependencyError: CH509 if there is none of that name.
        """
        if chainlet_name not in self.chainlet_to_service:
            known = ", ".join(f"`{name}`" for name in sorted(self.chainlet_to_service)) or "none"
            raise MissingDependencyError(
                f"No service is known for `{chainlet_name}`; known are: {known}.",
                code=Code.MISSING_SERVICE,
            )
        return self.chainlet_to_service[chainlet_name]

    def get_baseten_api_key(self) -> str:
        """The key for calls to other services.

        Raises:
            MissingDependencyError: CH508 if it has not been provided.
        """
        name = CHAIN_API_KEY_SECRET
        try:
            key = self.secrets[name]
        except (KeyError, LookupError):
            key = SECRET_PLACEHOLDER
        if key == SECRET_PLACEHOLDER:
            raise MissingDependencyError(
                f"The secret `{name}` is missing. Add it to the secrets of the target; locally, pass it "
                f'with `run_local(secrets={{"{name}": ...}})`.',
                code=Code.MISSING_SECRET,
            )
        return key


__all__ = [
    "CHAIN_API_KEY_SECRET",
    "SECRET_PLACEHOLDER",
    "DeployedServiceDescriptor",
    "DeploymentContext",
    "Environment",
    "InternalURL",
    "Secrets",
    "ServiceDescriptor",
]
