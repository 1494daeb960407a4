"""1.8: settings. Strict, checked on assignment, closed or open."""

import logging

import pytest
from pydantic import ValidationError

import truss_chains as chains
from truss_chains.assets import ExternalDataItem, ModelRepo, WeightsAuth
from truss_chains.compute import Accelerator, parse_memory
from truss_chains.config import HealthChecks, RPCOptions, WebsocketOptions
from truss_chains.errors import ChainsUsageError
from truss_chains.images import DockerAuthSettings
from truss_chains.paths import AbsPath, make_abs_path_here


def path(name: str = "x") -> AbsPath:
    return make_abs_path_here(name)


def test_defaults():
    config = chains.RemoteConfig()
    assert config.name is None
    assert config.build_commands == []
    assert config.docker_image.base_image is chains.BasetenImage.PY311
    assert config.options.streaming_read_timeout == 60
    assert config.options.health_checks == HealthChecks()
    assert config.get_compute_spec().model_dump() == {
        "cpu_count": 1,
        "memory": "2Gi",
        "gpu": None,
        "gpu_count": 1,
        "predict_concurrency": 1,
        "instance_type": None,
    }
    assert config.get_asset_spec().secret_keys == []
    assert config.autoscaling == chains.Autoscaling()


@pytest.mark.parametrize("cls", [chains.RemoteConfig, chains.DockerImage, chains.ChainletOptions])
def test_closed_settings_refuse_unknown_fields(cls):
    with pytest.raises(ValidationError):
        cls(unknown=1)


def test_open_settings_ignore_unknown_fields():
    assert not hasattr(RPCOptions(unknown=1), "unknown")
    assert not hasattr(chains.CustomImage(image="i", unknown=1), "unknown")
    assert not hasattr(chains.Environment(name="e", unknown=1), "unknown")


@pytest.mark.parametrize(
    ("settings", "field", "value"),
    [
        (chains.RemoteConfig(), "name", 3),
        (chains.RemoteConfig(), "compute", {"cpu_count": 1}),
        (chains.DockerImage(), "pip_requirements", "torch"),
        (chains.DockerImage(), "requirements_file", "requirements.txt"),
        (chains.ChainletOptions(), "streaming_read_timeout", "2"),
        (RPCOptions(), "retries", 1.5),
        (chains.Autoscaling(), "max_replicas", 0),
    ],
)
def test_types_are_strict_on_assignment_too(settings, field, value):
    with pytest.raises(ValidationError):
        setattr(settings, field, value)
    with pytest.raises(ValidationError):
        type(settings)(**{field: value})


def test_specs_are_copies():
    config = chains.RemoteConfig(assets=chains.Assets(secret_keys=["a"]))
    config.get_asset_spec().secret_keys.append("b")
    config.get_compute_spec().cpu_count = 9
    assert config.get_asset_spec().secret_keys == ["a"]
    assert config.get_compute_spec().cpu_count == 1


def test_a_base_image_is_no_text():
    with pytest.raises(ChainsUsageError) as caught:
        chains.DockerImage(base_image="python:3.11")
    assert "`BasetenImage`" in str(caught.value) and "`CustomImage`" in str(caught.value)
    image = chains.DockerImage()
    with pytest.raises(ChainsUsageError):
        image.base_image = "python:3.11"


def test_python_versions_of_base_images():
    assert {image.value: image.python_version for image in chains.BasetenImage} == {
        "py39": "3.9",
        "py310": "3.10",
        "py311": "3.11",
        "py312": "3.12",
        "py313": "3.13",
    }


def test_the_deprecated_name_of_the_requirements_file(caplog):
    given = path("requirements.txt")
    with caplog.at_level(logging.WARNING):
        image = chains.DockerImage(pip_requirements_file=given)
    assert image.requirements_file == given
    assert "pip_requirements_file" in caplog.text
    image.pip_requirements = ["torch"]
    assert image.requirements_file == given
    with pytest.raises(ChainsUsageError, match="CH115"):
        chains.DockerImage(pip_requirements_file=given, requirements_file=path("other.txt"))


@pytest.mark.parametrize("version", ["0.9.1", "0.9.1rc2", "v1.0", "1.2.dev3"])
def test_server_versions(version):
    assert chains.DockerImage(truss_server_version_override=version).truss_server_version_override == version


def test_a_server_version_has_to_be_one():
    with pytest.raises(ValidationError, match="newest"):
        chains.DockerImage(truss_server_version_override="newest")


def test_custom_images():
    image = chains.CustomImage(
        image="registry/x:1",
        python_executable_path="/usr/bin/python3",
        docker_auth=DockerAuthSettings(auth_method="aws_iam", registry="r"),
    )
    assert image.docker_auth is not None and image.docker_auth.auth_method == "AWS_IAM"
    with pytest.raises(ValidationError, match="absolute"):
        chains.CustomImage(image="x", python_executable_path="python3")
    with pytest.raises(ValidationError, match="magic"):
        DockerAuthSettings(auth_method="magic")


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("2Gi", 2 * 1024**3),
        ("500M", 500_000_000),
        ("1.5Gi", 1610612736),
        ("1k", 1000),
        ("1Ki", 1024),
        ("3E", 3 * 10**18),
        ("1Ei", 1024**6),
        ("1048576", 1048576),
    ],
)
def test_amounts_of_memory(text, size_bytes):
    assert parse_memory(text) == size_bytes
    assert chains.Compute(memory=text).get_spec().memory_bytes == size_bytes


@pytest.mark.parametrize("text", ["", "2GB", "Gi", "-1Gi", "2 Gi", "1K", "two", "1e3"])
def test_no_amounts_of_memory(text):
    with pytest.raises(ValueError, match="amount of memory"):
        parse_memory(text)
    with pytest.raises(ValueError, match="amount of memory"):
        chains.Compute(memory=text)


def test_accelerators():
    assert chains.Compute(gpu="L4", gpu_count=2).get_spec().gpu == "L4"
    assert chains.Compute(gpu=Accelerator.H100_40GB).get_spec().gpu == "H100_40GB"
    assert len(Accelerator) == 14
    with pytest.raises(ValueError, match="`P100`"):
        chains.Compute(gpu="P100")
    with pytest.raises(ValueError, match="gpu_count"):
        chains.Compute(gpu="A10G:2")


def test_predict_concurrency():
    assert chains.Compute(cpu_count=4, predict_concurrency="cpu_count").get_spec().predict_concurrency == 4
    assert chains.Compute(cpu_count=4, predict_concurrency=7).get_spec().predict_concurrency == 7
    with pytest.raises(ChainsUsageError, match=r'"cpu_count", not "many"'):
        chains.Compute(predict_concurrency="many")


@pytest.mark.parametrize(
    "wrong", [{"cpu_count": 0}, {"cpu_count": "2"}, {"gpu_count": 0}, {"predict_concurrency": 0}]
)
def test_compute_is_checked(wrong):
    with pytest.raises(ValidationError):
        chains.Compute(**wrong)


def test_compute_compares_by_value():
    assert chains.Compute(gpu="T4") == chains.Compute(gpu="T4") != chains.Compute()
    assert "T4" in repr(chains.Compute(gpu="T4"))


@pytest.mark.parametrize("name", ["secret_keys", "cached", "external_data", "weights"])
def test_wp33_a_text_is_no_list(name):
    with pytest.raises(ChainsUsageError, match=rf"`{name}` takes a list.*'hf_token'"):
        chains.Assets(**{name: "hf_token"})


def test_assets_take_any_iterable():
    spec = chains.Assets(
        secret_keys=(key for key in ("a", "b", "a")),
        cached=(ModelRepo(repo_id="a/b", use_volume=True),),
        external_data=[ExternalDataItem(url="https://x", local_data_path="x")],
    ).get_spec()
    assert spec.secret_keys == ["a", "b"]
    assert spec.cached[0].kind == "hf"
    assert spec.external_data[0].backend == "http_public"


def test_use_volume_is_required():
    with pytest.raises(ValidationError, match="use_volume"):
        ModelRepo(repo_id="a/b")


def test_cached_and_weights_exclude_each_other():
    weights = [chains.WeightsSource(source="hf://a/b", mount_location="/w")]
    with pytest.raises(ValueError, match="exclude"):
        chains.Assets(cached=[ModelRepo(repo_id="a/b", use_volume=True)], weights=weights)
    with pytest.raises(ValueError, match="more than once: /w"):
        chains.Assets(weights=weights * 2)


@pytest.mark.parametrize(
    "source", ["hf://a/b@main", "s3://b/k", "gs://b", "azure://a/c", "r2://x/y", "cw://b", "https://h/f"]
)
def test_sources_of_weights(source):
    assert chains.WeightsSource(source=source, mount_location="/w").source == source


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"source": "a/b", "mount_location": "/w"}, "hf://"),
        ({"source": "ftp://a/b", "mount_location": "/w"}, "ftp"),
        ({"source": "hf://", "mount_location": "/w"}, "hf://"),
        ({"source": "s3://a@main", "mount_location": "/w"}, "revision"),
        ({"source": "hf://a/b", "mount_location": "w"}, "absolute"),
        (
            {
                "source": "hf://a/b",
                "mount_location": "/w",
                "auth_secret_name": "s",
                "auth": WeightsAuth(auth_method="CUSTOM_SECRET", auth_secret_name="t"),
            },
            "twice",
        ),
    ],
)
def test_broken_sources_of_weights(fields, word):
    with pytest.raises(ValidationError, match=word):
        chains.WeightsSource(**fields)


def test_options():
    options = chains.ChainletOptions(
        env_variables={"A": "1"},
        metadata={"team": ["x", 1, None]},
        transport={"kind": "websocket", "ping_interval_seconds": 5.0},
        health_checks=HealthChecks(restart_threshold_seconds=30),
    )
    assert options.transport == WebsocketOptions(ping_interval_seconds=5.0)
    with pytest.raises(ValidationError):
        chains.ChainletOptions(env_variables={"A": 1})
    with pytest.raises(ValidationError):
        chains.ChainletOptions(transport={"kind": "carrier pigeon"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency_limit": 0},
        {"timeout_sec": 0},
        {"timeout_sec": -1.0},
        {"timeout_sec": float("inf")},
        {"timeout_sec": float("nan")},
        {"retries": -1},
        {"retries": "3"},
        {"use_binary": 1},
    ],
)
def test_wp32_options_of_calls_have_ranges(wrong):
    with pytest.raises(ValidationError):
        chains.depends(int, **wrong)


def test_options_of_calls_accept_an_int_as_seconds():
    assert RPCOptions(timeout_sec=3).timeout_sec == 3.0
    assert RPCOptions(retries=0).retries == 0


def test_autoscaling_bounds_are_ordered():
    assert chains.Autoscaling(min_replicas=0, max_replicas=10).min_replicas == 0
    with pytest.raises(ValidationError, match="above"):
        chains.Autoscaling(min_replicas=3, max_replicas=2)


@pytest.mark.parametrize(
    ("gpu", "remedy"),
    [("A10G:2", 'write `gpu="A10G", gpu_count=2`'), ("a10g", "did you mean `A10G`? known are T4, L4,")],
)
def test_an_unknown_accelerator_is_told_with_what_to_write(gpu, remedy):
    with pytest.raises(ValueError, match="CH115") as caught:
        chains.Compute(gpu=gpu)
    assert caught.value.remedy.startswith(remedy)
    assert str(caught.value) == f"CH115: `gpu` of `Compute`: `{gpu}` is not a known accelerator; " + (
        caught.value.remedy
    )
