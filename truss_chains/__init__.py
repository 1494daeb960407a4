"""Chains: pipelines of several models and processing steps, written as typed Python.

Everything a user file needs is a name of this package. Names whose modules are not needed to
declare a Chain are loaded at first use, so importing this package stays cheap.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

from truss_chains.chainlet import ChainletBase, EngineBuilderLLMChainlet, ModelBase, TrussChainlet
from truss_chains.dependency import depends, depends_context
from truss_chains.entrypoint import mark_entrypoint
from truss_chains.errors import GenericRemoteException
from truss_chains.paths import make_abs_path_here

if TYPE_CHECKING:
    from chains_protocol.rpc import RemoteErrorDetail
    from truss_chains.config import (
        Assets,
        Autoscaling,
        BasetenImage,
        ChainletOptions,
        Compute,
        CustomImage,
        DockerImage,
        RemoteConfig,
        RPCOptions,
        WeightsSource,
    )
    from truss_chains.context import DeployedServiceDescriptor, DeploymentContext, Environment
    from truss_chains.deploy import push
    from truss_chains.engine_builder import EngineBuilderLLMInput
    from truss_chains.local import run_local
    from truss_chains.stub import StubBase
    from truss_chains.websocket import WebSocketProtocol

_LAZY: Final = {
    "Assets": "truss_chains.config",
    "Autoscaling": "truss_chains.config",
    "BasetenImage": "truss_chains.config",
    "ChainletOptions": "truss_chains.config",
    "Compute": "truss_chains.config",
    "CustomImage": "truss_chains.config",
    "DeployedServiceDescriptor": "truss_chains.context",
    "DeploymentContext": "truss_chains.context",
    "DockerImage": "truss_chains.config",
    "EngineBuilderLLMInput": "truss_chains.engine_builder",
    "Environment": "truss_chains.context",
    "RPCOptions": "truss_chains.config",
    "RemoteConfig": "truss_chains.config",
    "RemoteErrorDetail": "chains_protocol.rpc",
    "StubBase": "truss_chains.stub",
    "WebSocketProtocol": "truss_chains.websocket",
    "WeightsSource": "truss_chains.config",
    "push": "truss_chains.deploy",
    "run_local": "truss_chains.local",
}


def __getattr__(name: str) -> Any:  # any public object
    """Load a public name at first use."""
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


__all__ = [
    "Assets",
    "Autoscaling",
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
]
