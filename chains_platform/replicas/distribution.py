"""Brings the tables of routes to gateway and replicas, only those that changed."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from chains_platform.ledger import Ledger
from chains_platform.replicas import routing
from chains_platform.state import ReplicaRecord, State
from chains_protocol.errors import DiagnosticsError
from chains_protocol.replica import (
    PrepareReply,
    PrepareRequest,
    ReplicaState,
    ReplicaStatus,
)
from chains_protocol.routes import GatewayRoutes, GatewayStatus, ReplicaRoutes

LOST: Final = (ConnectionError, OSError, DiagnosticsError)
"""What a client raises when its peer is gone or does not answer as it should."""

_log = logging.getLogger(__name__)


class ReplicaAdmin(Protocol):
    """What `replicas.client.ReplicaClient` offers, as far as it is used here."""

    async def status(self) -> ReplicaStatus: ...
    async def put_routes(self, routes: ReplicaRoutes) -> ReplicaStatus: ...
    async def prepare(self, request: PrepareRequest, timeout_s: float = 600.0) -> PrepareReply: ...
    async def commit(self, transaction: str) -> ReplicaStatus: ...
    async def abort(self, transaction: str) -> ReplicaStatus: ...
    async def retire(self, below: int, open_versions: tuple[int, ...] = ()) -> ReplicaStatus: ...
    async def wait_ready(self, is_alive: Callable[[], bool], timeout_s: float) -> ReplicaStatus: ...
    async def close(self) -> None: ...


class GatewayAdmin(Protocol):
    """What `replicas.client.GatewayClient` offers, as far as it is used here."""

    async def put_routes(self, routes: GatewayRoutes) -> GatewayStatus: ...
    async def status(self) -> GatewayStatus: ...
    async def wait_drained(self, deployment: str, below: int, timeout_s: float) -> bool: ...
    async def close(self) -> None: ...


ReplicaConnect = Callable[[str, str], ReplicaAdmin]
"""(address, replica id) -> its client."""


_Process = tuple[str, int]


class Distribution:
    """The clients of all replicas and what each was told last."""

    def __init__(
        self, ledger: Ledger, gateway: GatewayAdmin, connect: ReplicaConnect, token_of: routing.TokenOf
    ) -> None:
        self._ledger = ledger
        self.gateway = gateway
        self._connect = connect
        self._token_of = token_of
        # by replica and process: what the former process of a replica was told says nothing
        self._clients: dict[_Process, ReplicaAdmin] = {}
        self._sent: dict[_Process, ReplicaRoutes] = {}
        self._gateway_sent: GatewayRoutes | None = None
        self._serial = 0
        self._gateway_lock = asyncio.Lock()
        self._replica_lock = asyncio.Lock()

    def client(self, replica: ReplicaRecord) -> ReplicaAdmin:
        """The client of a replica that runs."""
        key = (replica.id, replica.pid or 0)
        found = self._clients.get(key)
        if found is None:
            found = self._clients[key] = self._connect(replica.address, replica.id)
        return found

    async def forget(self, replica_id: str, pid: int | None) -> None:
        """A replica's process is gone: what it was told is void."""
        self._sent.pop((replica_id, pid or 0), None)
        client = self._clients.pop((replica_id, pid or 0), None)
        if client is not None:
            await client.close()

    def table_of(self, set_id: str) -> ReplicaRoutes:
        """The table a replica of that set is to have now."""
        return routing.replica_routes(self._ledger.state, set_id, self._token_of)

    def launched_with(self, replica_id: str, pid: int, table: ReplicaRoutes) -> None:
        """A replica's process got this table with its launch."""
        self._sent[replica_id, pid] = table

    async def sync(self) -> None:
        """Tell all that changed to all it concerns: replicas first, so that a callee knows its callers."""
        await self.sync_replicas()
        await self.sync_gateway()

    async def sync_replicas(self) -> None:
        """Tables of the replicas. One that can't be reached is left to the watch over its process."""
        async with self._replica_lock:
            state = self._ledger.state
            tables: dict[str, ReplicaRoutes] = {}
            due: list[tuple[ReplicaRecord, ReplicaRoutes]] = []
            for replica in state.replicas.values():
                if replica.state is not ReplicaState.READY or replica.set_id not in state.sets:
                    continue
                if replica.set_id not in tables:
                    tables[replica.set_id] = routing.replica_routes(state, replica.set_id, self._token_of)
                if self._sent.get((replica.id, replica.pid or 0)) != tables[replica.set_id]:
                    due.append((replica, tables[replica.set_id]))
            await asyncio.gather(*(self._tell(replica, table) for replica, table in due))

    async def _tell(self, replica: ReplicaRecord, table: ReplicaRoutes) -> None:
        try:
            await self.client(replica).put_routes(table)
        except LOST as error:
            _log.warning("routes of replica %s not delivered: %s", replica.id, error)
            return
        self._sent[replica.id, replica.pid or 0] = table

    async def sync_gateway(self) -> GatewayStatus | None:
        """The gateway's table; None if nothing changed or it can't be reached (it is told later)."""
        async with self._gateway_lock:
            try:
                return await self._put(self._ledger.state)
            except LOST as error:
                _log.warning("the gateway's routes were not delivered: %s", error)
                return None

    async def switch(self, change: Callable[[State], State]) -> GatewayStatus:
        """Make a change visible: the gateway's table first, then the state, as one step.

        Raises:
            ConnectionError, OSError, DiagnosticsError: the gateway did not take it; nothing changed.
        """
        async with self._gateway_lock:
            status = await self._put(change(self._ledger.state))
            self._ledger.apply(change)
            return status if status is not None else await self.gateway.status()

    async def check_gateway(self) -> None:
        """Look whether the gateway still holds our table; give it again if it was restarted."""
        try:
            status = await self.gateway.status()
        except LOST:
            self._gateway_sent = None
            return
        if status.serial != self._serial or self._gateway_sent is None:
            self._gateway_sent = None
            await self.sync_gateway()

    async def _put(self, state: State) -> GatewayStatus | None:
        sent = self._gateway_sent
        if sent is None:  # an earlier control plane may have told it a table, or our last one is uncertain
            self._serial = max(self._serial, (await self.gateway.status()).serial)
        table = routing.gateway_routes(state, self._serial + 1, self._token_of)
        if sent is not None and (sent.targets, sent.routes) == (table.targets, table.routes):
            return None
        try:
            status = await self.gateway.put_routes(table)
        except BaseException:
            # it may have arrived: whatever comes next is newer than both
            self._serial, self._gateway_sent = table.serial, None
            raise
        self._serial, self._gateway_sent = table.serial, table
        return status

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(c.close() for c in self._clients.values()))
        self._clients.clear()
        await self.gateway.close()


def running(replicas: Iterable[ReplicaRecord]) -> tuple[ReplicaRecord, ...]:
    """Those with a process."""
    return tuple(r for r in replicas if r.pid is not None)


__all__ = ["LOST", "Distribution", "GatewayAdmin", "ReplicaAdmin", "ReplicaConnect", "running"]
