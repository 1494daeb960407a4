"""The real `truss` reads our packages and runs the generated model.

Needs a Python that has `truss` installed, named by `CHAINS_TRUSS_PYTHON`; it is never imported here.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from chains_cli.discovery.discover import discover
from chains_cli.packaging.build import Target, build_packages
from chains_cli.packaging.runtime_source import RUNTIME_REQUIREMENTS
from chains_cli.packaging.write import write_packages
from chains_protocol.replica import ReplicaLaunch
from chains_protocol.routes import ReplicaRoutes
from chains_protocol.rpc import BINARY_TYPE
from truss_chains.codec import decode, encode

PROGRAMS = Path(__file__).parents[1] / "programs"
EXAMPLES = Path(__file__).parents[2] / "examples"
PYTHON = os.environ.get("CHAINS_TRUSS_PYTHON", "")
pytestmark = pytest.mark.skipif(
    not PYTHON, reason="CHAINS_TRUSS_PYTHON does not name a Python that has `truss` installed"
)

READ = """
import json, sys
from pathlib import Path
from truss.base.truss_config import TrussConfig
configs = [TrussConfig.from_yaml(Path(path) / "config.yaml") for path in sys.argv[1:]]
print(json.dumps([config.to_dict(verbose=True) for config in configs], default=str))
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


READ_ALL = """
import json, sys
from pathlib import Path
from truss.base.truss_config import TrussConfig
wrong = {}
for path in sys.argv[1:]:
    try:
        TrussConfig.from_yaml(Path(path) / "config.yaml")
    except Exception as error:
        wrong[path] = str(error)
print(json.dumps(wrong))
"""

FULL_CONFIG = """
import sys
from pathlib import Path
from truss.base.truss_config import TrussConfig
path = Path(sys.argv[1])
TrussConfig.from_yaml(path).write_to_yaml_file(path, verbose=True)
print("null")
"""


def run(program: str, *arguments: str) -> object:
    done = subprocess.run(
        [PYTHON, "-c", program, *arguments], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def read_configs(*packages: Path) -> list[dict[str, Any]]:
    """Their configs as the original understands them."""
    found = run(READ, *map(str, packages))
    assert isinstance(found, list)
    return found


def written(source: Path, out: Path, target: Target) -> dict[str, Path]:
    spec = discover(source, report_output=lambda line: None)
    packages = build_packages(spec, target=target)
    paths = write_packages(packages, out)
    return {package.display_name: path for package, path in zip(packages, paths, strict=True)}


@pytest.mark.parametrize("target", ["process", "truss"])
def test_truss_reads_the_config_as_it_is_meant(tmp_path: Path, target: Target) -> None:
    """G-22: unknown fields and wrong types would be errors."""
    paths = written(PROGRAMS / "packaging" / "shop" / "chain.py", tmp_path, target)
    read = dict(zip(paths, read_configs(*paths.values()), strict=True))
    model = read["Recommend"]
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
    assert prices["secrets"] == {"price_key": "***", "baseten_chain_api_key": "***"}
    front = read["Front"]
    services = front["model_metadata"]["chains_metadata"]["chainlet_to_service"]
    assert services["Prices"]["options"] == {
        "retries": 3,
        "timeout_sec": 2.5,
        "use_binary": False,
        "concurrency_limit": 300,
    }


@pytest.mark.parametrize("target", ["process", "truss"])
def test_truss_reads_every_package_of_the_examples_and_of_the_fields(tmp_path: Path, target: Target) -> None:
    """G-22: strictly, in one process of its own."""
    sources = [p for p in sorted(EXAMPLES.glob("*/*.py")) if "@chains.mark_entrypoint" in p.read_text()]
    assert len(sources) >= 8
    sources.append(PROGRAMS / "packaging" / "fields" / "chain.py")
    if target == "truss":  # engines are refused for our own replicas
        sources.append(PROGRAMS / "packaging" / "engine.py")
    paths = [
        path
        for n, source in enumerate(sources)
        if not (source.name == "poems.py" and sys.version_info < (3, 12))
        for path in written(source, tmp_path / str(n), target).values()
    ]
    assert len(paths) > 15
    assert run(READ_ALL, *map(str, paths)) == {}


def test_the_generated_model_runs_in_a_python_that_has_truss(tmp_path: Path) -> None:
    """G-56: constructed with the server's arguments, loaded, called."""
    path = written(PROGRAMS / "discovery" / "only_one.py", tmp_path, "truss")["Alone"]
    (config,) = read_configs(path)
    assert run(RUN, str(path), json.dumps({"x": 3}), json.dumps(config)) == 3


@pytest.fixture(scope="module")
def server_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python with the requirements of the Truss server and of our package."""
    from uv import find_uv_bin

    directory = tmp_path_factory.mktemp("server_env") / "venv"
    python = str(directory / "bin" / "python")
    requirements = server_requirements()
    environ = {**os.environ, "UV_SYSTEM_CERTS": "1"}
    for arguments in (
        ["venv", "--quiet", "--python", PYTHON, str(directory)],
        ["pip", "install", "--quiet", "--python", python, "-r", requirements, *RUNTIME_REQUIREMENTS],
    ):
        subprocess.run([find_uv_bin(), *arguments], check=True, env=environ)
    return python


@cache
def _templates() -> Path:
    program = "import json, truss; print(json.dumps(truss.__path__[0]))"
    return Path(str(run(program))) / "templates"


@dataclass(frozen=True)
class Served:
    """The same Chainlet twice: behind the Truss server and in a replica of ours."""

    truss: str
    ours: str
    header: dict[str, str]

    def both(self, **request: Any) -> tuple[httpx.Response, httpx.Response]:
        """The answers to one call, theirs first."""
        path, headers = "/v1/models/model:predict", request.pop("headers", {})
        with httpx.Client(trust_env=False, timeout=30) as client:
            theirs = client.post(self.truss + path, headers=headers, **request)
            ours = client.post(self.ours + path, headers={**headers, **self.header}, **request)
        return theirs, ours


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, server_python: str) -> Iterator[Callable[[str], Served]]:
    """Starts both servers of all Chainlets of `served.py` at once, without docker."""
    place = tmp_path_factory.mktemp("served")
    program = PROGRAMS / "packaging" / "served.py"
    theirs = written(program, place / "truss", "truss")
    ours = written(program, place / "process", "process")
    names = ("Plain", "Blocking", "Streaming", "Doubling", "Failing", "Watched")
    with ExitStack() as stack:
        found = {
            name: (
                stack.enter_context(truss_server(theirs[name], place / f"app-{name}", server_python)),
                stack.enter_context(replica(ours[name], place / f"replica-{name}")),
            )
            for name in names
        }
        yield lambda name: Served(*found[name], {"authorization": "Api-Key edge"})


def server_files(package: Path, app: Path) -> Path:
    """What a built image has: the server's own files, and the package among them."""
    shutil.copytree(_templates() / "server", app)
    shutil.copytree(_templates() / "shared", app / "_truss_shared")
    shutil.copytree(package, app, dirs_exist_ok=True)
    if "model_module_dir" not in (app / "config.yaml").read_text():
        run(FULL_CONFIG, str(app / "config.yaml"))  # a wrapped Truss says what its author said
    return app


def server_requirements() -> str:
    """The file that names what the Truss server needs."""
    return str(_templates() / "server" / "requirements.txt")


@contextmanager
def truss_server(package: Path, app: Path, python: str) -> Iterator[str]:
    """The layout of a built image: server, config and model in one directory, `packages` on the path."""
    server_files(package, app)
    port = free_port()
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(app),  # the server keeps a marker there, which only one may have
        "PYTHONPATH": str(app / "packages"),
        "INFERENCE_SERVER_PORT": str(port),
    }
    with running([python, "main.py"], app, environ, b"", f"http://127.0.0.1:{port}") as url:
        yield url


@contextmanager
def replica(package: Path, directory: Path) -> Iterator[str]:
    """A replica of ours with one open edge."""
    directory.mkdir()
    port = free_port()
    launch = ReplicaLaunch(
        replica_id="r",
        deployment="d",
        admin_token="admin",
        package_digest="0" * 64,
        routes=ReplicaRoutes(accepts=("edge",)),
    )
    command = [sys.executable, "-m", "chains_runtime", "--package", str(package), "--port", str(port)]
    payload = launch.model_dump_json().encode()
    with running(command, directory, dict(os.environ), payload, f"http://127.0.0.1:{port}") as url:
        yield url


@contextmanager
def running(
    command: list[str], cwd: Path, environ: dict[str, str], payload: bytes, url: str
) -> Iterator[str]:
    """A server as a process; it need not answer yet."""
    log = cwd.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=environ, stdin=subprocess.PIPE, stdout=output, stderr=output
        )
    assert process.stdin is not None
    process.stdin.write(payload)
    process.stdin.close()
    try:
        yield url
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_loaded(served: Served) -> None:
    """Both say that the model is loaded."""
    deadline = time.monotonic() + 60
    for url in (served.truss, served.ours):
        while True:
            with suppress(httpx.TransportError):
                answer = httpx.get(f"{url}/v1/models/model/loaded", trust_env=False, headers=served.header)
                if answer.status_code == 200:
                    break
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.05)


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("Plain", {"text": "ab"}),
        ("Plain", {"text": "ab", "times": 3}),
        ("Blocking", {"text": "x"}),
    ],
)
def test_the_truss_server_answers_as_our_replica(
    served: Callable[[str], Served], name: str, body: dict[str, Any]
) -> None:
    """G-56, R-20: status and JSON."""
    both = served(name)
    until_loaded(both)
    theirs, ours = both.both(json=body)
    assert (theirs.status_code, theirs.json()) == (ours.status_code, ours.json())
    assert ours.status_code == 200


@pytest.mark.e2e
def test_bad_input_is_refused_by_both(served: Callable[[str], Served]) -> None:
    both = served("Plain")
    until_loaded(both)
    theirs, ours = both.both(json={"times": "many"})
    assert theirs.status_code == ours.status_code == 400
    assert "text" in theirs.text and "text" in ours.text


@pytest.mark.e2e
def test_a_stream_is_the_same_from_both(served: Callable[[str], Served]) -> None:
    both = served("Streaming")
    until_loaded(both)
    theirs, ours = both.both(json={"count": 3})
    assert theirs.content == ours.content == b"part 0;part 1;part 2;"


@pytest.mark.e2e
def test_arrays_travel_binary_through_both(served: Callable[[str], Served]) -> None:
    """N-01 to N-03 with `use_binary`."""
    import numpy as np

    both = served("Doubling")
    until_loaded(both)
    samples = np.arange(6, dtype=np.float32).reshape(2, 3)
    value = {"reading": {"name": "a", "samples": samples}}
    request = {"content": encode(value, binary=True), "headers": {"content-type": BINARY_TYPE}}
    theirs, ours = (decode(answer.content, binary=True) for answer in both.both(**request))
    assert theirs["name"] == ours["name"] == "A"
    for found in (theirs["samples"], ours["samples"]):
        assert found.dtype == np.float32 and (found == samples * 2).all()


@pytest.mark.e2e
def test_an_exception_is_told_alike_by_both(served: Callable[[str], Served]) -> None:
    """X-01 to X-03: status, class and message."""
    both = served("Failing")
    until_loaded(both)
    theirs, ours = both.both(json={"text": "luck"})
    assert theirs.status_code == ours.status_code == 500
    for answer in (theirs, ours):
        assert "luck" in answer.text and "ValueError" in answer.text
    keys = ("exception_cls_name", "exception_module_name", "exception_message")
    assert [theirs.json()["error"].get(k) for k in keys] == [ours.json()["error"].get(k) for k in keys]


@pytest.mark.e2e
def test_both_heed_is_healthy(served: Callable[[str], Served]) -> None:
    """G-56, R-12: readiness follows the health check."""
    both = served("Watched")
    until_loaded(both)
    for is_well, status in ((True, 200), (False, 503)):
        theirs, ours = both.both(json={"is_well": is_well})
        assert theirs.json() == ours.json() == "noted"
        for url in (both.truss, both.ours):
            ready = httpx.get(f"{url}/v1/models/model", trust_env=False, headers=both.header)
            assert ready.status_code == status, (url, ready.text)
