"""What most services of the control plane work with, as one argument."""

from collections.abc import Callable
from dataclasses import dataclass

from chains_platform.blobs import BlobStore
from chains_platform.engines.engine import Engine
from chains_platform.events import EventLog
from chains_platform.ledger import Ledger
from chains_platform.replicas.distribution import Distribution
from chains_platform.secrets.store import SecretStore


@dataclass(frozen=True)
class Timeouts:
    """Seconds: of a start, and of requests in flight when something is stopped, deleted or shut down."""

    start_s: float = 600.0
    drain_s: float = 3600.0
    delete_s: float = 30.0
    shutdown_s: float = 30.0


@dataclass(frozen=True)
class Parts:
    """Made once by `services.open_services`."""

    ledger: Ledger
    engine: Engine
    blobs: BlobStore
    secrets: SecretStore
    events: EventLog
    distribution: Distribution
    new_id: Callable[[], str]
    clock: Callable[[], float]
    timeouts: Timeouts


__all__ = ["Parts", "Timeouts"]
