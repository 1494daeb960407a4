"""ChainletSpec -> what the templates need: every decision about `config.yaml` (chapter 6.2, G-20, G-21)."""

from dataclasses import dataclass, field
from typing import Final

from pydantic import JsonValue

from chains_protocol.spec import ChainletKind, ChainletSpec, DependencySpec

REQUIREMENTS_FILE: Final = "pip_requirements.txt"
CONSTRAINTS_FILE: Final = "pip_constraints.txt"
MODEL_CLASS: Final = "Model"
CHAIN_KEY_SECRET: Final = "baseten_chain_api_key"  # noqa: S105 (the name of a secret)
SECRET_PLACEHOLDER: Final = "***"  # noqa: S105 (stands for a value that is never written)


@dataclass(frozen=True, slots=True)
class TrussConfigContext:
    """The fields of `config.yaml` that differ between Chainlets; `cpu` and `memory` as text with units."""

    display_name: str
    model_name: str
    model_class_name: str
    python_version: str
    requirements_file: str | None
    cpu: str
    memory: str
    accelerator: str | None
    instance_type: str | None
    predict_concurrency: int
    is_websocket: bool
    transport: JsonValue
    enable_tracing: bool
    enable_debug_logs: bool
    streaming_read_timeout_s: int
    health_checks: JsonValue
    truss_server_version: str | None
    base_image: JsonValue = None
    system_packages: JsonValue = field(default_factory=list)
    build_commands: JsonValue = field(default_factory=list)
    environment_variables: JsonValue = field(default_factory=dict)
    secrets: JsonValue = field(default_factory=dict)
    external_data: JsonValue = field(default_factory=list)
    model_cache: JsonValue = field(default_factory=list)
    weights: JsonValue = field(default_factory=list)
    trt_llm: JsonValue = None
    model_metadata: JsonValue = field(default_factory=dict)

    @property
    def use_gpu(self) -> bool:
        return self.accelerator is not None


@dataclass(frozen=True, slots=True)
class ModelContext:
    """What `model/model.py` names."""

    display_name: str
    model_class_name: str
    module: str
    qualname: str


def model_context(spec: ChainletSpec) -> ModelContext:
    """The context of the generated model."""
    return ModelContext(spec.display_name, MODEL_CLASS, spec.module, spec.qualname)


def config_context(spec: ChainletSpec, python_version: str) -> TrussConfigContext:
    """The context of `config.yaml`; `python_version` is "3.12"."""
    is_engine = spec.kind is ChainletKind.ENGINE_BUILDER and spec.mock is None
    compute, options, assets = spec.compute, spec.options, spec.assets
    return TrussConfigContext(
        display_name=spec.display_name,
        model_name=spec.display_name,
        model_class_name=MODEL_CLASS,
        python_version=f"py{python_version.replace('.', '')}",
        requirements_file=None if is_engine else REQUIREMENTS_FILE,
        cpu=str(compute.cpu_count),
        memory=compute.memory,
        accelerator=_accelerator(spec),
        instance_type=compute.instance_type,
        predict_concurrency=compute.predict_concurrency,
        is_websocket=spec.endpoint.is_websocket,
        transport=_transport(spec),
        enable_tracing=options.enable_tracing,
        enable_debug_logs=options.enable_debug_logs,
        streaming_read_timeout_s=options.streaming_read_timeout_s,
        health_checks=dict(options.health_checks),
        truss_server_version=spec.image.truss_server_version,
        base_image=spec.image.custom_image,
        system_packages=list(spec.image.apt_requirements),
        build_commands=list(spec.image.build_commands),
        environment_variables=dict(options.env_variables),
        secrets=_secrets(spec, with_chain_key=not is_engine),
        external_data=list(assets.external_data),
        model_cache=list(assets.cached),
        weights=list(assets.weights),
        trt_llm=spec.engine if is_engine else None,
        model_metadata=_metadata(spec, with_services=not is_engine),
    )


def _accelerator(spec: ChainletSpec) -> str | None:
    """`T4`, or `T4:2` for several."""
    compute = spec.compute
    if compute.gpu is None:
        return None
    return compute.gpu if compute.gpu_count == 1 else f"{compute.gpu}:{compute.gpu_count}"


def _transport(spec: ChainletSpec) -> JsonValue:
    """A websocket endpoint has the websocket transport, with the user's options; all else is HTTP."""
    given = spec.options.transport or {}
    if not spec.endpoint.is_websocket:
        return {"kind": given.get("kind", "http")}
    options = {key: value for key, value in given.items() if value is not None}
    return {"ping_interval_seconds": None, "ping_timeout_seconds": None, **options, "kind": "websocket"}


def _secrets(spec: ChainletSpec, *, with_chain_key: bool) -> JsonValue:
    names = (*spec.assets.secret_keys, *((CHAIN_KEY_SECRET,) if with_chain_key else ()))
    return dict.fromkeys(names, SECRET_PLACEHOLDER)


def _metadata(spec: ChainletSpec, *, with_services: bool) -> JsonValue:
    metadata: dict[str, JsonValue] = dict(spec.options.metadata or {})
    if with_services:
        services: dict[str, JsonValue] = {d.class_name: _service(d) for d in spec.dependencies}
        metadata["chains_metadata"] = {"chainlet_to_service": services}
    return metadata


def _service(dependency: DependencySpec) -> JsonValue:
    options = dependency.options
    return {
        "name": dependency.class_name,
        "display_name": dependency.display_name,
        "options": {
            "retries": options.retries,
            "timeout_sec": options.timeout_sec,
            "use_binary": options.use_binary,
            "concurrency_limit": options.concurrency_limit,
        },
    }


__all__ = [
    "CHAIN_KEY_SECRET",
    "CONSTRAINTS_FILE",
    "MODEL_CLASS",
    "REQUIREMENTS_FILE",
    "SECRET_PLACEHOLDER",
    "ModelContext",
    "TrussConfigContext",
    "config_context",
    "model_context",
]
