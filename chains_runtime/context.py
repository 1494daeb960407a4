"""What a replica gives to the Chainlet it builds: secrets, addresses, environment, data."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from chains_protocol.errors import Code
from chains_protocol.replica import ReplicaLaunch
from chains_protocol.routes import ReplicaSet
from chains_protocol.rpc import PREDICT_PATH
from chains_protocol.spec import ChainletSpec, DependencySpec
from truss_chains.config import RPCOptions
from truss_chains.context import (
    CHAIN_API_KEY_SECRET,
    SECRET_PLACEHOLDER,
    DeployedServiceDescriptor,
    DeploymentContext,
    Environment,
)
from truss_chains.errors import MissingDependencyError


class SecretNotFound(MissingDependencyError, KeyError):
    """A secret was read that the deployment does not have."""

    def __str__(self) -> str:
        return str(self.args[0])


class HandedSecrets(Mapping[str, str]):
    """The secrets that were handed to this replica, and no others (R-31)."""

    def __init__(self, values: Mapping[str, str], declared: Iterable[str]) -> None:
        self._values = {k: v for k, v in values.items() if v and v != SECRET_PLACEHOLDER}
        self._declared = frozenset(declared) | frozenset(self._values)

    def __getitem__(self, name: str) -> str:
        try:
            return self._values[name]
        except KeyError:
            raise SecretNotFound(self._problem(name), code=Code.MISSING_SECRET) from None

    def _problem(self, name: str) -> str:
        if name not in self._declared:
            return (
                f"The secret `{name}` was not handed to this Chainlet: add it to `secret_keys` of its "
                "`Assets`, and define it where it is deployed with `chains secrets set`."
            )
        return (
            f"The secret `{name}` has no value: it is in the Chainlet's `secret_keys`, but not defined where "
            "it is deployed; define it with `chains secrets set`."
        )

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._declared)

    def __repr__(self) -> str:
        return f"<{len(self)} secrets>"


def handed_secrets(spec: ChainletSpec, launch: ReplicaLaunch, chain_key: str = "") -> HandedSecrets:
    """The secrets of one replica; `chain_key` opens the addresses of siblings, if it has such."""
    key = {CHAIN_API_KEY_SECRET: chain_key} if chain_key else {}
    return HandedSecrets({**launch.secrets, **key}, spec.assets.secret_keys)


def build_context(
    spec: ChainletSpec,
    launch: ReplicaLaunch,
    data_dir: Path | None,
    services: Mapping[str, tuple[ReplicaSet, ...]],
    *,
    chain_key: str = "",
) -> DeploymentContext:
    """The `DeploymentContext` of one Chainlet; `services` are the replica sets by class name, `chain_key`
    what opens the addresses of siblings that wrap a Truss."""
    return DeploymentContext(
        chainlet_to_service={
            dependency.class_name: _descriptor(dependency, services.get(dependency.class_name, ()))
            for dependency in spec.dependencies
        },
        secrets=handed_secrets(spec, launch, chain_key),
        data_dir=data_dir,
        environment=Environment(name=launch.environment) if launch.environment else None,
    )


def _descriptor(dependency: DependencySpec, sets: tuple[ReplicaSet, ...]) -> DeployedServiceDescriptor:
    addresses = [address for one in sets for address in one.addresses]
    return DeployedServiceDescriptor(
        name=dependency.class_name,
        display_name=dependency.display_name,
        options=RPCOptions(**dependency.options.model_dump()),
        predict_url=predict_url(addresses[0]) if addresses else f"http://{dependency.display_name}.invalid",
    )


def predict_url(address: str) -> str:
    """The URL of a replica's endpoint; a socket path is percent-encoded as the host of `http+unix`."""
    if address.startswith("unix:"):
        return f"http+unix://{quote(address.removeprefix('unix:'), safe='')}{PREDICT_PATH}"
    return f"{address}{PREDICT_PATH}"


__all__ = ["HandedSecrets", "SecretNotFound", "build_context", "handed_secrets", "predict_url"]
