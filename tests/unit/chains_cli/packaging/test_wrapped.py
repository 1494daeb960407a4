"""The package of a wrapped Truss for our own replicas: what its `config.yaml` means there (G-60, G-61)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chains_cli.packaging.build import build_packages
from chains_cli.packaging.package import ChainPackages, Package
from chains_cli.packaging.truss_directory import merged, python_version
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.kinds import ChainletKind
from chains_protocol.spec import ChainletSpec, LocalSources
from tests.unit.chains_cli.packaging.conftest import Write, chain, chainlet

MODEL = "class Model:\n    def predict(self, inputs):\n        return inputs\n"


def packages(
    write: Write, config: str, files: Mapping[str, str] | None = None, **options: Any
) -> ChainPackages:
    root = write({"chain.py": "", "t/config.yaml": config, "t/model/model.py": MODEL, **(files or {})})
    found = chainlet("W", kind=ChainletKind.TRUSS, sources=LocalSources(truss_dir=str(root / "t")))
    return build_packages(chain(root, found), **options)


def wrapped(write: Write, config: str, files: Mapping[str, str] | None = None, **options: Any) -> Package:
    return packages(write, config, files, **options).package("W")


def refused(write: Write, config: str, **options: Any) -> Diagnostic:
    with pytest.raises(DiagnosticsError) as caught:
        wrapped(write, config, **options)
    (found,) = caught.value.diagnostics
    return found


SETTINGS = """\
python_version: py313
requirements: ["numpy>=1.26", "truss==0.9", "idna # why"]
system_packages: [ffmpeg]
build_commands: ["echo one"]
environment_variables: {MODE: fast, LEVEL: 3}
secrets: {hf_token: null, other: ""}
model_cache: [{repo_id: a/b, revision: main, use_volume: true, volume_folder: c}]
external_data: [{url: "https://example.com/x", local_data_path: x, backend: http_public}]
model_metadata: {team: audio}
base_image: {image: "registry.example.com/base:1"}
resources: {cpu: 1500m, memory: 3Gi, accelerator: "L4:2", use_gpu: true}
runtime:
  predict_concurrency: 8
  streaming_read_timeout: 30
  enable_debug_logs: true
  health_checks: {restart_threshold_seconds: 600}
"""


def test_its_settings_are_the_chainlets(write: Write) -> None:
    """So a platform sees a GPU that is not there, secrets that have no value, and how many calls it takes."""
    package = wrapped(write, SETTINGS)
    spec = package.manifest.spec
    assert (spec.compute.cpu_count, spec.compute.memory_bytes) == (2, 3 * 1024**3)
    assert (spec.compute.gpu, spec.compute.gpu_count, spec.compute.predict_concurrency) == ("L4", 2, 8)
    assert spec.assets.secret_keys == ("hf_token", "other")
    assert spec.assets.cached[0]["repo_id"] == "a/b"
    assert spec.assets.external_data[0]["url"] == "https://example.com/x"
    assert spec.options.env_variables == {"MODE": "fast", "LEVEL": "3"}
    assert (spec.options.streaming_read_timeout_s, spec.options.enable_debug_logs) == (30, True)
    assert spec.options.health_checks == {"restart_threshold_seconds": 600}
    assert spec.options.metadata == {"team": "audio"}
    assert (spec.image.apt_requirements, spec.image.build_commands) == (("ffmpeg",), ("echo one",))
    assert spec.image.custom_image == {"image": "registry.example.com/base:1"}
    assert ChainletSpec.model_validate_json(package.files["chains.json"]) == spec


def test_its_environment_is_its_own(write: Write) -> None:
    """`truss` is not installed: a replica brings what the model meets of it."""
    environment = wrapped(write, SETTINGS).manifest.environment
    assert environment.python_version == "3.13"
    assert environment.requirements == ("idna", "numpy>=1.26")


def test_its_constraints_and_indexes_hold(write: Write) -> None:
    files = {"t/r.txt": "-c c.txt\n--extra-index-url https://example.com/simple\na\n", "t/c.txt": "b<2\n"}
    environment = wrapped(write, "requirements_file: r.txt", files).manifest.environment
    assert environment.requirements == ("--extra-index-url https://example.com/simple", "a")
    assert environment.constraints == ("b<2",)


@pytest.mark.parametrize(
    ("name", "text"),
    [("requirements.txt", "-r more.txt\n"), ("pyproject.toml", "[project]\ndependencies = ['idna==3.7']\n")],
)
def test_its_requirements_file_counts(write: Write, name: str, text: str) -> None:
    files = {f"t/{name}": text, "t/more.txt": "idna==3.7\n"}
    assert wrapped(write, f"requirements_file: {name}", files).manifest.environment.requirements == (
        "idna==3.7",
    )


def test_what_the_originals_server_has_is_added(write: Write) -> None:
    """CH208: only what its own code imports and does not bring."""
    files = {
        "t/model/model.py": "import httpx, model.beside\nfrom helpers import x\nfrom .beside import y\n",
        "t/model/beside.py": "import numpy\n",
        "t/packages/helpers.py": "import yaml\nimport httpx\n",
        "t/scripts/train.py": "import boto3\n",
    }
    found = packages(write, "requirements: [numpy<3]", files)
    assert found.package("W").manifest.environment.requirements == ("httpx", "numpy<3", "pyyaml")
    assert {n.code for n in found.notes} == {Code.IMPLICIT_REQUIREMENT}


def test_the_model_gets_the_config_with_all_defaults(write: Write) -> None:
    """As its server hands it over: what is not said has the original's default."""
    files = {"t/data/words.txt": "w", "t/packages/p.py": ""}
    package = wrapped(
        write, "model_name: theirs\nmodel_metadata: {a: [1]}\nunknown: {x: 2020-01-01}\n", files
    )
    document = json.loads(package.files["truss.json"])
    config = document["config"]
    assert document["directory"] == "t"
    assert (config["model_name"], config["model_metadata"]) == ("W", {"a": [1]})
    assert (config["model_class_name"], config["data_dir"]) == ("Model", "data")
    assert config["runtime"]["predict_concurrency"] == 1
    assert (config["secrets"], config["unknown"]) == ({}, {"x": "2020-01-01"})
    assert {"data/words.txt", "packages/p.py", "model/model.py"} <= set(package.files)


def test_for_another_server_it_stays_a_truss_alone(write: Write) -> None:
    assert "truss.json" not in wrapped(write, "model_name: x", target="truss").files


def test_external_package_directories_are_gathered(write: Write) -> None:
    """G-44: their contents join its packages, and the config names them no more."""
    files = {"shared/tools/__init__.py": "T = 1\n"}
    config = "model_name: x\nexternal_package_dirs: [../shared]\npython_version: py311\n"
    package = wrapped(write, config, files, target="truss")
    assert package.files["packages/tools/__init__.py"] == b"T = 1\n"
    text = package.files["config.yaml"].decode()
    assert text == "model_name: W\nexternal_package_dirs: []\npython_version: py311\n"


def test_its_own_ignore_file_counts(write: Write) -> None:
    """G-42, G-61."""
    files = {
        "t/.truss_ignore": "notes/\n*.bin\n",
        "t/notes/deep/a.txt": "",
        "t/data/model.bin": "",
        "t/data/words.txt": "",
    }
    assert {p for p in wrapped(write, "", files, target="truss").files if "/" in p} == {
        "data/words.txt",
        "model/model.py",
    }


def test_a_directory_that_is_not_there_is_said(write: Write) -> None:
    """CH202."""
    assert refused(write, "external_package_dirs: [../nowhere]").code is Code.PATH_NOT_FOUND


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("docker_server: {start_command: serve, server_port: 8000}", "server of its own"),
        ("trt_llm: {build: {base_model: llama}}", "built engine"),
    ],
)
def test_what_only_containers_can_serve_is_refused_with_the_choices(
    write: Write, config: str, said: str
) -> None:
    """CH210, and only for our own replicas."""
    found = refused(write, config)
    assert found.code is Code.UNSUPPORTED_CHAINLET
    assert said in found.message and "--mock W=auto" in (found.help or "")
    assert wrapped(write, config, target="truss").files["config.yaml"]


@pytest.mark.parametrize(
    ("config", "said", "line"),
    [
        ("a: [1\nb: 2\n", "no valid YAML", 2),
        ("- 1\n", "no mapping", None),
        ("requirements: numpy\n", "`requirements`", None),
        ("resources: {memory: much}\n", "`resources`: `much` is not an amount of memory", None),
        ("runtime: {predict_concurrency: many}\n", "`runtime.predict_concurrency`", None),
    ],
)
def test_a_config_that_cannot_be_read_is_said_with_its_place(
    write: Write, config: str, said: str, line: int | None
) -> None:
    """CH209."""
    found = refused(write, config)
    assert found.code is Code.UNREADABLE_FILE and said in found.message
    assert found.location is not None
    assert (Path(found.location.path).name, found.location.line) == ("config.yaml", line)


def test_an_empty_config_is_all_defaults(write: Write) -> None:
    assert wrapped(write, "").manifest.environment.python_version == "3.12"


@pytest.mark.parametrize(
    ("given", "version"), [("py311", "3.11"), ("3.12", "3.12"), (None, None), ("pypy", None)]
)
def test_python_versions(given: str | None, version: str | None) -> None:
    assert python_version(given) == version


def test_mappings_are_merged_and_nothing_hides_a_default() -> None:
    defaults = {"a": {"b": 1, "c": 2}, "d": [1], "e": 3}
    assert merged(defaults, {"a": {"b": 5}, "d": [], "e": None, "f": None}) == {
        "a": {"b": 5, "c": 2},
        "d": [],
        "e": 3,
        "f": None,
    }
