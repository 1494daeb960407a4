"""A control plane over HTTP (`docs/architecture.md`, section 6)."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final
from urllib.parse import quote, urlencode

import httpx

from chains_cli.remotes.http import ControlClient, Sleep
from chains_cli.remotes.remote import CallReply, Progress
from chains_cli.remotes.uploads import UPLOAD_TIMEOUT_S, send_large_blob
from chains_protocol.base import Reply
from chains_protocol.blobs import encode_blobs
from chains_protocol.control import (
    BlobReply,
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
    PromoteRequest,
    SecretNames,
    SecretValue,
    VersionList,
)
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.patch import PatchOutcome, PatchRequest
from chains_protocol.rpc import JSON_TYPE
from chains_protocol.version import PROTOCOL_VERSION

PLAN_TIMEOUT_S: Final = 300.0
PATCH_TIMEOUT_S: Final = 3600.0
_BATCH_BYTES: Final = 8 * 1024 * 1024
"""What is sent at once, so that progress is seen; far below what a platform accepts."""
_HEAD_BYTES: Final = 40


class _Anything(Reply):
    """An answer of which only the success matters."""


class PlatformRemote:
    """A control plane and its gateway. See `Remote` for what the methods do."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        name: str | None = None,
        gateway_url: str = "",
        transport: httpx.BaseTransport | None = None,
        sleep: Sleep = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Opens no connection yet.

        Args:
            url: of the control plane, without `/v1`.
            token: the API token.
            name: what users call this remote; the URL if None.
            gateway_url: where calls go; asked from the control plane if empty.
            transport: an httpx transport for tests.
        """
        self._client = ControlClient(url, token, transport=transport, sleep=sleep, clock=clock)
        self._name = name or self._client.url
        self._gateway_url = gateway_url.rstrip("/")

    @property
    def name(self) -> str:
        return self._name

    @property
    def url(self) -> str:
        return self._client.url

    def health(self) -> Health:
        health = self._client.ask("GET", "/v1/health", Health)
        if health.protocol != PROTOCOL_VERSION:
            raise other_protocol(self._client.url, health.protocol)
        return health

    def plan(self, chain: str, request: PlanRequest) -> PlanReply:
        path = f"/v1/chains/{_part(chain)}/plan"
        return self._client.ask("POST", path, PlanReply, body=request, timeout_s=PLAN_TIMEOUT_S)

    def upload(self, blobs: Mapping[str, bytes], progress: Progress | None = None) -> int:
        sent = 0
        tell = progress or _tell_nobody
        for batch in _batches(blobs):
            if len(batch) == 1 and len(batch[0][1]) > _BATCH_BYTES:
                send_large_blob(self._client, *batch[0], told=partial(_told_after, tell, sent))
            else:
                body = encode_blobs(batch)
                self._client.ask_again(
                    "POST", "/v1/blobs", BlobReply, content=body, timeout_s=UPLOAD_TIMEOUT_S
                )
            sent += sum(len(data) for _, data in batch)
            tell(sent)
        return sent

    def blob(self, digest: str) -> bytes:
        return self._client.fetch(f"/v1/blobs/{_part(digest)}", timeout_s=UPLOAD_TIMEOUT_S)

    def deploy(self, chain: str, request: DeployRequest) -> DeploymentInfo:
        path = f"/v1/chains/{_part(chain)}/deployments"
        return self._client.ask("POST", path, DeploymentInfo, body=request, timeout_s=PLAN_TIMEOUT_S)

    def chains(self) -> ChainList:
        return self._client.ask("GET", "/v1/chains", ChainList)

    def chain(self, chain: str) -> ChainInfo:
        return self._client.ask("GET", f"/v1/chains/{_part(chain)}", ChainInfo)

    def deployment(self, chain: str, selector: str) -> DeploymentInfo:
        return self._client.ask("GET", _deployment(chain, selector), DeploymentInfo)

    def manifest(self, chain: str, selector: str, version: int | None = None) -> PackageReply:
        query = f"?version={version}" if version is not None else ""
        return self._client.ask("GET", f"{_deployment(chain, selector)}/manifest{query}", PackageReply)

    def versions(self, chain: str, selector: str) -> VersionList:
        return self._client.ask("GET", f"{_deployment(chain, selector)}/versions", VersionList)

    def events(self, chain: str, selector: str, *, after: int = 0, follow: bool = True) -> Iterator[Event]:
        def path(last_id: str | None) -> str:
            query = urlencode({"after": last_id or after, "follow": int(follow)})
            return f"{_deployment(chain, selector)}/events?{query}"

        for event in self._client.events(path, follow=follow):
            yield Event.model_validate_json(event.data)

    def logs(
        self,
        chain: str,
        selector: str,
        *,
        chainlet: str | None = None,
        follow: bool = False,
        since: float | None = None,
    ) -> Iterator[LogLine]:
        latest = since

        def path(_: str | None) -> str:
            query: dict[str, str | float] = {"follow": int(follow)}
            if chainlet is not None:
                query["chainlet"] = chainlet
            if latest is not None:
                query["since"] = latest
            return f"{_deployment(chain, selector)}/logs?{urlencode(query)}"

        seen_at_latest: set[LogLine] = set()
        for event in self._client.events(path, follow=follow):
            line = LogLine.model_validate_json(event.data)
            if line in seen_at_latest:
                continue  # a resumed stream begins with the lines of the second it broke in
            seen_at_latest = {line} if latest is None or line.at > latest else {*seen_at_latest, line}
            latest = line.at
            yield line

    def patch(self, chain: str, request: PatchRequest) -> PatchOutcome:
        path = f"/v1/chains/{_part(chain)}/development/patches"
        return self._client.ask("POST", path, PatchOutcome, body=request, timeout_s=PATCH_TIMEOUT_S)

    def give_up(self, chain: str, attempt: str) -> None:
        path = f"/v1/chains/{_part(chain)}/development/patches/{_part(attempt)}"
        self._client.ask("DELETE", path, _Anything)

    def promote(self, chain: str, environment: str, deployment: str) -> DeploymentInfo:
        body = PromoteRequest(deployment=deployment)
        path = f"{_environment(chain, environment)}/promote"
        return self._client.ask("POST", path, DeploymentInfo, body=body, timeout_s=PATCH_TIMEOUT_S)

    def rollback(self, chain: str, environment: str) -> DeploymentInfo:
        path = f"{_environment(chain, environment)}/rollback"
        return self._client.ask("POST", path, DeploymentInfo, timeout_s=PATCH_TIMEOUT_S)

    def delete_chain(self, chain: str) -> None:
        self._client.ask("DELETE", f"/v1/chains/{_part(chain)}", _Anything, timeout_s=PLAN_TIMEOUT_S)

    def delete_deployment(self, chain: str, selector: str) -> None:
        self._client.ask("DELETE", _deployment(chain, selector), _Anything, timeout_s=PLAN_TIMEOUT_S)

    def set_secret(self, name: str, value: str) -> None:
        self._client.ask("PUT", f"/v1/secrets/{_part(name)}", _Anything, body=SecretValue(value=value))

    def delete_secret(self, name: str) -> None:
        self._client.ask("DELETE", f"/v1/secrets/{_part(name)}", _Anything)

    def secrets(self) -> SecretNames:
        return self._client.ask("GET", "/v1/secrets", SecretNames)

    @contextmanager
    def call(
        self,
        chain: str,
        selector: str,
        body: bytes,
        *,
        content_type: str = JSON_TYPE,
        timeout_s: float | None = None,
    ) -> Iterator[CallReply]:
        self._gateway_url = self._gateway_url or self.health().gateway_url.rstrip("/")
        url = f"{self._gateway_url}/chains/{_part(chain)}/{quote(selector, safe='/')}/run_remote"
        headers = {"content-type": content_type}
        with self._client.stream("POST", url, content=body, headers=headers, silence_s=timeout_s) as response:
            reply = CallReply(
                status=response.status_code,
                content_type=response.headers.get("content-type", ""),
                chunks=response.iter_bytes(),
                headers=dict(response.headers),
            )
            try:
                yield reply
            except httpx.TransportError as error:
                raise _broke_off(chain, error) from error

    def collect(self, request: GcRequest) -> GcReply:
        return self._client.ask("POST", "/v1/gc", GcReply, body=request, timeout_s=PLAN_TIMEOUT_S)

    def shutdown(self) -> None:
        self._client.ask("POST", "/v1/shutdown", _Anything, timeout_s=PATCH_TIMEOUT_S)

    def close(self) -> None:
        self._client.close()


def _batches(blobs: Mapping[str, bytes]) -> Iterator[Sequence[tuple[str, bytes]]]:
    """Small blobs together, up to a size that shows progress; a large one by itself."""
    batch: list[tuple[str, bytes]] = []
    size = 0
    for digest, data in blobs.items():
        length = len(data) + _HEAD_BYTES
        if batch and size + length > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append((digest, data))
        size += length
    if batch:
        yield batch


def _tell_nobody(sent: int) -> None:
    pass


def _told_after(tell: Progress, before: int, done: int) -> None:
    tell(before + done)


def _part(text: str) -> str:
    return quote(text, safe="")


def _deployment(chain: str, selector: str) -> str:
    return f"/v1/chains/{_part(chain)}/deployments/{_part(selector)}"


def _environment(chain: str, environment: str) -> str:
    return f"/v1/chains/{_part(chain)}/environments/{_part(environment)}"


def _broke_off(chain: str, error: httpx.TransportError) -> DiagnosticsError:
    return DiagnosticsError(
        [
            Diagnostic(
                code=Code.CALL_FAILED,
                message=f"the answer of `{chain}` broke off: {str(error) or type(error).__name__}",
                help=f"`chains logs {chain}` shows what its replicas wrote",
            )
        ]
    )


def other_protocol(url: str, protocol: int) -> DiagnosticsError:
    """CH314, and which side is older."""
    older = "the platform" if protocol < PROTOCOL_VERSION else "this tool"
    return DiagnosticsError(
        [
            Diagnostic(
                code=Code.PROTOCOL_MISMATCH,
                message=f"`{url}` speaks protocol {protocol}, this tool {PROTOCOL_VERSION}",
                help=f"bring {older} up to date; for the platform of this machine "
                "`chains platform down` and `chains platform up`",
            )
        ]
    )


__all__ = ["PlatformRemote", "other_protocol"]
