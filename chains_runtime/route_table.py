"""The routes of a replica, compiled for look-ups: whom it lets in, whom it reaches."""

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from chains_protocol.routes import ReplicaRoutes, ReplicaSet, choose_set
from chains_protocol.rpc import PREDICT_PATH, Revision


class TokenSet:
    """Tokens that open something. Comparison takes the same time whatever was presented.

    Only keyed digests are compared, under a key of this process, so that the time of a look-up
    tells nothing about a token.
    """

    def __init__(self, tokens: tuple[str, ...], key: bytes | None = None) -> None:
        self._key = secrets.token_bytes(32) if key is None else key
        self._digests = frozenset(self._digest(token.encode()) for token in tokens if token)

    def _digest(self, token: bytes) -> bytes:
        return hashlib.blake2b(token, key=self._key, digest_size=32).digest()

    def admits(self, authorization: bytes) -> bool:
        """Whether the value of an `Authorization` header, `Bearer` or `Api-Key`, is one of them."""
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() not in (b"api-key", b"bearer"):
            return False
        return self._digest(token.strip()) in self._digests


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach a dependency's replica set: its addresses, and the start of every request to it."""

    class_name: str
    revision: Revision
    addresses: tuple[str, ...]
    json_start: bytes
    binary_start: bytes


class RouteTable:
    """One `ReplicaRoutes`, immutable; a new table replaces it in one assignment.

    `deployment` is whose callees serve requests that name no deployment.
    """

    def __init__(self, routes: ReplicaRoutes, deployment: str) -> None:
        self.routes = routes
        self.deployment = deployment
        self.accepts = TokenSet(routes.accepts)
        self._sets = {
            (found.deployment, callee.class_name): callee.sets
            for found in routes.deployments
            for callee in found.callees
        }
        self._ways: dict[tuple[str, str, int], Way | None] = {}

    def way(self, class_name: str, revision: Revision) -> Way | None:
        """To a dependency, for a request of that revision; None if no replicas are known."""
        key = (revision.deployment, class_name, revision.version)
        try:
            return self._ways[key]
        except KeyError:
            if len(self._ways) > 10_000:  # a table lives as long as no deployment changes
                self._ways.clear()
            way = self._ways[key] = self._find(class_name, revision)
            return way

    def _find(self, class_name: str, revision: Revision) -> Way | None:
        chosen = self.target(class_name, revision)
        return None if chosen is None else _way(class_name, revision, chosen)

    def target(self, class_name: str, revision: Revision) -> ReplicaSet | None:
        """The replicas of a dependency for a request of that revision; None if none are known."""
        sets = self._sets.get((revision.deployment, class_name))
        if sets is None:
            sets = self._sets.get((self.deployment, class_name), ())
        return choose_set(sets, revision.version)

    def sets(self, class_name: str) -> tuple[ReplicaSet, ...]:
        """Of a dependency, for the replica's own deployment."""
        return self._sets.get((self.deployment, class_name), ())

    def addresses(self) -> Iterator[str]:
        """Every address of the table."""
        for sets in self._sets.values():
            for one in sets:
                yield from one.addresses


def _way(class_name: str, revision: Revision, chosen: ReplicaSet) -> Way:
    common = f"POST {PREDICT_PATH} HTTP/1.1\r\nauthorization: Api-Key {chosen.token}\r\ncontent-type: "
    return Way(
        class_name,
        revision,
        chosen.addresses,
        f"{common}application/json\r\n".encode(),
        f"{common}application/octet-stream\r\n".encode(),
    )


__all__ = ["RouteTable", "TokenSet", "Way"]
