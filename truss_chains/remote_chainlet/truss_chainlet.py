"""How a Chainlet reaches a sibling that wraps a Truss: addresses and headers, no client.

Inside a deployed Chainlet the addresses of siblings are in a file that the platform mounts, the
key of the Chain is a secret. Both are read once a process.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from chains_protocol.errors import Code
from truss_chains.context import CHAIN_API_KEY_SECRET, SECRET_PLACEHOLDER, InternalURL
from truss_chains.errors import MissingDependencyError

DYNAMIC_CONFIG_FILE: Final = Path("/etc/b10_dynamic_config/dynamic_chainlet_config")
DYNAMIC_CONFIG_VARIABLE: Final = "CHAINS_DYNAMIC_CHAINLET_CONFIG"
"""Names another file than the one above, where a platform can't mount it there."""
SECRETS_DIR: Final = Path("/secrets")
SECRET_VARIABLE_PREFIX: Final = "TRUSS_SECRET_"  # noqa: S105 (no secret)

_RUN_REMOTE: Final = "/run_remote"


@dataclass(frozen=True)
class ServiceURLs:
    """Where a sibling is: at least one of the two."""

    predict_url: str | None = None
    internal_url: InternalURL | None = None


@dataclass(frozen=True)
class CallArgs:
    """What to give to a client of your choice."""

    url: str
    headers: Mapping[str, str] = field(repr=False)


class TrussHandle:
    """Handle of a sibling `TrussChainlet`.

    Args:
        target: its display name or its class.
    """

    def __init__(self, target: str | type) -> None:
        self._target = target

    @property
    def urls(self) -> ServiceURLs:
        """Its addresses; see `get_service_urls`."""
        return get_service_urls(self._target)

    def http_call_args(
        self, *, prefer_internal: bool = False, sync_path: str | None = None, api_key: str | None = None
    ) -> CallArgs:
        """URL and headers of an HTTP request.

        Args:
            prefer_internal: go through the internal gateway if there is one.
            sync_path: a path of the wrapped server, `v1/x`, instead of its predict endpoint.
            api_key: the Chain's own key if None.
        """
        return http_call_args(
            self.urls,
            api_key or get_baseten_chain_api_key(),
            prefer_internal=prefer_internal,
            sync_path=sync_path,
        )

    def ws_call_args(self, *, sync_path: str | None = None, api_key: str | None = None) -> CallArgs:
        """URL and headers of a websocket.

        Raises:
            MissingDependencyError: CH509, the sibling has no public URL.
        """
        return ws_call_args(self.urls, api_key or get_baseten_chain_api_key(), sync_path=sync_path)


def http_call_args(
    urls: ServiceURLs, api_key: str, *, prefer_internal: bool = False, sync_path: str | None = None
) -> CallArgs:
    """URL and headers of an HTTP request to a service at `urls`."""
    headers = {"Authorization": f"Api-Key {api_key}"}
    internal = urls.internal_url
    if internal is not None and (prefer_internal or urls.predict_url is None):
        return CallArgs(
            _with_path(internal.gateway_run_remote_url, sync_path), {**headers, "Host": internal.hostname}
        )
    return CallArgs(_with_path(urls.predict_url or "", sync_path), headers)


def ws_call_args(urls: ServiceURLs, api_key: str, *, sync_path: str | None = None) -> CallArgs:
    """URL and headers of a websocket to a service at `urls`."""
    if urls.predict_url is None:
        raise MissingDependencyError(
            "A websocket needs the public URL (`predict_url`) of the service, and it has none.",
            code=Code.MISSING_SERVICE,
        )
    base = urls.predict_url.removesuffix(_RUN_REMOTE)
    url = f"{base}/websocket" if sync_path is None else _with_path(base, sync_path)
    parts = urlsplit(url)
    scheme = {"https": "wss", "http": "ws"}.get(parts.scheme, parts.scheme)
    return CallArgs(urlunsplit(parts._replace(scheme=scheme)), {"Authorization": f"Api-Key {api_key}"})


def _with_path(url: str, sync_path: str | None) -> str:
    if sync_path is None:
        return url
    return f"{url.removesuffix(_RUN_REMOTE)}/sync/{sync_path.lstrip('/')}"


def get_service_urls(target: str | type, *, config_file: Path | None = None) -> ServiceURLs:
    """The addresses of a sibling, by display name or class (R-33).

    Args:
        target: display name, or a Chainlet class.
        config_file: where the addresses are; the platform's file if None.

    Raises:
        TypeError: `target` is something else.
        MissingDependencyError: CH509, there is no such sibling, or this is not inside a Chain.
    """
    name = target if isinstance(target, str) else getattr(target, "display_name", None)
    if not isinstance(name, str):
        raise TypeError(f"a display name or a Chainlet class is needed, not `{target!r}`")
    services = _services(config_file or Path(os.environ.get(DYNAMIC_CONFIG_VARIABLE) or DYNAMIC_CONFIG_FILE))
    if name not in services:
        known = ", ".join(f"`{key}`" for key in sorted(services)) or "none"
        raise MissingDependencyError(
            f"No sibling is called `{name}`; known are: {known}.", code=Code.MISSING_SERVICE
        )
    entry: Mapping[str, Any] = services[name]
    internal = entry.get("internal_url")
    return ServiceURLs(entry.get("predict_url"), internal and InternalURL.model_validate(internal))


@cache
def _services(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text()
    except OSError as error:
        raise MissingDependencyError(
            f"Addresses of siblings are only known inside a deployed Chain: `{path}` can't be read.",
            code=Code.MISSING_SERVICE,
        ) from error
    found = json.loads(text) if text.strip() else {}
    return found if isinstance(found, dict) else {}


@cache
def get_baseten_chain_api_key(*, secrets_dir: Path = SECRETS_DIR) -> str:
    """The key that opens calls to siblings, from the secret store (R-31).

    Raises:
        MissingDependencyError: CH508, it is not there.
    """
    name = CHAIN_API_KEY_SECRET
    file = secrets_dir / name
    try:
        key = file.read_text().strip()
    except OSError:
        key = os.environ.get(f"{SECRET_VARIABLE_PREFIX}{name}", "")
    if key in ("", SECRET_PLACEHOLDER):
        raise MissingDependencyError(
            f"The secret `{name}` is missing: neither `{file}` nor the environment variable "
            f"`{SECRET_VARIABLE_PREFIX}{name}` has it.",
            code=Code.MISSING_SECRET,
        )
    return key


__all__ = [
    "CallArgs",
    "ServiceURLs",
    "TrussHandle",
    "get_baseten_chain_api_key",
    "get_service_urls",
    "http_call_args",
    "ws_call_args",
]
