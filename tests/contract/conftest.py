"""The remotes that the contract suite runs against, and Chains to deploy on them."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from chains_cli.discovery.discover import discover
from chains_cli.packaging.build import build_packages
from chains_cli.packaging.package import ChainPackages
from chains_cli.remotes import embedded
from chains_cli.remotes.memory import Answer, Call, MemoryRemote
from chains_cli.remotes.remote import Remote
from chains_protocol.control import DeploymentInfo, DeploymentKind, DeploymentState, DeployRequest, EventKind
from chains_protocol.rpc import JSON_TYPE

PROGRAM = """
import collections.abc

import truss_chains as chains


class Low(chains.ChainletBase):
    async def run_remote(self, x: int) -> int:
        return x + STEP


class High(chains.ChainletBase):
    def __init__(self, low: Low = chains.depends(Low)) -> None:
        self._low = low

    async def run_remote(self, x: int) -> int:
        return await self._low.run_remote(x) * 10


class Words(chains.ChainletBase):
    async def run_remote(self, count: int) -> collections.abc.AsyncIterator[str]:
        for number in range(count):
            yield f"word {number} "


STEP = 1
"""

Build = Callable[..., ChainPackages]


@dataclass(frozen=True)
class Deployed:
    """A deployment that settled, and what it was made of."""

    info: DeploymentInfo
    packages: ChainPackages


def answer(call: Call) -> Answer:
    """What `PROGRAM` answers, for the remote that runs no code."""
    data = json.loads(call.body)
    if call.deployment.entrypoint == "Words":
        words = tuple(f"word {n} ".encode() for n in range(data["count"]))
        return Answer(words, content_type="text/plain")
    return Answer((json.dumps((data["x"] + 1) * 10).encode(),), content_type=JSON_TYPE)


def _platform(home: Path) -> Iterator[Remote]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("CHAINS_")}
    remote = embedded.ensure_running(home, lambda text: None, environ=environ)
    try:
        with closing(remote):
            yield remote
    finally:
        embedded.shutdown(home)


@pytest.fixture(scope="session", params=["memory", pytest.param("platform", marks=pytest.mark.e2e)])
def remote(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """One remote for the whole suite; tests use Chains of different names."""
    if request.param == "memory":
        yield MemoryRemote(answer=answer, clock=count(1_700_000_000).__next__)
    else:
        yield from _platform(tmp_path_factory.mktemp("home"))


@pytest.fixture
def build(tmp_path: Path, request: pytest.FixtureRequest) -> Build:
    """`build(step=2, entrypoint="High")`: the packages of `PROGRAM`, under a Chain name of this test."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)

    def make(*, step: int = 1, entrypoint: str = "High", split: bool = True) -> ChainPackages:
        text = PROGRAM.replace("STEP = 1", f"STEP = {step}")
        (tmp_path / "chain.py").write_text(text)
        spec = discover(tmp_path / "chain.py", entrypoint, chain_name=name, report_output=lambda line: None)
        return build_packages(spec)

    return make


@pytest.fixture
def deploy(remote: Remote) -> Callable[..., Deployed]:
    """Uploads, deploys and follows the events until the deployment has settled."""

    def run(
        packages: ChainPackages,
        *,
        kind: DeploymentKind = DeploymentKind.PUBLISHED,
        environment: str | None = None,
    ) -> Deployed:
        manifest = packages.manifest
        chain = manifest.chain_name
        remote.upload(packages.blobs(e.digest for p in manifest.packages for e in p.files))
        info = remote.deploy(chain, DeployRequest(manifest=manifest, kind=kind, environment=environment))
        return Deployed(settled(remote, info), packages)

    return run


def settled(remote: Remote, info: DeploymentInfo) -> DeploymentInfo:
    """The deployment once it has settled; the test's timeout bounds the wait."""
    current = remote.deployment(info.chain_name, info.id)
    if current.state.is_settled:
        return current
    for event in remote.events(info.chain_name, info.id):
        if event.kind is EventKind.DEPLOYMENT_STATE and DeploymentState(event.data["state"]).is_settled:
            break
    return remote.deployment(info.chain_name, info.id)
