"""The table of routes, prepared for look-ups: pure data, replaced as a whole."""

from dataclasses import dataclass, field

from chains_protocol.routes import GatewayRoutes, GatewayTarget, ReplicaSet, choose_set

_ENVIRONMENT = "environments/"
_PRODUCTION = "production"
_NOBODY = ReplicaSet(token="")


@dataclass(frozen=True)
class Table:
    """`GatewayRoutes` with indexes."""

    routes: GatewayRoutes
    chains: frozenset[str] = frozenset()
    _targets: dict[str, GatewayTarget] = field(default_factory=dict)
    _by_path: dict[tuple[str, str], GatewayTarget] = field(default_factory=dict)

    @classmethod
    def of(cls, routes: GatewayRoutes) -> "Table":
        targets = {target.deployment: target for target in routes.targets}
        by_path: dict[tuple[str, str], GatewayTarget] = {}
        for route in routes.routes:
            if route.deployment in targets:
                by_path[route.chain, route.selector] = targets[route.deployment]
        return cls(routes, frozenset(route.chain for route in routes.routes), targets, by_path)

    def find(self, chain: str, selector: str) -> GatewayTarget | None:
        """The deployment a new request goes to. `environments/production` is `production`."""
        if selector == _ENVIRONMENT + _PRODUCTION:
            selector = _PRODUCTION
        found = self._by_path.get((chain, selector))
        if found is None and selector == _PRODUCTION:
            return self._by_path.get((chain, _ENVIRONMENT + _PRODUCTION))
        return found

    def replicas(self, deployment: str, version: int) -> ReplicaSet | None:
        """The replicas that serve a version now, perhaps none; None if the deployment left the table."""
        target = self._targets.get(deployment)
        if target is None:
            return None
        return choose_set(target.sets, version) or _NOBODY

    def addresses(self) -> frozenset[str]:
        """Every address that a request could go to."""
        return frozenset(a for t in self.routes.targets for s in t.sets for a in s.addresses)


__all__ = ["Table"]
