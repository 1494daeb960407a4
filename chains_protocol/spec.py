"""What a Chain is, as data: the result of discovery and the input of everything after it.

`ChainletSpec` holds nothing of the author's machine (no absolute path), so it is part of
a package and of its digest. What is local stays beside it, in `LocalSources`.
"""

from typing import Any

from pydantic import Field, JsonValue

from chains_protocol.base import Frozen
from chains_protocol.errors import Diagnostic
from chains_protocol.kinds import ChainletKind, StreamItem
from chains_protocol.paths import RelativePath


class ParameterSpec(Frozen):
    """One argument of an endpoint. `annotation` is its source text, for people."""

    name: str
    annotation: str
    is_optional: bool = False
    """It has a default, which stays on the callee: an absent key means the default."""


class EndpointSpec(Frozen):
    """The typed method of a Chainlet. Schemas are JSON Schema 2020-12 as pydantic writes it."""

    method_name: str = "run_remote"
    is_async: bool = True
    is_websocket: bool = False
    stream_item: StreamItem | None = None
    parameters: tuple[ParameterSpec, ...] = ()
    return_annotation: str = "None"
    input_schema: dict[str, Any] = Field(default_factory=dict)
    output_schema: dict[str, Any] | None = None
    has_health_check: bool = False

    @property
    def is_streaming(self) -> bool:
        return self.stream_item is not None


class RPCOptions(Frozen):
    """How a dependency is called: attempts in total, seconds an attempt, msgpack, calls in flight."""

    retries: int = 1
    timeout_sec: float = 600.0
    use_binary: bool = False
    concurrency_limit: int = 300


class DependencySpec(Frozen):
    """One edge of the graph. `parameter` is the `__init__` parameter that receives the stub."""

    parameter: str
    class_name: str
    display_name: str
    options: RPCOptions = RPCOptions()


class ComputeSpec(Frozen):
    """What a replica needs. `memory_bytes` is a number, `memory` the text the user wrote."""

    cpu_count: int = 1
    memory: str = "2Gi"
    memory_bytes: int = 2 * 1024**3
    gpu: str | None = None
    gpu_count: int = 1
    predict_concurrency: int = 1
    instance_type: str | None = None


class ImageSpec(Frozen):
    """The environment as declared. `python_version` ("3.12") only if the user chose one."""

    python_version: str | None = None
    custom_image: dict[str, JsonValue] | None = None
    pip_requirements: tuple[str, ...] = ()
    apt_requirements: tuple[str, ...] = ()
    truss_server_version: str | None = None
    build_commands: tuple[str, ...] = ()


class AssetsSpec(Frozen):
    """Secrets by name, and caches, weights and external data in the form a Truss config has."""

    secret_keys: tuple[str, ...] = ()
    cached: tuple[dict[str, JsonValue], ...] = ()
    external_data: tuple[dict[str, JsonValue], ...] = ()
    weights: tuple[dict[str, JsonValue], ...] = ()


class OptionsSpec(Frozen):
    """`ChainletOptions` as data; `health_checks` and `transport` in the form a Truss config has."""

    enable_tracing: bool = False
    enable_debug_logs: bool = False
    env_variables: dict[str, str] = Field(default_factory=dict)
    health_checks: dict[str, int | None] = Field(default_factory=dict)
    metadata: dict[str, JsonValue] | None = None
    streaming_read_timeout_s: int = 60
    transport: dict[str, JsonValue] | None = None


class AutoscalingSpec(Frozen):
    """Replica bounds and targets; seconds for the windows, in-flight requests a replica for the target."""

    min_replicas: int = 1
    max_replicas: int = 1
    concurrency_target: int = 1
    window_s: float = 60.0
    scale_down_delay_s: float = 900.0


class MockSpec(Frozen):
    """A stand-in: `kind` "auto" answers from the output schema, "class" runs another class."""

    kind: str = Field(pattern="^(auto|class)$")
    source: str = ""


class ChainletSpec(Frozen):
    """One Chainlet: names, where its class is, its endpoint, its edges and its needs.

    `class_name` keys stubs and service maps; `display_name` is what users and remotes see.
    `module` and `qualname` import the implementation with the package's source on
    `sys.path`; `file` is that module's path below the workspace, `line` its class statement.
    """

    class_name: str
    display_name: str
    kind: ChainletKind = ChainletKind.CHAINLET
    module: str
    qualname: str
    file: RelativePath
    line: int = 1
    endpoint: EndpointSpec = EndpointSpec()
    dependencies: tuple[DependencySpec, ...] = ()
    takes_context: bool = False
    compute: ComputeSpec = ComputeSpec()
    image: ImageSpec = ImageSpec()
    assets: AssetsSpec = AssetsSpec()
    options: OptionsSpec = OptionsSpec()
    autoscaling: AutoscalingSpec = AutoscalingSpec()
    engine: dict[str, JsonValue] | None = None
    mock: MockSpec | None = None


class LocalSources(Frozen):
    """Absolute paths on the author's machine that feed one package; never leaves that machine."""

    requirements_file: str | None = None
    data_dir: str | None = None
    external_package_dirs: tuple[str, ...] = ()
    truss_dir: str | None = None
    mock_file: str | None = None


class DiscoveredChainlet(Frozen):
    spec: ChainletSpec
    sources: LocalSources = LocalSources()


class PythonSpec(Frozen):
    """The interpreter that read the user's file; `version` is "3.12"."""

    executable: str
    version: str


class ChainSpec(Frozen):
    """A whole Chain. `chainlets` are topologically sorted, dependencies first; the entrypoint is last.

    `workspace` is the directory of the file that defines the entrypoint class, `source` the
    file that was asked for; both absolute. `notes` are warnings and notes, never errors.
    """

    chain_name: str
    entrypoint: str
    """Class name of the entrypoint."""
    workspace: str
    source: str
    python: PythonSpec
    chainlets: tuple[DiscoveredChainlet, ...]
    notes: tuple[Diagnostic, ...] = ()

    def chainlet(self, class_name: str) -> DiscoveredChainlet:
        """The Chainlet of that class name; `KeyError` if there is none."""
        for found in self.chainlets:
            if found.spec.class_name == class_name:
                return found
        raise KeyError(class_name)


class DiscoveryReply(Frozen):
    """What the discovery child writes: a spec, or the diagnostics that prevented one."""

    spec: ChainSpec | None = None
    diagnostics: tuple[Diagnostic, ...] = ()


__all__ = [
    "AssetsSpec",
    "AutoscalingSpec",
    "ChainSpec",
    "ChainletKind",
    "ChainletSpec",
    "ComputeSpec",
    "DependencySpec",
    "DiscoveredChainlet",
    "DiscoveryReply",
    "EndpointSpec",
    "ImageSpec",
    "LocalSources",
    "MockSpec",
    "OptionsSpec",
    "ParameterSpec",
    "PythonSpec",
    "RPCOptions",
    "StreamItem",
]
