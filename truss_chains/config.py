"""How a Chainlet is deployed and called: `RemoteConfig` and its parts."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from truss_chains.assets import (
    Assets,
    AssetSpec,
    ExternalDataItem,
    ModelRepo,
    WeightsAuth,
    WeightsSource,
)
from truss_chains.compute import Accelerator, Compute, ComputeSpec, parse_memory
from truss_chains.images import BasetenImage, CustomImage, DockerAuthSettings, DockerImage
from truss_chains.paths import AbsPath
from truss_chains.settings import ClosedSettings, OpenSettings


class HealthChecks(ClosedSettings):
    """Seconds until a failing `is_healthy` stops traffic or restarts a replica; None: the target decides."""

    restart_check_delay_seconds: int | None = Field(default=None, ge=0)
    restart_threshold_seconds: int | None = Field(default=None, ge=0)
    stop_traffic_threshold_seconds: int | None = Field(default=None, ge=0)
    startup_threshold_seconds: int | None = Field(default=None, ge=0)


class HTTPOptions(ClosedSettings):
    """The endpoint speaks HTTP."""

    kind: Literal["http"] = "http"


class WebsocketOptions(ClosedSettings):
    """The endpoint is a websocket; seconds between pings, and until an unanswered one closes it."""

    kind: Literal["websocket"] = "websocket"
    ping_interval_seconds: float | None = Field(default=None, gt=0)
    ping_timeout_seconds: float | None = Field(default=None, gt=0)


class GRPCOptions(ClosedSettings):
    """The endpoint speaks gRPC; only targets that say so provide it."""

    kind: Literal["grpc"] = "grpc"


Transport = HTTPOptions | WebsocketOptions | GRPCOptions


class ChainletOptions(ClosedSettings):
    """Run-time options of a Chainlet.

    Args:
        enable_b10_tracing: record traces.
        enable_debug_logs: log at debug level.
        env_variables: environment variables of the replica.
        health_checks: what a failing `is_healthy` does.
        metadata: JSON kept with the deployment.
        streaming_read_timeout: seconds between two items of a stream.
        transport: HTTP, websocket or gRPC; None chooses by the endpoint.
    """

    enable_b10_tracing: bool = False
    enable_debug_logs: bool = False
    env_variables: Mapping[str, str] = Field(default_factory=dict)
    health_checks: HealthChecks = Field(default_factory=HealthChecks)
    metadata: dict[str, JsonValue] | None = None
    streaming_read_timeout: int = Field(default=60, gt=0)
    transport: Annotated[Transport, Field(discriminator="kind")] | None = None


class RPCOptions(OpenSettings):
    """How a dependency is called.

    Args:
        retries: attempts in total; 0 and 1 both mean one.
        timeout_sec: seconds an attempt may take.
        use_binary: send and receive msgpack instead of JSON.
        concurrency_limit: calls in flight from one replica of the caller; more calls wait.
    """

    retries: int = Field(default=1, ge=0)
    timeout_sec: float = Field(default=600.0, gt=0, allow_inf_nan=False)
    use_binary: bool = False
    concurrency_limit: int = Field(default=300, ge=1)


class Autoscaling(ClosedSettings):
    """How many replicas a Chainlet gets.

    Args:
        min_replicas: replicas that always run; 0 lets an unused Chainlet sleep.
        max_replicas: the upper bound.
        concurrency_target: requests in flight per replica that are aimed at.
        window_s: seconds over which the load is averaged.
        scale_down_delay_s: seconds of low load before a replica is stopped.
    """

    min_replicas: int = Field(default=1, ge=0)
    max_replicas: int = Field(default=1, ge=1)
    concurrency_target: int = Field(default=1, ge=1)
    window_s: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    scale_down_delay_s: float = Field(default=900.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"`min_replicas` ({self.min_replicas}) is above `max_replicas` ({self.max_replicas})"
            )
        return self


class RemoteConfig(ClosedSettings):
    """How a Chainlet is deployed; the class variable `remote_config`.

    Args:
        docker_image: environment: image, requirements, data.
        compute: hardware of a replica.
        assets: secrets, weights, files.
        name: display name; the class name if None.
        options: run-time options.
        build_commands: shell commands of the image build, after system packages.
        autoscaling: bounds and targets for the number of replicas.
    """

    docker_image: DockerImage = Field(default_factory=DockerImage)
    compute: Compute = Field(default_factory=Compute)
    assets: Assets = Field(default_factory=Assets)
    name: str | None = None
    options: ChainletOptions = Field(default_factory=ChainletOptions)
    build_commands: list[str] = Field(default_factory=list)
    autoscaling: Autoscaling = Field(default_factory=Autoscaling)

    def get_compute_spec(self) -> ComputeSpec:
        """A copy of the compute settings; changing it does not change the config."""
        return self.compute.get_spec()

    def get_asset_spec(self) -> AssetSpec:
        """A copy of the assets; changing it does not change the config."""
        return self.assets.get_spec()


__all__ = [
    "AbsPath",
    "Accelerator",
    "AssetSpec",
    "Assets",
    "Autoscaling",
    "BasetenImage",
    "ChainletOptions",
    "Compute",
    "ComputeSpec",
    "CustomImage",
    "DockerAuthSettings",
    "DockerImage",
    "ExternalDataItem",
    "GRPCOptions",
    "HTTPOptions",
    "HealthChecks",
    "ModelRepo",
    "RPCOptions",
    "RemoteConfig",
    "Transport",
    "WebsocketOptions",
    "WeightsAuth",
    "WeightsSource",
    "parse_memory",
]
