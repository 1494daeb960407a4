"""A Chain whose every answer proves which version each hop ran, on a platform of its own.

`Entry` calls `Middle` calls `Leaf`. The types that travel carry the version in the name of a
field, so a hop that ran another version than its caller fails instead of answering.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from chains_analysis import AnalysisCache, ChainletRef, SourceTree, judge
from chains_cli.watching.handing import judged_step
from chains_platform.replicas.client import ReplicaClient
from chains_platform.secrets.tokens import Tokens
from chains_protocol.digest import bytes_digest, tree_digest
from chains_protocol.errors import DiagnosticsError
from chains_protocol.manifest import SPEC_FILE, ChainManifest, FileEntry, PackageManifest
from chains_protocol.patch import Action, JudgedStep, PatchOutcome
from chains_protocol.replica import ReplicaStatus
from chains_protocol.spec import EndpointSpec
from tests.e2e.platform_api import CHAIN, Packages, Platform

CALL = """\
import pydantic

import truss_chains as chains

{head}


class Item(pydantic.BaseModel, extra="forbid"):
    seen{types}: list[int]


class Leaf(chains.ChainletBase):
    def __init__(self):
        self.loads = 1

    async def run_remote(self, item: Item) -> Item:
        return Item(seen{types}=[*item.seen{types}, {leaf}])


class Middle(chains.ChainletBase):
    def __init__(self, leaf: Leaf = chains.depends(Leaf)):
        self.leaf = leaf

    async def run_remote(self, item: Item) -> Item:
        return await self.leaf.run_remote(Item(seen{types}=[*item.seen{types}, {middle}]))


class Entry(chains.ChainletBase):
    def __init__(self, middle: Middle = chains.depends(Middle)):
        self.middle = middle

    async def run_remote(self, text: str) -> list[int]:
        answer = await self.middle.run_remote(Item(seen{types}=[{entry}]))
        return answer.seen{types}
"""

CONCURRENCY = 64
"""Calls at once in each Chainlet: open streams must not hold up later ones."""

HOPS: Mapping[str, tuple[str, ...]] = {"Leaf": (), "Middle": ("Leaf",), "Entry": ("Middle",)}


def call_source(version: int, types: int = 0, head: str = "") -> str:
    """The Chain at one version: an answer of it is three times that version."""
    return CALL.format(types=types, leaf=version, middle=version, entry=version, head=head)


class World(Platform):
    """A platform with a Chain of several hops."""

    def __init__(
        self, home: Path, hops: Mapping[str, tuple[str, ...]] = HOPS, entry: EndpointSpec | None = None
    ) -> None:
        super().__init__(home)
        self.hops = hops
        self.packages = _Packages(list(hops)[-1], entry)
        self._client: tuple[str, httpx.Client] | None = None
        self._codes: dict[str, bytes] = {}
        self._analysis = AnalysisCache()

    def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        """As the base class, over one kept connection: figures should not be about making clients."""
        url = self.file.control_url
        if self._client is None or self._client[0] != url:
            self.close()
            headers = {"authorization": f"Bearer {self.token}"}
            self._client = (url, httpx.Client(base_url=url, headers=headers, timeout=120))
        return self._client[1].request(method, path, **options)

    def close(self) -> None:
        if self._client is not None:
            self._client[1].close()
            self._client = None

    def chain(self, code: str) -> ChainManifest:
        made = tuple(self.packages.package(n, code, calls) for n, calls in self.hops.items())
        self._codes |= {package.digest: code.encode() for package in made}
        return ChainManifest(chain_name=CHAIN, entrypoint=list(self.hops)[-1], packages=made)

    def patch_all(self, code: str, action: Action = Action.PATCHED) -> PatchOutcome:
        """Bring every hop to `code`."""
        self.packages.blobs.clear()
        return self.patch(self.chain(code), dict.fromkeys(self.hops, action))

    def judged(self, before: str, after: PackageManifest) -> JudgedStep | None:
        """As `chains watch` has it judged: once for all Chainlets of a file; None of what is no Python."""
        codes = self._codes.get(before), self._codes.get(after.digest)
        old, new = (SourceTree({"chain.py": code or b""}) for code in codes)
        spec = after.spec
        ref = ChainletRef(spec.display_name, spec.module, spec.qualname, spec.endpoint.method_name)
        try:
            verdict = judge(old, new, ref, self._analysis)
        except DiagnosticsError:  # a watch stops there; the replica is to find out by itself
            return None
        return judged_step(verdict, before, after.digest)

    @property
    def url(self) -> str:
        return f"{self.file.gateway_url}/chains/{CHAIN}/development/run_remote"

    def statuses(self) -> dict[str, list[ReplicaStatus]]:
        """What the replicas say of themselves, asked directly."""
        return asyncio.run(self._statuses())

    async def _statuses(self) -> dict[str, list[ReplicaStatus]]:
        tokens = Tokens.load(self.layout)
        found: dict[str, list[ReplicaStatus]] = {}
        for chainlet in self.info().chainlets:
            for replica in chainlet.replicas:
                address = f"unix:{self.layout.replica_socket(replica.replica_id)}"
                client = ReplicaClient(address, tokens.replica_admin(replica.replica_id))
                try:
                    found.setdefault(chainlet.display_name, []).append(await client.status())
                finally:
                    await client.close()
        return found


class _Packages(Packages):
    """Packages whose entrypoint may have another kind of endpoint."""

    def __init__(self, entrypoint: str, endpoint: EndpointSpec | None) -> None:
        super().__init__()
        self._entrypoint = entrypoint
        self._endpoint = endpoint

    def package(self, name: str, code: str, calls: tuple[str, ...] = ()) -> PackageManifest:
        made = super().package(name, code, calls)
        compute = made.spec.compute.model_copy(update={"predict_concurrency": CONCURRENCY})
        changes: dict[str, object] = {"compute": compute}
        if name == self._entrypoint and self._endpoint is not None:
            changes["endpoint"] = self._endpoint
        spec = made.spec.model_copy(update=changes)
        data = spec.model_dump_json().encode()
        entry = FileEntry(path=SPEC_FILE, digest=bytes_digest(data), size_bytes=len(data))
        self.blobs[entry.digest] = data
        files = tuple(entry if f.path == SPEC_FILE else f for f in made.files)
        digest = tree_digest({f.path: f.digest for f in files})
        return made.model_copy(update={"spec": spec, "files": files, "digest": digest})


@contextmanager
def platform(
    hops: Mapping[str, tuple[str, ...]] = HOPS, entry: EndpointSpec | None = None
) -> Iterator[World]:
    """A platform that runs; nothing of it is left afterwards."""
    home = Path(tempfile.mkdtemp(prefix="chains-soak-"))
    world = World(home, hops, entry)
    world.start()
    try:
        yield world
    finally:
        world.down()
        world.close()
        shutil.rmtree(home, ignore_errors=True)


__all__ = ["CALL", "HOPS", "World", "call_source", "platform"]
