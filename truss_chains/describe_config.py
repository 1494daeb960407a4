"""The settings of a Chainlet class -> their specs and the local files behind them."""

from pathlib import Path
from typing import Any

from chains_protocol.errors import Code, Diagnostic, ErrorKind
from chains_protocol.kinds import ChainletKind
from chains_protocol.spec import (
    AssetsSpec,
    AutoscalingSpec,
    ComputeSpec,
    ImageSpec,
    LocalSources,
    OptionsSpec,
)
from truss_chains.chainlet import AbstractChainlet, chainlet_kind, declaration_of
from truss_chains.config import BasetenImage, CustomImage, RemoteConfig
from truss_chains.errors import MissingDependencyError
from truss_chains.inspection import defining_class
from truss_chains.paths import AbsPath
from truss_chains.source import Sources


def compute_spec(config: RemoteConfig) -> ComputeSpec:
    """`Compute`, with memory in bytes."""
    spec = config.get_compute_spec()
    return ComputeSpec(**spec.model_dump(), memory_bytes=spec.memory_bytes)


def image_spec(config: RemoteConfig) -> ImageSpec:
    """`DockerImage`. The Python version only if the user chose one (by naming `base_image`)."""
    image = config.docker_image
    chosen = image.base_image if "base_image" in image.model_fields_set else None
    custom = image.base_image if isinstance(image.base_image, CustomImage) else None
    return ImageSpec(
        python_version=chosen.python_version if isinstance(chosen, BasetenImage) else None,
        custom_image=custom.model_dump(mode="json", exclude_none=True) if custom else None,
        pip_requirements=tuple(image.pip_requirements),
        apt_requirements=tuple(image.apt_requirements),
        truss_server_version=image.truss_server_version_override,
        build_commands=tuple(config.build_commands),
    )


def assets_spec(config: RemoteConfig) -> AssetsSpec:
    """`Assets` in the form of a Truss config."""
    dumped = config.get_asset_spec().model_dump(mode="json", exclude_none=True)
    return AssetsSpec(
        secret_keys=tuple(dumped["secret_keys"]),
        cached=tuple(dumped["cached"]),
        external_data=tuple(dumped["external_data"]),
        weights=tuple(dumped["weights"]),
    )


def options_spec(config: RemoteConfig) -> OptionsSpec:
    """`ChainletOptions`, field by field."""
    options = config.options
    return OptionsSpec(
        enable_tracing=options.enable_b10_tracing,
        enable_debug_logs=options.enable_debug_logs,
        env_variables=dict(options.env_variables),
        health_checks=options.health_checks.model_dump(exclude_none=True),
        metadata=options.metadata,
        streaming_read_timeout_s=options.streaming_read_timeout,
        transport=options.transport.model_dump() if options.transport else None,
    )


def autoscaling_spec(config: RemoteConfig) -> AutoscalingSpec:
    """`Autoscaling`, field by field."""
    return AutoscalingSpec(**config.autoscaling.model_dump())


def engine_spec(cls: type[AbstractChainlet]) -> dict[str, Any] | None:
    """The engine's description of an engine-builder Chainlet, as JSON."""
    if chainlet_kind(cls) is not ChainletKind.ENGINE_BUILDER:
        return None
    config = getattr(cls, "engine_builder_config", None)
    dumped: dict[str, Any] | None = config.model_dump(mode="json", exclude_none=True) if config else None
    return dumped


def local_sources(cls: type[AbstractChainlet], sources: Sources, problems: list[Diagnostic]) -> LocalSources:
    """The files of this machine that feed the package; missing ones are added to `problems`."""
    image = cls.remote_config.docker_image

    def path_of(given: AbsPath | None) -> str | None:
        try:
            return given.abs_path if given else None
        except MissingDependencyError as error:
            problems.append(_missing_path(cls, sources, str(error).removeprefix(f"{Code.PATH_NOT_FOUND}: ")))
            return None

    directories = [path_of(directory) for directory in image.external_package_dirs or ()]
    return LocalSources(
        requirements_file=path_of(image.requirements_file),
        data_dir=path_of(image.data_dir),
        external_package_dirs=tuple(directory for directory in directories if directory),
        truss_dir=str(truss_dir(cls)) if chainlet_kind(cls) is ChainletKind.TRUSS else None,
    )


def truss_dir(cls: type) -> Path:
    """The directory that a `TrussChainlet` wraps, relative to the file that declares it (V-72)."""
    given: str | Path = cls.truss_dir  # type: ignore[attr-defined]  # V-70 has been checked
    owner = defining_class(cls, "truss_dir")
    return Path(declaration_of(owner).path).parent / given


def _missing_path(cls: type, sources: Sources, message: str) -> Diagnostic:
    return Diagnostic(
        code=Code.PATH_NOT_FOUND,
        kind=ErrorKind.INVALID_CONFIG_ERROR,
        location=sources.of_class_variable(cls, "remote_config"),
        chainlet=cls.__name__,
        message=message,
        help="correct the path; relative ones are resolved against the file they are written in",
    )


__all__ = [
    "assets_spec",
    "autoscaling_spec",
    "compute_spec",
    "engine_spec",
    "image_spec",
    "local_sources",
    "options_spec",
    "truss_dir",
]
