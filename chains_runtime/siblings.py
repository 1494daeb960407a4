"""How code of a Chainlet reaches a sibling that wraps a Truss with a client of its own choice (R-31 to R-33).

A handle gives a URL and headers. Replicas listen on Unix sockets that only edges open, so a
relay on the loopback interface, in the caller's own process, stands for them: it lets in who has
this replica's key, and passes on to the declared dependencies and to nothing else. The file that
`TrussHandle` reads, and the key, are this replica's own.
"""

import json
import secrets
from collections.abc import Callable, Iterable, MutableMapping
from pathlib import Path
from urllib.parse import quote

from chains_protocol.rpc import REVISION, Revision
from chains_protocol.spec import ChainletSpec
from chains_runtime.relay import Relay
from chains_runtime.route_table import RouteTable
from truss_chains.calling import CURRENT_REQUEST
from truss_chains.context import CHAIN_API_KEY_SECRET
from truss_chains.remote_chainlet.truss_chainlet import (
    DYNAMIC_CONFIG_VARIABLE,
    SECRET_VARIABLE_PREFIX,
    CallArgs,
    ServiceURLs,
    TrussHandle,
    get_service_urls,
)


class SiblingHandle(TrussHandle):
    """A handle whose calls carry what belongs to the running request: its revision and its trace (R-22).

    Args:
        display_name: of the sibling.
        file: where the addresses are.
        key: what opens them.
    """

    def __init__(self, display_name: str, file: Path, key: str) -> None:
        super().__init__(display_name)
        self._name = display_name
        self._file = file
        self._key = key

    @property
    def urls(self) -> ServiceURLs:
        """Its addresses."""
        return get_service_urls(self._name, config_file=self._file)

    def http_call_args(
        self, *, prefer_internal: bool = False, sync_path: str | None = None, api_key: str | None = None
    ) -> CallArgs:
        """URL and headers of an HTTP request; see `TrussHandle`."""
        key = api_key or self._key
        return _of_this_request(
            super().http_call_args(prefer_internal=prefer_internal, sync_path=sync_path, api_key=key)
        )

    def ws_call_args(self, *, sync_path: str | None = None, api_key: str | None = None) -> CallArgs:
        """URL and headers of a websocket; see `TrussHandle`."""
        return _of_this_request(super().ws_call_args(sync_path=sync_path, api_key=api_key or self._key))


def _of_this_request(made: CallArgs) -> CallArgs:
    request = CURRENT_REQUEST.get()
    stamped = {REVISION: request.revision} if request.revision else {}
    return CallArgs(made.url, {**made.headers, **request.forwarded, **stamped})


class Siblings:
    """The relay of one replica, and what tells user code about it; nothing is open before the first handle.

    Args:
        routes: returns the table that holds now.
        revision: the revision of requests that carry none.
        directory: where the file with the addresses is written.
        environ: gets the name of that file, and the key.
    """

    def __init__(
        self,
        routes: Callable[[], RouteTable],
        revision: Callable[[], Revision],
        directory: Path,
        environ: MutableMapping[str, str],
    ) -> None:
        self._routes = routes
        self._revision = revision
        self._directory = directory
        self._environ = environ
        self._relay: Relay | None = None
        self._file = directory
        self._told: dict[str, str] = {}

    @property
    def key(self) -> str:
        """What opens the relay; empty while there is none."""
        return self._relay.key if self._relay is not None else ""

    def handle(self, spec: ChainletSpec, display_name: str) -> SiblingHandle:
        """A handle of one of the Chainlet's dependencies."""
        if self._relay is None:
            self._relay = Relay(self._routes, self._revision, secrets.token_urlsafe(32))
        names = {d.display_name: d.class_name for d in spec.dependencies}
        if names != self._relay.names:
            self._relay.names = names
            self._offer(self._relay, names)
        return SiblingHandle(display_name, self._file, self._relay.key)

    def _offer(self, relay: Relay, names: Iterable[str]) -> None:
        """Write the file under a name of its own: readers remember what they read by its path."""
        self._file = self._directory / f"siblings-{secrets.token_hex(4)}.json"
        base = f"http://127.0.0.1:{relay.port}/chainlet"
        document = {name: {"predict_url": f"{base}/{quote(name, safe='')}/run_remote"} for name in names}
        self._file.write_text(json.dumps(document))
        self._told = {
            DYNAMIC_CONFIG_VARIABLE: str(self._file),
            f"{SECRET_VARIABLE_PREFIX}{CHAIN_API_KEY_SECRET}": relay.key,
        }
        self._environ.update(self._told)

    def close(self) -> None:
        """End the relay, and take the variables out of the environment again."""
        for name, value in self._told.items():
            if self._environ.get(name) == value:
                del self._environ[name]
        if self._relay is not None:
            self._relay.close()


__all__ = ["SiblingHandle", "Siblings"]
