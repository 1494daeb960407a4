"""Old import path of exceptions, context and settings; new code imports them from `truss_chains`."""

from chains_protocol.rpc import RemoteErrorDetail, StackFrame
from truss_chains.config import (
    AbsPath,
    Assets,
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
from truss_chains.errors import (
    ChainsDeploymentError,
    ChainsError,
    ChainsRuntimeError,
    ChainsUsageError,
    GenericRemoteException,
    MissingDependencyError,
)

__all__ = [
    "AbsPath",
    "Assets",
    "BasetenImage",
    "ChainletOptions",
    "ChainsDeploymentError",
    "ChainsError",
    "ChainsRuntimeError",
    "ChainsUsageError",
    "Compute",
    "CustomImage",
    "DeployedServiceDescriptor",
    "DeploymentContext",
    "DockerImage",
    "Environment",
    "GenericRemoteException",
    "MissingDependencyError",
    "RPCOptions",
    "RemoteConfig",
    "RemoteErrorDetail",
    "StackFrame",
    "WeightsSource",
]
