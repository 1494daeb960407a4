"""A platform started as its own process, spoken to over its API; packages made by hand."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from chains_platform.layout import PlatformFile, find_layout
from chains_protocol.blobs import encode_blobs
from chains_protocol.control import (
    DeploymentInfo,
    DeploymentKind,
    DeployRequest,
    PackageReply,
    PlanReply,
    PlanRequest,
)
from chains_protocol.digest import bytes_digest, tree_digest
from chains_protocol.manifest import ChainManifest, EnvironmentSpec, FileEntry, PackageManifest
from chains_protocol.patch import Action, ChainletPatch, JudgedStep, PatchOutcome, PatchRequest
from chains_protocol.spec import ChainletSpec, DependencySpec, EndpointSpec, ParameterSpec
from tests.e2e.homes import described, processes_of

T = TypeVar("T")
CHAIN = "demo"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"

SOURCE = """\
import truss_chains as chains


class Model(chains.ChainletBase):
    def __init__(self):
        {setup}

    async def run_remote(self, text: str) -> str:
        {model}


class Entry(chains.ChainletBase):
    def __init__(self, model: Model = chains.depends(Model)):
        self.model = model

    async def run_remote(self, text: str) -> str:
        {entry}
"""


def source(
    model: str = 'return "m1:" + text',
    entry: str = 'return "e1:" + await self.model.run_remote(text)',
    setup: str = "self.loaded = 1",
) -> str:
    return SOURCE.format(model=model, entry=entry, setup=setup)


class Packages:
    """Makes packages and keeps their bytes."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def chain(self, code: str) -> ChainManifest:
        """The Chain of `SOURCE`: `Entry` calls `Model`."""
        packages = (self.package("Model", code), self.package("Entry", code, calls=("Model",)))
        return ChainManifest(chain_name=CHAIN, entrypoint="Entry", packages=packages)

    def package(self, name: str, code: str, calls: tuple[str, ...] = ()) -> PackageManifest:
        schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
        spec = ChainletSpec(
            class_name=name,
            display_name=name,
            module="chain",
            qualname=name,
            file="chain.py",
            endpoint=EndpointSpec(
                parameters=(ParameterSpec(name="text", annotation="str"),),
                return_annotation="str",
                input_schema=schema,
                output_schema={"type": "string"},
            ),
            dependencies=tuple(
                DependencySpec(parameter=c.lower(), class_name=c, display_name=c) for c in calls
            ),
        )
        files = {
            "chains.json": spec.model_dump_json().encode(),
            "model/__init__.py": b"",
            "packages/chain.py": code.encode(),
            "pip_requirements.txt": b"",
        }
        entries = []
        for path, data in sorted(files.items()):
            digest = bytes_digest(data)
            self.blobs[digest] = data
            entries.append(FileEntry(path=path, digest=digest, size_bytes=len(data)))
        return PackageManifest(
            digest=tree_digest({e.path: e.digest for e in entries}),
            files=tuple(entries),
            spec=spec,
            environment=EnvironmentSpec(python_version=PYTHON),
        )


class Platform:
    """One control plane with its gateway and replicas, below a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.packages = Packages()
        self.layout = find_layout({}, home)
        self._process: subprocess.Popen[bytes] | None = None

    # --- processes

    def start(self) -> None:
        """Start the control plane and wait until it answers."""
        self._spawn()
        until(lambda: self.layout.read_platform_file() is not None, 30)

    def start_and_fail(self) -> None:
        """Start the control plane, which is expected to end by itself."""
        assert self._spawn().wait(60) == 4

    def _spawn(self) -> "subprocess.Popen[bytes]":
        self.layout.platform_file.unlink(missing_ok=True)
        keep = {k: v for k, v in os.environ.items() if not k.startswith("CHAINS_")}
        with (self.home / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chains_platform", "serve"],
                env={**keep, "CHAINS_HOME": str(self.home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self._process

    @property
    def file(self) -> PlatformFile:
        found = self.layout.read_platform_file()
        assert found is not None
        return found

    def kill(self) -> None:
        """The control plane dies without a chance to say anything."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)

    def down(self) -> None:
        """Stop everything; afterwards nothing of this home runs."""
        if self._process is None:
            return
        if self._process.poll() is None:
            try:
                self.api("POST", "/v1/shutdown")
                self._process.wait(60)
            except (httpx.TransportError, subprocess.TimeoutExpired):
                self.kill()
        left = {process: described(process) for process in self.processes()}
        for process in left:
            process.kill()
        assert not left, f"left running: {list(left.values())}"

    def processes(self) -> list[psutil.Process]:
        """Whatever runs with this home in its command line or environment."""
        return processes_of(self.home)

    # --- the API

    @property
    def token(self) -> str:
        return self.layout.token_file.read_text().strip()

    def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"}
        with httpx.Client(base_url=self.file.control_url, headers=headers, timeout=120) as client:
            return client.request(method, path, **options)

    def info(self, deployment: str = "development") -> DeploymentInfo:
        answer = self.api("GET", f"/v1/chains/{CHAIN}/deployments/{deployment}")
        return DeploymentInfo.model_validate_json(answer.raise_for_status().content)

    def push(
        self, manifest: ChainManifest, kind: DeploymentKind = DeploymentKind.DEVELOPMENT, **fields: Any
    ) -> DeploymentInfo:
        """The road of a push; returns the settled deployment."""
        asked = PlanRequest(manifest=manifest, kind=kind).model_dump_json()
        answer = self.api("POST", f"/v1/chains/{CHAIN}/plan", content=asked).raise_for_status()
        missing = PlanReply.model_validate_json(answer.content).missing_blobs
        if missing:
            body = encode_blobs((d, self.packages.blobs[d]) for d in missing)
            self.api("POST", "/v1/blobs", content=body).raise_for_status()
        request = DeployRequest(manifest=manifest, kind=kind, **fields).model_dump_json()
        answer = self.api("POST", f"/v1/chains/{CHAIN}/deployments", content=request).raise_for_status()
        deployment = DeploymentInfo.model_validate_json(answer.content).id
        return until(lambda: settled(self.info(deployment)), 60)

    def judged(self, before: str, after: PackageManifest) -> JudgedStep | None:
        """What an author's tool was told of a step; here nobody asked."""
        return None

    def patch(
        self, manifest: ChainManifest, actions: dict[str, Action], smoke: dict[str, object] | None = None
    ) -> PatchOutcome:
        """A patch from what runs to `manifest`, for the Chainlets that `actions` names."""
        answer = self.api("GET", f"/v1/chains/{CHAIN}/deployments/development/manifest")
        now = PackageReply.model_validate_json(answer.raise_for_status().content)
        known = {p.spec.display_name: p.digest for p in now.manifest.packages}
        changed = tuple(
            ChainletPatch(manifest=p, action=a, judged=self.judged(known.get(n, ""), p))
            for n, a in actions.items()
            for p in (manifest.package(n),)
        )
        request = PatchRequest(
            deployment=now.deployment,
            base_version=now.version,
            base={p.spec.display_name: p.digest for p in now.manifest.packages},
            entrypoint=manifest.entrypoint,
            chainlets=changed,
            blobs={e.digest: self.packages.blobs[e.digest] for c in changed for e in c.manifest.files},
            smoke=smoke,
        )
        path = f"/v1/chains/{CHAIN}/development/patches"
        answer = self.api("POST", path, content=request.model_dump_json()).raise_for_status()
        return PatchOutcome.model_validate_json(answer.content)

    def caller(self) -> httpx.Client:
        """A client of the gateway."""
        return httpx.Client(
            base_url=f"{self.file.gateway_url}/chains/{CHAIN}",
            headers={"authorization": f"Bearer {self.token}"},
            timeout=30,
        )

    def call(self, selector: str = "development", text: str = "hi") -> str:
        with self.caller() as client:
            answer = client.post(f"/{selector}/run_remote", json={"text": text})
        assert answer.status_code == 200, answer.text
        return str(answer.json())

    def pids(self, deployment: str = "development") -> dict[str, list[int | None]]:
        return {c.display_name: [r.pid for r in c.replicas] for c in self.info(deployment).chainlets}


def settled(info: DeploymentInfo) -> DeploymentInfo | None:
    return info if info.state.is_settled else None


def until(look: Callable[[], T | None], within_s: float) -> T:
    """The first answer that is true; asked again and again, at most that long."""
    deadline = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
