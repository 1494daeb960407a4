"""Everything that the control plane's API works with, opened and closed as one."""

import asyncio
import secrets as randomness
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from chains_platform.blobs import BlobStore
from chains_platform.deploying.deployments import Deployments
from chains_platform.deploying.environments import Environments
from chains_platform.deploying.removal import Removal
from chains_platform.deploying.rollout import Rollout
from chains_platform.engines.engine import Engine
from chains_platform.events import EventLog
from chains_platform.housekeeping import Housekeeping
from chains_platform.layout import Layout
from chains_platform.ledger import Ledger
from chains_platform.parts import Parts, Timeouts
from chains_platform.patches.patches import Patches
from chains_platform.patches.retirement import Retirement
from chains_platform.patches.smoke import SmokeCall, smoke_call
from chains_platform.patches.switching import Switch
from chains_platform.replicas.adoption import adopt
from chains_platform.replicas.client import ReplicaClient
from chains_platform.replicas.distribution import Distribution, GatewayAdmin, ReplicaConnect
from chains_platform.replicas.health import HealthWatch, Probe, probe
from chains_platform.replicas.logs import Logs
from chains_platform.replicas.reconciler import Reconciler
from chains_platform.rotation import LogRotation
from chains_platform.secrets.store import SecretStore
from chains_platform.secrets.tokens import Tokens
from chains_platform.store.store import Store
from chains_platform.store.writer import Writer, opening

_ID_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"  # none that are taken for one another


@dataclass
class Services:
    """The control plane without its HTTP face. `shutdown_requested` is set by `POST /v1/shutdown`."""

    layout: Layout
    tokens: Tokens
    instance: str
    gateway_url: Callable[[], str]
    ledger: Ledger
    engine: Engine
    blobs: BlobStore
    secrets: SecretStore
    events: EventLog
    logs: Logs
    distribution: Distribution
    reconciler: Reconciler
    deployments: Deployments
    environments: Environments
    removal: Removal
    patches: Patches
    retirement: Retirement
    health: HealthWatch
    housekeeping: Housekeeping
    rotation: LogRotation
    writer: Writer
    shutdown_requested: asyncio.Event = field(default_factory=asyncio.Event)

    async def adopt(self) -> None:
        """Take over what an earlier control plane left, repair the rest, and begin to watch."""
        await adopt(self.ledger, self.engine, self.distribution, self.reconciler)
        self.reconciler.start()
        self.retirement.resume()
        self.health.rounds.start()
        self.housekeeping.rounds.start()
        self.rotation.rounds.start()
        await self.distribution.sync()

    async def stop_everything(self) -> None:
        """Drain and end all replicas: what `platform down` means. `close` follows."""
        await self.health.rounds.close()
        await self.deployments.close()
        await self.retirement.close()
        await self.reconciler.stop_all()
        await self.ledger.saved()

    async def close(self) -> None:
        """Leave everything running that runs; write what is not written yet."""
        self.events.close()
        self.logs.close()
        await self.rotation.rounds.close()
        await self.housekeeping.rounds.close()
        await self.health.rounds.close()
        await self.deployments.close()
        await self.retirement.close()
        await self.reconciler.close()
        await self.distribution.close()
        await self.writer.close()


def random_id() -> str:
    """Eight letters and digits, easily read out."""
    return "".join(randomness.choice(_ID_ALPHABET) for _ in range(8))


async def open_services(
    layout: Layout,
    engine: Engine,
    tokens: Tokens,
    gateway_client: GatewayAdmin,
    clock: Callable[[], float],
    *,
    database_url: str | None = None,
    gateway_url: Callable[[], str] | None = None,
    connect: ReplicaConnect | None = None,
    smoke: SmokeCall = smoke_call,
    ask_health: Probe = probe,
    new_id: Callable[[], str] = random_id,
    timeouts: Timeouts | None = None,
) -> Services:
    """Open the state and wire the parts; nothing runs before `Services.adopt`.

    Args:
        layout: where everything is kept; its directories exist.
        engine: runs replicas.
        tokens: of this state directory.
        gateway_client: of the one gateway.
        clock: Unix seconds.
        database_url: an SQLAlchemy URL; by default SQLite in `layout.database`.
        gateway_url: where users reach the gateway; by default what `platform.json` says.
        connect: makes a replica's client from its address and id.
        smoke: makes the trial call of a patch.
        ask_health: asks a replica whether it is healthy.
        new_id: makes ids of deployments, replica sets and replicas.
        timeouts: how long starts and drains may take.
    """
    url = database_url or f"sqlite:///{layout.database}"
    with opening(url):
        writer = await Writer.open(url)
        state = await writer.read(Store.load)
        last_id = await writer.read(Store.last_event_id)
    ledger = Ledger(state, writer)
    parts = Parts(
        ledger=ledger,
        engine=engine,
        blobs=BlobStore(layout.blobs, layout.packages),
        secrets=SecretStore(writer, tokens.secrets_key, clock),
        events=EventLog(writer, clock, last_id),
        distribution=Distribution(ledger, gateway_client, connect or _connector(tokens), tokens.edge),
        new_id=new_id,
        clock=clock,
        timeouts=timeouts or Timeouts(),
    )
    found = gateway_url or (lambda: _gateway_url(layout))
    return _wire(parts, layout, tokens, writer, gateway_url=found, smoke=smoke, ask_health=ask_health)


def _wire(
    parts: Parts,
    layout: Layout,
    tokens: Tokens,
    writer: Writer,
    *,
    gateway_url: Callable[[], str],
    smoke: SmokeCall,
    ask_health: Probe,
) -> Services:
    ledger, distribution = parts.ledger, parts.distribution
    reconciler = Reconciler(parts, admin_token=tokens.replica_admin, log_dir=layout.replica)
    rollout = Rollout(parts)
    retirement = Retirement(ledger, distribution, parts.timeouts.drain_s)
    switch = Switch(parts, retirement)
    deployments = Deployments(parts, rollout, switch, retirement)
    return Services(
        layout=layout,
        tokens=tokens,
        instance=writer.store.instance,
        gateway_url=gateway_url,
        ledger=ledger,
        engine=parts.engine,
        blobs=parts.blobs,
        secrets=parts.secrets,
        events=parts.events,
        logs=Logs(ledger, layout.replica, parts.clock),
        distribution=distribution,
        reconciler=reconciler,
        health=HealthWatch(parts, distribution, reconciler, ask_health),
        deployments=deployments,
        environments=Environments(parts, deployments, rollout, switch),
        removal=Removal(parts, deployments, switch, retirement),
        patches=Patches(parts, deployments, rollout, retirement, token_of=tokens.edge, smoke_call=smoke),
        retirement=retirement,
        housekeeping=Housekeeping(parts, writer, layout.replicas),
        rotation=LogRotation(layout),
        writer=writer,
    )


def _connector(tokens: Tokens) -> ReplicaConnect:
    def connect(address: str, replica_id: str) -> ReplicaClient:
        return ReplicaClient(address, tokens.replica_admin(replica_id), replica_id)

    return connect


def _gateway_url(layout: Layout) -> str:
    found = layout.read_platform_file()
    return found.gateway_url if found is not None else ""


__all__ = ["Services", "open_services", "random_id"]
