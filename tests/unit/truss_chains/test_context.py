"""1.9: what a Chainlet knows about its deployment."""

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from truss_chains import DeployedServiceDescriptor, DeploymentContext, Environment, RPCOptions
from truss_chains.errors import MissingDependencyError

SERVICE = DeployedServiceDescriptor(
    name="Back", display_name="back", options=RPCOptions(), predict_url="https://x/run_remote"
)


def make(**fields) -> DeploymentContext:
    return DeploymentContext(**{"chainlet_to_service": {"Back": SERVICE}, "secrets": {}, **fields})


class Vault:
    """Secrets that can't be listed."""

    def __getitem__(self, name: str) -> str:
        return {"a": "1"}[name]

    def __len__(self) -> int:
        return 1

    def __contains__(self, name: object) -> bool:
        return name == "a"

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("secrets were listed")


def test_services_by_name():
    assert make().get_service_descriptor("Back") is SERVICE
    with pytest.raises(MissingDependencyError, match=r"CH509.*`Gone`.*`Back`"):
        make().get_service_descriptor("Gone")


def test_secrets_are_kept_as_they_are_and_not_shown():
    vault = Vault()
    context = make(secrets=vault)
    assert context.secrets is vault
    assert "vault" not in repr(make(secrets={"a": "vault"}))


@pytest.mark.parametrize("secrets", [{}, {"baseten_chain_api_key": "***"}])
def test_a_missing_key_tells_its_name_and_run_local(secrets):
    with pytest.raises(MissingDependencyError, match=r"CH508.*baseten_chain_api_key.*run_local\(secrets="):
        make(secrets=secrets).get_baseten_api_key()


def test_the_key():
    assert make(secrets={"baseten_chain_api_key": "k"}).get_baseten_api_key() == "k"


def test_the_context_is_closed_and_the_environment_open():
    with pytest.raises(ValidationError):
        make(unknown=1)
    assert make(environment=Environment(name="production", more=1)).environment.name == "production"
    assert make().environment is None


def test_a_service_needs_an_address():
    with pytest.raises(ValidationError, match="predict_url"):
        DeployedServiceDescriptor(name="A", display_name="a", options=RPCOptions())
    internal = DeployedServiceDescriptor.model_validate(
        {
            "name": "A",
            "display_name": "a",
            "options": {"unknown": 1},
            "internal_url": {"gateway_run_remote_url": "http://g", "hostname": "h"},
        }
    )
    assert internal.internal_url is not None and internal.internal_url.hostname == "h"
