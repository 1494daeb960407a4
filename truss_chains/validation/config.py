"""Rules about class variables: V-10 to V-13."""

from collections.abc import Iterator

from chains_protocol.errors import Code, Diagnostic, ErrorKind
from chains_protocol.kinds import ChainletKind
from truss_chains.chainlet import AbstractChainlet, EngineBuilderLLMChainlet, chainlet_kind
from truss_chains.inspection import MISSING, class_attribute, endpoint_function, has_websocket
from truss_chains.validation.subject import Subject


def check_remote_config(subject: Subject) -> Iterator[Diagnostic]:
    """V-10: `remote_config` is a `RemoteConfig`."""
    if not _sets_config(subject):
        return
    from truss_chains.config import RemoteConfig

    given = class_attribute(subject.cls, "remote_config")
    if not isinstance(given, RemoteConfig):
        yield subject.problem(
            Code.BAD_REMOTE_CONFIG,
            ErrorKind.TYPE_ERROR,
            f"`remote_config` of `{subject.name}` has the type `{type(given).__name__}`, not `RemoteConfig`",
            "write `remote_config = chains.RemoteConfig(...)`",
            at=subject.sources.of_class_variable(subject.cls, "remote_config"),
        )


def check_engine_builder(subject: Subject) -> Iterator[Diagnostic]:
    """V-11, V-12: the engine's description, and settings that an engine can't have."""
    if chainlet_kind(subject.cls) is not ChainletKind.ENGINE_BUILDER:
        return
    from truss_chains.engine_builder import is_engine_config

    engine = class_attribute(subject.cls, "engine_builder_config")
    if not is_engine_config(engine):
        given = "missing" if engine is MISSING else f"of the type `{type(engine).__name__}`"
        yield subject.problem(
            Code.BAD_ENGINE_BUILDER,
            ErrorKind.TYPE_ERROR,
            f"`engine_builder_config` of `{subject.name}` is {given}, not a `TRTLLMConfiguration`",
            "set it to a TensorRT-LLM configuration object",
            at=subject.sources.of_class_variable(subject.cls, "engine_builder_config"),
        )
    yield from _check_engine_method(subject)
    changed = _changed_engine_settings(subject)
    if changed:
        listed = ", ".join(f"`{name}`" for name in changed)
        yield subject.problem(
            Code.BAD_ENGINE_BUILDER,
            ErrorKind.INVALID_CONFIG_ERROR,
            f"an engine-builder Chainlet can't set {listed} in `remote_config`",
            "leave these settings at their defaults",
            at=subject.sources.of_class_variable(subject.cls, "remote_config"),
        )


def _check_engine_method(subject: Subject) -> Iterator[Diagnostic]:
    """The method is the framework's: an engine answers, no code of the class is run."""
    function = endpoint_function(subject.cls)
    if function is not endpoint_function(EngineBuilderLLMChainlet) and not subject.inherits("run_remote"):
        yield subject.problem(
            Code.BAD_ENGINE_BUILDER,
            ErrorKind.TYPE_ERROR,
            f"`{subject.name}` overrides `run_remote`, which an engine answers",
            "remove the method, or derive from `ChainletBase`",
            at=subject.sources.of_method(subject.cls, function),
            method="run_remote",
        )


def _changed_engine_settings(subject: Subject) -> list[str]:
    from truss_chains.config import DockerImage, HealthChecks, RemoteConfig

    config = getattr(subject.cls, "remote_config", None)
    if not isinstance(config, RemoteConfig):
        return []
    assets = config.get_asset_spec()
    checks = {
        "docker_image": config.docker_image != DockerImage(),
        "assets.cached": bool(assets.cached),
        "assets.external_data": bool(assets.external_data),
        "options.health_checks": config.options.health_checks != HealthChecks(),
    }
    return [name for name, is_changed in checks.items() if is_changed]


def check_transport(subject: Subject) -> Iterator[Diagnostic]:
    """V-13: the transport fits the endpoint."""
    if not _sets_config(subject) or chainlet_kind(subject.cls) is ChainletKind.TRUSS:
        return
    options = getattr(class_attribute(subject.cls, "remote_config"), "options", None)
    transport = getattr(options, "transport", None)
    if transport is None:
        return
    wants_websocket = has_websocket(subject.cls, skip_unresolved=subject.is_final)
    if wants_websocket == (transport.kind == "websocket"):
        return
    endpoint = "a websocket" if wants_websocket else "an HTTP"
    yield subject.problem(
        Code.BAD_TRANSPORT,
        ErrorKind.INVALID_CONFIG_ERROR,
        f"`{subject.name}` has {endpoint} endpoint, but `options.transport` is `{transport.kind}`",
        "leave `transport` out, or choose the one that fits the endpoint",
        at=subject.sources.of_class_variable(subject.cls, "remote_config"),
    )


def _sets_config(subject: Subject) -> bool:
    """The class, or another than the framework's that it derives from, has a `remote_config`."""
    given = class_attribute(subject.cls, "remote_config")
    return given is not class_attribute(AbstractChainlet, "remote_config")


__all__ = ["check_engine_builder", "check_remote_config", "check_transport"]
