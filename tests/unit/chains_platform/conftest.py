"""A whole control plane over fakes, below a temporary directory."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from chains_platform.api.app import create_app
from chains_platform.layout import Layout
from chains_platform.parts import Timeouts
from chains_platform.secrets.tokens import Tokens
from chains_platform.services import Services, open_services
from chains_platform.state import DeploymentRecord, State
from chains_protocol.control import DeploymentKind, DeploymentState, DeployRequest
from chains_protocol.manifest import ChainManifest
from tests.unit.chains_platform.fakes import BYTES, FakeEngine, FakeGateway, FakeSmoke


class Clock:
    """Time that only tests move."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Plane:
    """The control plane under test and what it works with."""

    layout: Layout
    tokens: Tokens
    engine: FakeEngine
    gateway: FakeGateway
    smoke: FakeSmoke
    clock: Clock
    services: Services

    @property
    def state(self) -> State:
        return self.services.ledger.state

    def upload(self, manifest: ChainManifest) -> None:
        for package in manifest.packages:
            for entry in package.files:
                self.services.blobs.put(entry.digest, BYTES.by_digest[entry.digest])

    async def push(self, manifest: ChainManifest, **fields: Any) -> DeploymentRecord:
        """Push and wait until it is settled."""
        self.upload(manifest)
        request = DeployRequest(manifest=manifest, **fields)
        record, is_new = await self.services.deployments.deploy(manifest.chain_name, request)
        return await self.settled(record.id) if is_new else record

    async def develop(self, manifest: ChainManifest, **fields: Any) -> DeploymentRecord:
        return await self.push(manifest, kind=DeploymentKind.DEVELOPMENT, **fields)

    async def settled(self, deployment: str) -> DeploymentRecord:
        def look(state: State) -> DeploymentRecord | None:
            record = state.deployments[deployment]
            return record if record.state.is_settled else None

        record = await self.services.ledger.wait(look, 5)
        async with self.services.deployments.lock(deployment):
            return record

    async def quiet(self, *names: str) -> None:
        """Wait until exactly these replicas are known."""
        wanted = sorted(names)

        def look(state: State) -> bool | None:
            found = sorted(
                state.sets[r.set_id].display_name for r in state.replicas.values() if r.set_id in state.sets
            )
            return True if found == wanted and len(found) == len(state.replicas) else None

        await self.services.ledger.wait(look, 5)

    def is_active(self, record: DeploymentRecord) -> bool:
        return self.state.deployments[record.id].state is DeploymentState.ACTIVE

    def client(self, token: str | None = "") -> httpx.AsyncClient:
        """An HTTP client of its API; `token` None sends none."""
        app = create_app(self.services)
        given = self.tokens.api_token if token == "" else token
        headers = {} if given is None else {"authorization": f"Bearer {given}"}
        transport = httpx.ASGITransport(app=app)
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers)

    async def restart(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """End the control plane and start another; replicas and gateway go on."""
        await self.services.close()
        meanwhile()
        self.services = await make_services(self)
        await self.services.adopt()


async def make_services(plane: Plane) -> Services:
    numbers = count(1 + len(plane.engine.starts) * 100)
    return await open_services(
        plane.layout,
        plane.engine,
        plane.tokens,
        plane.gateway,
        plane.clock,
        gateway_url=lambda: "http://127.0.0.1:8800",
        connect=plane.engine.connect,
        smoke=plane.smoke,
        ask_health=plane.engine.ask_health,
        new_id=lambda: f"id{next(numbers)}",
        timeouts=Timeouts(start_s=2.0, drain_s=2.0, delete_s=1.0, shutdown_s=1.0),
    )


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    layout = Layout(home=tmp_path / "home", sockets=tmp_path / "sockets").create()
    made = Plane(
        layout=layout,
        tokens=Tokens.load(layout),
        engine=FakeEngine(),
        gateway=FakeGateway(),
        smoke=FakeSmoke(),
        clock=Clock(),
        services=None,  # type: ignore[arg-type] # made in the next line, from the rest
    )
    made.services = await make_services(made)
    await made.services.adopt()
    yield made
    await made.services.close()
