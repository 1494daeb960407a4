"""A wrapped Truss directory: what its `config.yaml` says, as data (G-60, G-61).

Comes in: the text of the file. Goes out: the settings that a Chainlet's spec has too, the whole
config with the defaults filled in, and the parts that our replicas cannot honour. Reads no file.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Location
from chains_protocol.spec import AssetsSpec, ChainletSpec, ComputeSpec, ImageSpec, OptionsSpec
from truss_chains.compute import parse_memory

TRUSS_FILE: Final = "config.yaml"

_Text = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int | float) else value)]
_Listed = Annotated[tuple[dict[str, JsonValue], ...], BeforeValidator(lambda value: value or ())]


class _Part(BaseModel):
    """Unknown keys are kept: a Truss may use what is newer than this."""

    model_config = ConfigDict(extra="allow", frozen=True)


class _Resources(_Part):
    cpu: _Text = "1"
    memory: _Text = "2Gi"
    accelerator: str | None = None
    instance_type: str | None = None


class _Runtime(_Part):
    predict_concurrency: int = 1
    streaming_read_timeout: int = 60
    enable_tracing_data: bool = False
    enable_debug_logs: bool = False
    is_websocket_endpoint: bool = False
    transport: dict[str, JsonValue] | None = None
    health_checks: dict[str, int | None] = Field(default_factory=dict)
    truss_server_version_override: str | None = None


class TrussConfig(_Part):
    """The settings that we use of a `config.yaml`, with the original's defaults."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    python_version: str | None = None
    model_module_dir: str = "model"
    bundled_packages_dir: str = "packages"
    requirements: tuple[str, ...] = ()
    requirements_file: str | None = None
    system_packages: tuple[str, ...] = ()
    build_commands: tuple[str, ...] = ()
    environment_variables: dict[str, _Text] = Field(default_factory=dict)
    secrets: dict[str, JsonValue] = Field(default_factory=dict)
    external_package_dirs: tuple[str, ...] = ()
    base_image: dict[str, JsonValue] | None = None
    external_data: _Listed = ()
    model_cache: _Listed = ()
    weights: _Listed = ()
    model_metadata: dict[str, JsonValue] | None = None
    docker_server: dict[str, JsonValue] | None = None
    trt_llm: dict[str, JsonValue] | None = None
    resources: _Resources = _Resources()
    runtime: _Runtime = _Runtime()

    @property
    def foreign_server(self) -> str | None:
        """Why no process of ours can serve it; None if one can."""
        if self.docker_server is not None:
            return "brings a server of its own in its image (`docker_server`)"
        if self.trt_llm is not None:
            return "is served by a built engine (`trt_llm`)"
        return None


def read_truss_config(text: str, path: str) -> tuple[TrussConfig, dict[str, Any]]:
    """The settings, and the document as it was written.

    Args:
        text: of the `config.yaml`.
        path: of that file, for messages.

    Raises:
        DiagnosticsError: CH209, it is no YAML mapping, or a value has the wrong type.
    """
    import yaml  # only Chains that wrap a Truss need it

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        raise _unusable(path, f"it is no valid YAML: {getattr(error, 'problem', error)}", line) from error
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise _unusable(path, "it is no mapping of settings")
    given = {str(key): value for key, value in document.items() if value is not None}
    try:
        return TrussConfig.model_validate(given), document
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in found["loc"])
        raise _unusable(path, f"`{where}`: {found['msg']}") from error


def with_settings(spec: ChainletSpec, config: TrussConfig, path: str) -> ChainletSpec:
    """The spec with what the wrapped Truss asks for, so that a platform sees its needs.

    Raises:
        DiagnosticsError: CH209, a value of `resources` is not understood.
    """
    runtime = config.runtime
    transport = runtime.transport or {}
    is_websocket = runtime.is_websocket_endpoint or transport.get("kind") == "websocket"
    return spec.model_copy(
        update={
            "compute": _compute(config, path),
            "image": ImageSpec(
                python_version=python_version(config.python_version),
                custom_image=config.base_image,
                apt_requirements=config.system_packages,
                build_commands=config.build_commands,
                truss_server_version=runtime.truss_server_version_override,
            ),
            "assets": AssetsSpec(
                secret_keys=tuple(sorted(config.secrets)),
                cached=config.model_cache,
                external_data=config.external_data,
                weights=config.weights,
            ),
            "options": OptionsSpec(
                enable_tracing=runtime.enable_tracing_data,
                enable_debug_logs=runtime.enable_debug_logs,
                env_variables=config.environment_variables,
                health_checks=runtime.health_checks,
                metadata=config.model_metadata,
                streaming_read_timeout_s=runtime.streaming_read_timeout,
                transport=runtime.transport,
            ),
            "endpoint": spec.endpoint.model_copy(
                update={"is_websocket": is_websocket, "method_name": "predict"}
            ),
        }
    )


def python_version(given: str | None) -> str | None:
    """`py311` as "3.11"; None if it is not said."""
    digits = (given or "").removeprefix("py").replace(".", "")
    return f"{digits[0]}.{digits[1:]}" if digits[1:].isdecimal() else None


def merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` over `defaults`, mapping by mapping; a value of None does not replace one."""
    result = dict(defaults)
    for key, value in given.items():
        below = result.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            result[str(key)] = merged(below, value)
        elif value is not None or key not in result:
            result[str(key)] = value
    return result


def _compute(config: TrussConfig, path: str) -> ComputeSpec:
    resources = config.resources
    gpu, _, count = (resources.accelerator or "").partition(":")
    try:
        return ComputeSpec(
            cpu_count=_whole_cpus(resources.cpu),
            memory=resources.memory,
            memory_bytes=parse_memory(resources.memory),
            gpu=gpu or None,
            gpu_count=int(count) if count else 1,
            predict_concurrency=config.runtime.predict_concurrency,
            instance_type=resources.instance_type,
        )
    except ValueError as error:
        raise _unusable(path, f"`resources`: {error}") from error


def _whole_cpus(text: str) -> int:
    """`"2"` is 2, `"1500m"` is 2: a replica counts whole processors."""
    thousandths = int(text.removesuffix("m")) if text.endswith("m") else round(float(text) * 1000)
    return max(1, -(-thousandths // 1000))


def _unusable(path: str, why: str, line: int | None = None) -> DiagnosticsError:
    return DiagnosticsError(
        [
            Diagnostic(
                code=Code.UNREADABLE_FILE,
                message=f"`{TRUSS_FILE}` of a wrapped Truss cannot be used: {why}",
                location=Location(path=path, line=line),
                help="correct the file",
            )
        ]
    )


__all__ = ["TRUSS_FILE", "TrussConfig", "merged", "python_version", "read_truss_config", "with_settings"]
