"""The interface of a remote.

Every method blocks until the answer is there. Whatever goes wrong is a `DiagnosticsError`:
CH301 the remote cannot be reached, CH302 it refuses the token, CH303/CH304/CH316/CH317
something is unknown there, CH305 somebody else changed it first, CH306 it does not
understand us, else the diagnostics the remote itself gave.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from chains_protocol.control import (
    ChainInfo,
    ChainList,
    DeploymentInfo,
    DeployRequest,
    Event,
    GcReply,
    GcRequest,
    Health,
    LogLine,
    PackageReply,
    PlanReply,
    PlanRequest,
    SecretNames,
    VersionList,
)
from chains_protocol.patch import PatchOutcome, PatchRequest
from chains_protocol.rpc import JSON_TYPE

DEVELOPMENT = "development"
LATEST = "latest"
"""Selectors of a deployment besides its id."""

Progress = Callable[[int], None]
"""Called with the bytes of blobs sent so far; grows."""


@dataclass(frozen=True, slots=True)
class CallReply:
    """The answer of the Chain itself, success or not.

    `chunks` yields the body as it arrives, each chunk once; `read` takes all that is left.
    """

    status: int
    content_type: str
    chunks: Iterator[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)

    def read(self) -> bytes:
        """The rest of the body."""
        return b"".join(self.chunks)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_json(self) -> bool:
        return self.content_type.partition(";")[0].strip().lower() == JSON_TYPE


class Remote(Protocol):
    """Where Chains run. Raises: see the module."""

    @property
    def name(self) -> str:
        """What users call it: a configured name or a URL."""
        ...

    def health(self) -> Health: ...

    def plan(self, chain: str, request: PlanRequest) -> PlanReply:
        """What deploying would do; changes nothing."""
        ...

    def upload(self, blobs: Mapping[str, bytes], progress: Progress | None = None) -> int:
        """Store blobs by digest; returns the bytes sent. Stored ones are not harmed by a repetition."""
        ...

    def blob(self, digest: str) -> bytes:
        """The bytes of a blob that something there refers to; CH306 if there is none."""
        ...

    def deploy(self, chain: str, request: DeployRequest) -> DeploymentInfo:
        """Make a deployment; returns before it is active. CH306 if a blob is missing."""
        ...

    def chains(self) -> ChainList: ...

    def chain(self, chain: str) -> ChainInfo: ...

    def deployment(self, chain: str, selector: str) -> DeploymentInfo:
        """One deployment; `selector` is an id, `development` or `latest` (the newest active one)."""
        ...

    def manifest(self, chain: str, selector: str, version: int | None = None) -> PackageReply:
        """What runs, or what ran as an earlier `version` (CH304 if that is not known any more)."""
        ...

    def versions(self, chain: str, selector: str) -> VersionList:
        """The versions of a development deployment, newest first; a published one has none."""
        ...

    def events(self, chain: str, selector: str, *, after: int = 0, follow: bool = True) -> Iterator[Event]:
        """Events with an id above `after`, oldest first; `follow` waits for more, without end.

        A broken connection is resumed after the last event seen, so none is lost or repeated.
        Close the iterator (`contextlib.closing`) to leave early.
        """
        ...

    def logs(
        self,
        chain: str,
        selector: str,
        *,
        chainlet: str | None = None,
        follow: bool = False,
        since: float | None = None,
    ) -> Iterator[LogLine]:
        """What replicas wrote, oldest first; `since` in Unix seconds."""
        ...

    def patch(self, chain: str, request: PatchRequest) -> PatchOutcome: ...

    def give_up(self, chain: str, attempt: str) -> None:
        """End the patch that was asked for under that name, if it is still being prepared.

        From another thread than that of `patch`, which then returns that nothing was committed.
        """
        ...

    def promote(self, chain: str, environment: str, deployment: str) -> DeploymentInfo: ...

    def rollback(self, chain: str, environment: str) -> DeploymentInfo: ...

    def delete_chain(self, chain: str) -> None: ...

    def delete_deployment(self, chain: str, selector: str) -> None: ...

    def set_secret(self, name: str, value: str) -> None: ...

    def delete_secret(self, name: str) -> None: ...

    def secrets(self) -> SecretNames: ...

    def call(
        self,
        chain: str,
        selector: str,
        body: bytes,
        *,
        content_type: str = JSON_TYPE,
        timeout_s: float | None = None,
    ) -> AbstractContextManager[CallReply]:
        """Call the entrypoint.

        Args:
            selector: `production`, `environments/NAME`, `development`, `deployment/ID` or `latest`.
            timeout_s: seconds without a byte until the call is given up (CH301); None waits.
        """
        ...

    def collect(self, request: GcRequest) -> GcReply:
        """Remove what no deployment refers to: packages, blobs, environments."""
        ...

    def shutdown(self) -> None:
        """Drain and stop the remote itself, with everything that runs there."""
        ...

    def close(self) -> None:
        """Give connections back; the remote cannot be used afterwards."""
        ...


__all__ = ["DEVELOPMENT", "LATEST", "CallReply", "Progress", "Remote"]
