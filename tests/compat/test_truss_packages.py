"""The real `truss` reads our packages and runs the generated model.

Needs a Python that has `truss` installed, named by `CHAINS_TRUSS_PYTHON`; it is never imported here.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from chains_cli.discovery import discover
from chains_cli.packaging.build import Target, build_packages
from chains_cli.packaging.runtime_source import RUNTIME_REQUIREMENTS
from chains_cli.packaging.write import write_packages

PROGRAMS = Path(__file__).parents[1] / "programs"
PYTHON = os.environ.get("CHAINS_TRUSS_PYTHON", "")
pytestmark = pytest.mark.skipif(
    not PYTHON, reason="CHAINS_TRUSS_PYTHON does not name a Python that has `truss` installed"
)

READ = """
import json, sys
from pathlib import Path
from truss.base.truss_config import TrussConfig
config = TrussConfig.from_yaml(Path(sys.argv[1]) / "config.yaml")
print(json.dumps(config.to_dict(verbose=True), default=str))
"""

RUN = """
import asyncio, json, sys
from pathlib import Path
root, data = Path(sys.argv[1]), json.loads(sys.argv[2])
sys.path[:0] = [str(root), str(root / "packages")]
from model.model import Model

class Request:
    headers = {}

model = Model(config=json.loads(sys.argv[3]), data_dir=root / "data", secrets={}, lazy_data_resolver=None)
model.load()
print(json.dumps(asyncio.run(model.predict(data, Request()))))
"""


def run(program: str, *arguments: str) -> object:
    done = subprocess.run(
        [PYTHON, "-c", program, *arguments], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def written(source: Path, out: Path, target: Target) -> dict[str, Path]:
    spec = discover(source, report_output=lambda line: None)
    packages = build_packages(spec, target=target)
    paths = write_packages(packages, out)
    return {package.display_name: path for package, path in zip(packages, paths, strict=True)}


@pytest.mark.parametrize("target", ["process", "truss"])
def test_truss_reads_the_config_as_it_is_meant(tmp_path: Path, target: Target) -> None:
    """G-22: unknown fields and wrong types would be errors."""
    paths = written(PROGRAMS / "packaging" / "shop" / "chain.py", tmp_path, target)
    read = {name: run(READ, str(path)) for name, path in paths.items()}
    model = read["Recommend"]
    assert isinstance(model, dict)
    assert model["model_name"] == "Recommend"
    assert model["python_version"] == "py312"
    assert model["requirements_file"] == "pip_requirements.txt"
    assert model["system_packages"] == ["ffmpeg"]
    assert model["environment_variables"] == {"HF_HUB_OFFLINE": "1", "GREETING": 'say "hi"\n'}
    resources = model["resources"]
    assert (resources["cpu"], resources["memory"], resources["accelerator"]) == ("4", "16Gi", "L4:2")
    assert model["runtime"]["predict_concurrency"] == 8
    assert model["model_metadata"]["weights"] == [1, 2.5, None]
    prices = read["price-table"]
    assert isinstance(prices, dict)
    assert prices["secrets"] == {"price_key": "***", "baseten_chain_api_key": "***"}
    front = read["Front"]
    assert isinstance(front, dict)
    services = front["model_metadata"]["chains_metadata"]["chainlet_to_service"]
    assert services["Prices"]["options"] == {
        "retries": 3,
        "timeout_sec": 2.5,
        "use_binary": False,
        "concurrency_limit": 300,
    }


def test_the_generated_model_runs_in_a_python_that_has_truss(tmp_path: Path) -> None:
    """G-56: constructed with the server's arguments, loaded, called."""
    path = written(PROGRAMS / "discovery" / "only_one.py", tmp_path, "truss")["Alone"]
    config = run(READ, str(path))
    assert run(RUN, str(path), json.dumps({"x": 3}), json.dumps(config)) == 3


@pytest.fixture(scope="module")
def server_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python with the requirements of the Truss server and of our package."""
    from uv import find_uv_bin

    directory = tmp_path_factory.mktemp("server_env") / "venv"
    python = str(directory / "bin" / "python")
    requirements = str(_templates() / "server" / "requirements.txt")
    environ = {**os.environ, "UV_SYSTEM_CERTS": "1"}
    for arguments in (
        ["venv", "--quiet", "--python", PYTHON, str(directory)],
        ["pip", "install", "--quiet", "--python", python, "-r", requirements, *RUNTIME_REQUIREMENTS],
    ):
        subprocess.run([find_uv_bin(), *arguments], check=True, env=environ)
    return python


def _templates() -> Path:
    program = "import json, truss; print(json.dumps(truss.__path__[0]))"
    return Path(str(run(program))) / "templates"


@pytest.mark.e2e
def test_the_real_truss_server_runs_the_package(tmp_path: Path, server_python: str) -> None:
    """The layout of a built image: server, config and model in one directory, `packages` on the path."""
    path = written(PROGRAMS / "discovery" / "only_one.py", tmp_path / "out", "truss")["Alone"]
    app = tmp_path / "app"
    shutil.copytree(_templates() / "server", app)
    shutil.copytree(_templates() / "shared", app / "_truss_shared")
    shutil.copytree(path, app, dirs_exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "server.log"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(app / "packages")}
    with log.open("wb") as output:
        server = subprocess.Popen(
            [server_python, "main.py"],
            cwd=app,
            env={**environ, "INFERENCE_SERVER_PORT": str(port)},
            stdout=output,
            stderr=output,
        )
    try:
        url = f"http://127.0.0.1:{port}/v1/models/model:predict"
        first = _until_loaded(server, url, log)
        assert (first.status_code, first.json()) == (200, 3)
        wrong = httpx.post(url, json={"y": 3}, trust_env=False)
        assert wrong.status_code == 400
        assert "`x`" in wrong.text
    finally:
        server.kill()
        server.wait()


def _until_loaded(server: "subprocess.Popen[bytes]", url: str, log: Path) -> httpx.Response:
    """The first answer after the model was loaded."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            answer = httpx.post(url, json={"x": 3}, trust_env=False, timeout=10)
        except httpx.TransportError:
            time.sleep(0.05)
            continue
        if answer.status_code != 503:
            return answer
        time.sleep(0.05)
    raise AssertionError(log.read_text()[-3000:])
