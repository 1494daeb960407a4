"""Every example as a whole Chain, behind the Truss server and in replicas of ours: the answers are the same.

Each Chainlet runs in a server of its own; they find each other by the file of addresses that the
cloud mounts (R-32), or by the routes that a control plane gives. Needs `CHAINS_TRUSS_PYTHON`.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from chains_cli.discovery.discover import MockOption, discover
from chains_cli.packaging.build import Target, build_packages
from chains_cli.packaging.package import ChainPackages
from chains_cli.packaging.write import write_packages
from chains_platform.engines.environments import install_lines
from chains_protocol.replica import ReplicaLaunch
from chains_protocol.routes import Callee, DeploymentRoutes, ReplicaRoutes, ReplicaSet
from chains_protocol.spec import ChainSpec
from tests.compat.test_truss_packages import (
    EXAMPLES,
    PROGRAMS,
    PYTHON,
    free_port,
    running,
    server_files,
    server_requirements,
)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not PYTHON, reason="CHAINS_TRUSS_PYTHON names no Python that has `truss` installed"),
]

ROOT = EXAMPLES.parent
PREDICT = "/v1/models/model:predict"
KEY = "edge"
CALLS: dict[str, Any] = {
    "hello_chain/hello.py": {"names": ["Ada", "Grace"]},
    "poems/poems_typed.py": {"words": ["bird", "plane"]},
    "glue_and_model/chain.py": {
        "question": "a storm at sea",
        "texts": ["bread and dough", "ships and sails"],
    },
    "rag/chain.py": {"question": "how warm is a hive in winter?"},
    "streaming/chain.py": {"seed": 1, "count": 20},
    "tiles/chain.py": {"size": 64, "tile_size": 32},
    "transcription/chain.py": {"message": "hello world", "noise": 0.2},
    "versions/chain.py": {"text": "1.4.2"},
    "wrapped_truss/chain.py": {"reviews": ["Great and fine", "It came broken", "good but slow"]},
}
FAKES = PROGRAMS / "packaging" / "fakes.py"
QUICK = ("wrapped_truss/chain.py",)
"""With the quick tests; each of the others takes as long."""
TOGETHER = ("numpy>=1.26", "numpy>=2.0")
"""What may be in one environment, so that fewer are made."""
MOCKS = {"poems/poems_typed.py": (MockOption("PhiLLM", str(FAKES), "FakePhiLLM"),)}

Environment = Callable[[tuple[str, ...]], str]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The Python of an environment that has what both servers need, and these lines."""
    from uv import find_uv_bin

    root = tmp_path_factory.mktemp("environments")
    environ = {**os.environ, "UV_SYSTEM_CERTS": "1"}
    known: dict[tuple[str, ...], str] = {}

    def made(asked_for: tuple[str, ...]) -> str:
        lines = tuple(sorted({*asked_for, *TOGETHER}))
        if lines not in known:
            directory = root / str(len(known))
            python = known[lines] = str(directory / "bin" / "python")
            asked = root / f"{len(known)}.txt"
            asked.write_text("".join(f"{line}\n" for line in lines))
            bound = str(Path(server_requirements()).with_name("constraints.txt"))
            install = ["pip", "install", "--quiet", "--python", python, "-c", bound, "-r"]
            for arguments in (
                ["venv", "--quiet", "--python", PYTHON, str(directory)],
                [*install, server_requirements()],
                [*install, str(asked)],  # what the author asks for wins
            ):
                subprocess.run([find_uv_bin(), *arguments], check=True, env=environ)
        return known[lines]

    return made


@dataclass(frozen=True)
class Built:
    """The packages of one target, and where each lies."""

    packages: ChainPackages
    places: Mapping[str, Path]

    @classmethod
    def of(cls, spec: ChainSpec, target: Target, out: Path) -> "Built":
        packages = build_packages(spec, target=target)
        places = write_packages(packages, out)
        return cls(packages, {p.display_name: place for p, place in zip(packages, places, strict=True)})


@contextmanager
def behind_truss_servers(built: Built, place: Path, environment: Environment) -> Iterator[str]:
    """The whole Chain; the address of its entrypoint."""
    ports = {package.display_name: free_port() for package in built.packages}
    addresses = {name: {"predict_url": f"http://127.0.0.1:{port}{PREDICT}"} for name, port in ports.items()}
    place.mkdir()
    siblings = place / "siblings.json"
    siblings.write_text(json.dumps(addresses))
    with ExitStack() as stack:
        for package in built.packages:
            name, environment_spec = package.display_name, package.manifest.environment
            app = server_files(built.places[name], place / name)
            environ = {
                "PATH": os.environ["PATH"],
                "HOME": str(app),  # the server keeps a marker there, which only one may have
                "PYTHONPATH": str(app / "packages"),
                "INFERENCE_SERVER_PORT": str(ports[name]),
                "CHAINS_DYNAMIC_CHAINLET_CONFIG": str(siblings),
                "TRUSS_SECRET_baseten_chain_api_key": KEY,
                **package.manifest.spec.options.env_variables,
            }
            python = environment(install_lines(environment_spec))
            url = f"http://127.0.0.1:{ports[name]}"
            stack.enter_context(running([python, "main.py"], app, environ, b"", url))
        yield f"http://127.0.0.1:{ports[built.packages.entrypoint]}"


@contextmanager
def in_our_replicas(built: Built, place: Path, environment: Environment) -> Iterator[str]:
    """The same, each Chainlet knowing its dependencies by a table of routes."""
    place.mkdir()
    ports = {package.display_name: free_port() for package in built.packages}
    with ExitStack() as stack:
        for package in built.packages:
            name, spec = package.display_name, package.manifest.spec
            callees = tuple(
                Callee(
                    class_name=dependency.class_name,
                    display_name=dependency.display_name,
                    options=dependency.options,
                    sets=(
                        ReplicaSet(
                            addresses=(f"http://127.0.0.1:{ports[dependency.display_name]}",), token=KEY
                        ),
                    ),
                )
                for dependency in spec.dependencies
            )
            launch = ReplicaLaunch(
                replica_id=name,
                deployment="d",
                admin_token="admin",
                package_digest=package.manifest.digest,
                routes=ReplicaRoutes(
                    deployments=(DeploymentRoutes(deployment="d", callees=callees),), accepts=(KEY,)
                ),
            )
            python = environment(install_lines(package.manifest.environment))
            command = [python, "-P", "-m", "chains_runtime", "--package", str(built.places[name])]
            environ = {**os.environ, "PYTHONPATH": str(ROOT), **spec.options.env_variables}
            work = place / name
            work.mkdir()
            payload = launch.model_dump_json().encode()
            url = f"http://127.0.0.1:{ports[name]}"
            stack.enter_context(running([*command, "--port", str(ports[name])], work, environ, payload, url))
        yield f"http://127.0.0.1:{ports[built.packages.entrypoint]}"


def answer(url: str, body: Any, place: Path) -> tuple[str, Any]:
    """Kind and value; asked again until all servers of the Chain have loaded."""
    deadline = time.monotonic() + 45
    headers = {"authorization": f"Api-Key {KEY}"}
    with httpx.Client(trust_env=False, timeout=60) as client:
        while True:
            with suppress(httpx.TransportError):
                found = client.post(url + PREDICT, json=body, headers=headers)
                if found.status_code == 200:
                    kind = found.headers["content-type"]
                    return kind, found.json() if kind == "application/json" else found.content
            assert time.monotonic() < deadline, "\n".join(
                f"{log.name}: {log.read_text()[-1500:]}" for log in sorted(place.glob("*.log"))
            )
            time.sleep(0.1)


@pytest.mark.parametrize(
    "example", [pytest.param(e, marks=() if e in QUICK else pytest.mark.soak) for e in CALLS]
)
def test_the_truss_server_runs_an_example_as_our_replicas_do(
    tmp_path: Path, environment: Environment, example: str
) -> None:
    """G-52 to G-57, R-20 to R-26, S-01 to S-03, with every dependency behind a server of its own."""
    spec = discover(EXAMPLES / example, report_output=lambda line: None, mocks=MOCKS.get(example, ()))
    theirs, ours = Built.of(spec, "truss", tmp_path / "t"), Built.of(spec, "process", tmp_path / "o")
    body = CALLS[example]
    with behind_truss_servers(theirs, tmp_path / "theirs", environment) as url:
        expected = answer(url, body, tmp_path / "theirs")
    with in_our_replicas(ours, tmp_path / "ours", environment) as url:
        assert answer(url, body, tmp_path / "ours") == expected


def test_no_example_is_left_out() -> None:
    """`poems.py` is the same as `poems_typed.py`, in a syntax that Python 3.11 cannot read."""
    entries = [p for p in EXAMPLES.glob("*/*.py") if "@chains.mark_entrypoint" in p.read_text()]
    assert {f"{p.parent.name}/{p.name}" for p in entries} - {"poems/poems.py"} == set(CALLS)
