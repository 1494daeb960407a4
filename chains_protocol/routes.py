"""Who reaches whom: the tables that the control plane gives to gateway and replicas.

Every table carries, for each Chainlet, a list of replica sets with the version they serve
from. A request of version v goes to the set with the largest `since` that is not above v.
So a patch tells only what changed, and old and new run side by side until the old drained.
"""

from collections.abc import Sequence

from pydantic import Field

from chains_protocol.base import Frozen
from chains_protocol.spec import RPCOptions


class ReplicaSet(Frozen):
    """Replicas that serve one Chainlet from version `since` on.

    An address is `unix:<absolute path>` or `http://host:port`. `token` opens exactly this
    edge: the caller sends it as `Authorization: Api-Key <token>`.
    """

    since: int = 1
    addresses: tuple[str, ...] = ()
    token: str = Field(repr=False)


class Callee(Frozen):
    """A dependency as the caller sees it."""

    class_name: str
    display_name: str
    options: RPCOptions = RPCOptions()
    sets: tuple[ReplicaSet, ...] = ()


class DeploymentRoutes(Frozen):
    """What one replica may call on behalf of one deployment."""

    deployment: str
    callees: tuple[Callee, ...] = ()


class ReplicaRoutes(Frozen):
    """The whole table of one replica: replaces what it had. `accepts` are the tokens it lets in."""

    deployments: tuple[DeploymentRoutes, ...] = ()
    accepts: tuple[str, ...] = Field(default=(), repr=False)


class GatewayTarget(Frozen):
    """A deployment at the gateway: the version new requests get, and its entrypoint's replicas."""

    deployment: str
    version: int
    entrypoint: str
    is_websocket: bool = False
    is_streaming: bool = False
    sets: tuple[ReplicaSet, ...] = ()


class GatewayRoute(Frozen):
    """`/chains/{chain}/{selector}` -> deployment; a selector is `development`, `production`,
    `environments/NAME` or `deployment/ID`."""

    chain: str
    selector: str
    deployment: str


class GatewayRoutes(Frozen):
    """The gateway's whole table; it replaces the former in one assignment. `serial` only grows."""

    serial: int
    targets: tuple[GatewayTarget, ...] = ()
    routes: tuple[GatewayRoute, ...] = ()


class GatewayStatus(Frozen):
    """`in_flight` maps `<deployment>.<version>` to requests, streams and websockets still open."""

    pid: int
    serial: int
    in_flight: dict[str, int] = Field(default_factory=dict)


def choose_set(sets: Sequence[ReplicaSet], version: int) -> ReplicaSet | None:
    """The set that serves `version`: the latest not after it, else the earliest; None if empty."""
    if not sets:
        return None
    fitting = [s for s in sets if s.since <= version]
    return max(fitting, key=lambda s: s.since) if fitting else min(sets, key=lambda s: s.since)


__all__ = [
    "Callee",
    "DeploymentRoutes",
    "GatewayRoute",
    "GatewayRoutes",
    "GatewayStatus",
    "GatewayTarget",
    "ReplicaRoutes",
    "ReplicaSet",
    "choose_set",
]
