"""Every field of the settings has a whole package in `tests/golden/packages` that shows it.

The table names, for each field, the package and what stands there because of it. A new field
without a line here fails; so does a line whose package lost what it shows.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from tests.unit.chains_cli.packaging.test_golden import CASES
from truss_chains.assets import AssetSpec, ExternalDataItem, ModelRepo, WeightsAuth, WeightsSource
from truss_chains.chainlet import EngineBuilderLLMChainlet, TrussChainlet
from truss_chains.compute import Compute, ComputeSpec
from truss_chains.config import (
    Autoscaling,
    ChainletOptions,
    GRPCOptions,
    HealthChecks,
    HTTPOptions,
    RemoteConfig,
    RPCOptions,
    WebsocketOptions,
)
from truss_chains.images import BasetenImage, CustomImage, DockerAuthSettings, DockerImage

GOLDEN = Path(__file__).parents[3] / "golden" / "packages"
SETTINGS: tuple[type[BaseModel], ...] = (
    RemoteConfig,
    DockerImage,
    CustomImage,
    DockerAuthSettings,
    ComputeSpec,
    AssetSpec,
    ModelRepo,
    ExternalDataItem,
    WeightsSource,
    WeightsAuth,
    ChainletOptions,
    HealthChecks,
    HTTPOptions,
    WebsocketOptions,
    GRPCOptions,
    RPCOptions,
    Autoscaling,
)

SHOWN: dict[str, tuple[str, str]] = {
    "RemoteConfig.docker_image": ("fields.CustomImage", 'base_image: {"docker_auth"'),
    "RemoteConfig.compute": ("fields.with-options", 'cpu: "4"'),
    "RemoteConfig.assets": ("fields.with-options", "secrets: {"),
    "RemoteConfig.name": ("fields.with-options", 'model_name: "with-options"'),
    "RemoteConfig.options": ("fields.with-options", "enable_tracing_data: true"),
    "RemoteConfig.build_commands": ("fields.CustomImage", 'build_commands: ["echo one", "echo \'two\'"]'),
    "RemoteConfig.autoscaling": ("fields.Caches", '"autoscaling":{"concurrency_target":4'),
    "DockerImage.base_image": ("fields.PipFile", 'python_version: "py311"'),
    "DockerImage.requirements_file": ("fields.Locked", "iniconfig==2.0.0"),
    "DockerImage.pip_requirements_file": ("fields.Caches", "\nattrs\n"),
    "DockerImage.pip_requirements": ("fields.PipFile", "\nsix==1.16.0\n"),
    "DockerImage.apt_requirements": ("fields.CustomImage", 'system_packages: ["libsndfile1", "ffmpeg"]'),
    "DockerImage.data_dir": ("fields.Files", "=== data/words.txt"),
    "DockerImage.external_package_dirs": ("fields.Files", "=== packages/vendored/__init__.py"),
    "DockerImage.truss_server_version_override": (
        "fields.CustomImage",
        'truss_server_version_override: "0.9.90"',
    ),
    "CustomImage.image": ("fields.CustomImage", '"image": "registry.example.com/base:1"'),
    "CustomImage.python_executable_path": (
        "fields.CustomImage",
        '"python_executable_path": "/usr/bin/python3"',
    ),
    "CustomImage.docker_auth": ("fields.CustomImage", '"docker_auth": {"auth_method": "REGISTRY_SECRET"'),
    "DockerAuthSettings.auth_method": ("fields.Caches", '"auth_method": "AWS_OIDC"'),
    "DockerAuthSettings.registry": ("fields.CustomImage", '"registry": "registry.example.com"'),
    "DockerAuthSettings.secret_name": ("fields.CustomImage", '"secret_name": "registry_key"'),
    "DockerAuthSettings.aws_access_key_id_secret_name": (
        "fields.CustomImage",
        '"aws_access_key_id_secret_name": "their_id"',
    ),
    "DockerAuthSettings.aws_secret_access_key_secret_name": (
        "fields.CustomImage",
        '"aws_secret_access_key_secret_name": "their_key"',
    ),
    "DockerAuthSettings.aws_oidc_role_arn": ("fields.Caches", '"aws_oidc_role_arn": "arn:aws:iam::1:role/r"'),
    "DockerAuthSettings.aws_oidc_region": ("fields.Caches", '"aws_oidc_region": "us-1"'),
    "DockerAuthSettings.gcp_oidc_service_account": (
        "fields.Locked",
        '"gcp_oidc_service_account": "a@p.iam"',
    ),
    "DockerAuthSettings.gcp_oidc_workload_id_provider": (
        "fields.Locked",
        '"gcp_oidc_workload_id_provider": "projects/1/providers/p"',
    ),
    "ComputeSpec.cpu_count": ("fields.with-options", 'cpu: "4"'),
    "ComputeSpec.memory": ("fields.with-options", 'memory: "16Gi"'),
    "ComputeSpec.gpu": ("fields.with-options", 'accelerator: "A10G:2"'),
    "ComputeSpec.gpu_count": ("fields.with-options", 'accelerator: "A10G:2"'),
    "ComputeSpec.predict_concurrency": ("fields.with-options", "predict_concurrency: 4"),
    "ComputeSpec.instance_type": ("fields.PipFile", 'instance_type: "L4:8x32"'),
    "AssetSpec.secret_keys": ("fields.with-options", '"hf_token": "***"'),
    "AssetSpec.cached": ("fields.Caches", "model_cache: [{"),
    "AssetSpec.external_data": ("fields.Caches", "external_data: [{"),
    "AssetSpec.weights": ("fields.with-options", "\nweights: [{"),
    "ModelRepo.repo_id": ("fields.Caches", '"repo_id": "owner/model"'),
    "ModelRepo.revision": ("fields.Caches", '"revision": "main"'),
    "ModelRepo.allow_patterns": ("fields.Caches", '"allow_patterns": ["*.json"]'),
    "ModelRepo.ignore_patterns": ("fields.Caches", '"ignore_patterns": ["*.bin"]'),
    "ModelRepo.volume_folder": ("fields.Caches", '"volume_folder": "model"'),
    "ModelRepo.use_volume": ("fields.Caches", '"use_volume": true'),
    "ModelRepo.kind": ("fields.Caches", '"kind": "gcs"'),
    "ModelRepo.runtime_secret_name": ("fields.Caches", '"runtime_secret_name": "hf_token"'),
    "ExternalDataItem.url": ("fields.Caches", '"url": "https://example.com/words.txt"'),
    "ExternalDataItem.local_data_path": ("fields.Caches", '"local_data_path": "words.txt"'),
    "ExternalDataItem.backend": ("fields.Caches", '"backend": "http_public"'),
    "ExternalDataItem.name": ("fields.Caches", '"name": "words"'),
    "WeightsSource.source": ("fields.with-options", '"source": "hf://owner/model@main"'),
    "WeightsSource.mount_location": ("fields.with-options", '"mount_location": "/weights"'),
    "WeightsSource.auth": ("fields.with-options", '"auth": {"auth_method": "AWS_OIDC"'),
    "WeightsSource.auth_secret_name": ("fields.with-options", '{"auth_secret_name": "hf_key"'),
    "WeightsSource.allow_patterns": ("fields.with-options", '"allow_patterns": ["*.safetensors"]'),
    "WeightsSource.ignore_patterns": ("fields.with-options", '"ignore_patterns": ["*.bin"]'),
    "WeightsAuth.auth_method": ("fields.with-options", '"auth_method": "CUSTOM_SECRET"'),
    "WeightsAuth.auth_secret_name": ("fields.with-options", '"auth_secret_name": "aws_key"'),
    "WeightsAuth.aws_oidc_role_arn": ("fields.with-options", '"aws_oidc_role_arn": "arn:aws:iam::1:role/r"'),
    "WeightsAuth.aws_oidc_region": ("fields.with-options", '"aws_oidc_region": "us-1"'),
    "WeightsAuth.gcp_oidc_service_account": (
        "fields.with-options",
        '"gcp_oidc_service_account": "a@p.iam"',
    ),
    "WeightsAuth.gcp_oidc_workload_id_provider": (
        "fields.with-options",
        '"gcp_oidc_workload_id_provider": "projects/1/providers/p"',
    ),
    "ChainletOptions.enable_b10_tracing": ("fields.with-options", "enable_tracing_data: true"),
    "ChainletOptions.enable_debug_logs": ("fields.with-options", "enable_debug_logs: true"),
    "ChainletOptions.env_variables": ("fields.with-options", 'environment_variables: {"MODE": "fast"'),
    "ChainletOptions.health_checks": ("fields.with-options", 'health_checks: {"restart_check_delay'),
    "ChainletOptions.metadata": ("fields.with-options", '"levels": [1, 2.5, null]'),
    "ChainletOptions.streaming_read_timeout": ("fields.with-options", "streaming_read_timeout: 120"),
    "ChainletOptions.transport": ("fields.Socket", "is_websocket_endpoint: true"),
    "HealthChecks.restart_check_delay_seconds": ("fields.with-options", '"restart_check_delay_seconds": 60'),
    "HealthChecks.restart_threshold_seconds": ("fields.with-options", '"restart_threshold_seconds": 600'),
    "HealthChecks.stop_traffic_threshold_seconds": (
        "fields.with-options",
        '"stop_traffic_threshold_seconds": 30',
    ),
    "HealthChecks.startup_threshold_seconds": ("fields.with-options", '"startup_threshold_seconds": 900'),
    "HTTPOptions.kind": ("fields.Entry", 'transport: {"kind": "http"}'),
    "WebsocketOptions.kind": ("fields.Socket", '"kind": "websocket"'),
    "WebsocketOptions.ping_interval_seconds": ("fields.Socket", '"ping_interval_seconds": 5.0'),
    "WebsocketOptions.ping_timeout_seconds": ("fields.Socket", '"ping_timeout_seconds": null'),
    "GRPCOptions.kind": ("fields.Caches", 'transport: {"kind": "grpc"}'),
    "RPCOptions.retries": ("fields.Entry", '"retries": 2'),
    "RPCOptions.timeout_sec": ("fields.Entry", '"timeout_sec": 1.5'),
    "RPCOptions.use_binary": ("fields.Entry", '"use_binary": true'),
    "RPCOptions.concurrency_limit": ("fields.Entry", '"concurrency_limit": 7'),
    "Autoscaling.min_replicas": ("fields.Caches", '"min_replicas":0'),
    "Autoscaling.max_replicas": ("fields.Caches", '"max_replicas":3'),
    "Autoscaling.concurrency_target": ("fields.Caches", '"concurrency_target":4'),
    "Autoscaling.window_s": ("fields.Caches", '"window_s":30.0'),
    "Autoscaling.scale_down_delay_s": ("fields.Caches", '"scale_down_delay_s":60.0'),
    "TrussChainlet.truss_dir": ("fields.Wrapped", "# a user's own Truss"),
    "EngineBuilderLLMChainlet.engine_builder_config": ("engine.Engine", "trt_llm: {"),
}

REQUIREMENTS = {
    "an included file": ("fields.PipFile", "\nattrs\n"),
    "a constraint on a named project": ("fields.PipFile", "\nattrs==23.2.0\n"),
    "a constraint on another project": ("fields.PipFile", "=== pip_constraints.txt"),
    "a hash": ("fields.PipFile", "idna==3.7 --hash=sha256:82fee1fc"),
    "a marker": ("fields.PipFile", 'colorama==0.4.6; sys_platform == "win32"'),
    "a project file": ("fields.Project", "\niniconfig>=2\n"),
    "a lock": ("fields.Locked", "\niniconfig==2.0.0\n"),
    "an implicit requirement's runtime": ("fields.PipFile", "\nmsgpack>=1.1\n"),
}


def fields() -> Iterator[str]:
    """Every field that an author can set."""
    for settings in SETTINGS:
        yield from (f"{settings.__name__}.{name}" for name in settings.model_fields)
    for declared in (TrussChainlet, EngineBuilderLLMChainlet):
        yield from (f"{declared.__name__}.{name}" for name in inspect.get_annotations(declared))


def test_every_field_has_a_package_that_shows_it() -> None:
    assert set(fields()) == set(SHOWN)


def test_no_part_of_the_settings_is_left_out() -> None:
    """What an author writes into `remote_config` consists of these classes and of nothing else."""
    written = set(inspect.signature(Compute).parameters)
    assert written == set(ComputeSpec.model_fields)
    known = {settings.__name__ for settings in SETTINGS} | {"Compute", "Assets", "BasetenImage", "AbsPath"}
    for settings in SETTINGS:
        for name, field in settings.model_fields.items():
            named = {part for part in known if part in str(field.annotation)}
            assert named or "truss_chains" not in str(field.annotation), f"{settings.__name__}.{name}"
    assert BasetenImage.PY311.python_version == "3.11"


@pytest.mark.parametrize(
    ("package", "text"), [*SHOWN.values(), *REQUIREMENTS.values()], ids=[*SHOWN, *REQUIREMENTS]
)
def test_the_package_shows_the_field(package: str, text: str) -> None:
    """And a test compares that package as a whole."""
    program, _, name = package.partition(".")
    assert (program, name) in {(case[0], case[3]) for case in CASES}
    assert text in (GOLDEN / f"{package}.txt").read_text()
