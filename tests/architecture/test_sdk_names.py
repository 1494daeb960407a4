"""1.1: the public names, and the import paths that existing code uses."""

import importlib
import inspect

import pytest

import truss_chains as chains
from tests.ids import stable_id
from truss_chains import errors

PUBLISHED = {
    "Assets",
    "BasetenImage",
    "ChainletBase",
    "ChainletOptions",
    "Compute",
    "CustomImage",
    "DeployedServiceDescriptor",
    "DeploymentContext",
    "DockerImage",
    "EngineBuilderLLMChainlet",
    "EngineBuilderLLMInput",
    "Environment",
    "GenericRemoteException",
    "ModelBase",
    "RPCOptions",
    "RemoteConfig",
    "RemoteErrorDetail",
    "StubBase",
    "TrussChainlet",
    "WebSocketProtocol",
    "WeightsSource",
    "depends",
    "depends_context",
    "make_abs_path_here",
    "mark_entrypoint",
    "push",
    "run_local",
}
ADDED = {"Autoscaling"}


def test_all_is_exactly_the_published_names_and_what_we_added():
    assert set(chains.__all__) == PUBLISHED | ADDED
    assert set(chains.__all__) <= set(dir(chains))


@pytest.mark.parametrize("name", sorted(PUBLISHED | ADDED))
def test_every_name_can_be_had(name):
    assert getattr(chains, name) is not None


def test_an_unknown_name_is_pythons_own_error():
    with pytest.raises(AttributeError, match="`truss_chains` has no attribute `Nothing`"):
        _ = chains.Nothing
    assert not hasattr(chains, "Nothing")


SECONDARY = {
    "truss_chains.streaming": {"stream_types", "stream_writer", "stream_reader"},
    "truss_chains.pydantic_numpy": {"NumpyArrayField"},
    "truss_chains.public_types": {
        "ChainsUsageError",
        "MissingDependencyError",
        "ChainsRuntimeError",
        "ChainsDeploymentError",
        "GenericRemoteException",
    },
    "truss_chains.remote_chainlet.truss_chainlet": {
        "TrussHandle",
        "CallArgs",
        "get_service_urls",
        "get_baseten_chain_api_key",
    },
    "truss_chains.remote_chainlet.stub": {"StubBase", "factory"},
    "truss_chains.utils": {"make_abs_path_here"},
}


@pytest.mark.parametrize(("module", "names"), SECONDARY.items(), ids=stable_id)
def test_secondary_modules_have_what_users_take_from_them(module, names):
    assert names <= set(dir(importlib.import_module(module)))


def test_one_class_has_one_identity():
    public_types = importlib.import_module("truss_chains.public_types")
    for name in ("GenericRemoteException", "RemoteConfig", "DeploymentContext", "RemoteErrorDetail"):
        assert getattr(public_types, name) is getattr(chains, name)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("ChainsUsageError", TypeError),
        ("MissingDependencyError", TypeError),
        ("ChainsRuntimeError", Exception),
        ("ChainsDeploymentError", Exception),
        ("GenericRemoteException", Exception),
    ],
)
def test_exceptions_keep_their_published_bases(name, base):
    cls = getattr(errors, name)
    assert issubclass(cls, base) and issubclass(cls, errors.ChainsError)
    assert str(cls("text")) == "text"


def parameters(function) -> list[tuple[str, object]]:
    empty = inspect.Parameter.empty
    return [
        (p.name, "" if p.default is empty else p.default)
        for p in inspect.signature(function).parameters.values()
    ]


def test_published_signatures():
    assert parameters(chains.depends) == [
        ("chainlet_cls", ""),
        ("retries", 1),
        ("timeout_sec", 600.0),
        ("use_binary", False),
        ("concurrency_limit", 300),
    ]
    assert parameters(chains.depends_context) == []
    assert parameters(chains.push) == [
        ("entrypoint", ""),
        ("chain_name", ""),
        ("publish", True),
        ("promote", True),
        ("only_generate_trusses", False),
        ("remote", None),  # ours: the platform of this machine by default
        ("environment", None),
        ("progress_bar", None),
        ("include_git_info", False),
        ("disable_chain_download", False),
    ]
    assert parameters(chains.run_local)[:3] == [
        ("secrets", None),
        ("data_dir", None),
        ("chainlet_to_service", None),
    ]
    assert parameters(chains.Compute) == [
        ("cpu_count", 1),
        ("memory", "2Gi"),
        ("gpu", None),
        ("gpu_count", 1),
        ("predict_concurrency", 1),
        ("instance_type", None),
    ]
    assert parameters(chains.Assets) == [
        ("cached", ()),
        ("secret_keys", ()),
        ("external_data", ()),
        ("weights", ()),
    ]
