"""Who may ask: tokens, and the `Host` and `Origin` a request may carry.

A web page can make a browser send requests to a loopback port. It can't choose the `Host`
of its own name nor leave out `Origin`, so checking both keeps foreign pages out (DNS
rebinding included); the token keeps out everything else.
"""

import hmac
import ipaddress
from dataclasses import dataclass, field

from chains_protocol.rpc import bearer_token

_MAX_KNOWN = 256


@dataclass(frozen=True)
class Access:
    """What a listener accepts. `hosts` are names besides loopback, `origins` besides its own."""

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    _known: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)

    def host_allowed(self, host: str) -> bool:
        """Whether a `Host` header names this listener."""
        known = self._known.get(host)
        if known is None:
            known = self._host_allowed(host)
            if len(self._known) < _MAX_KNOWN:
                self._known[host] = known
        return known

    def origin_allowed(self, origin: str | None, host: str) -> bool:
        """Whether a page of that origin may ask: none, our own, or one that was configured."""
        return origin is None or origin in (f"http://{host}", f"https://{host}") or origin in self.origins

    def _host_allowed(self, host: str) -> bool:
        name = _without_port(host).lower()
        if name == "localhost" or name.endswith(".localhost") or name in self.hosts:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


def token_matches(authorization: str, expected: bytes) -> bool:
    """Whether an `Authorization` header, `Api-Key` or `Bearer`, carries the expected token."""
    return hmac.compare_digest(bearer_token(authorization).encode("utf-8", "replace"), expected)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


__all__ = ["Access", "token_matches"]
