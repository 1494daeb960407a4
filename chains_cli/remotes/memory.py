"""A remote in memory: the fake that tests use, held to the same contract suite as the real platform.

It runs no code: a deployment is active as soon as it was accepted (or what `settle` says), and
a call is answered by the function it was made with.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count

from chains_cli.remotes import memory_state as state
from chains_cli.remotes.memory_state import Chain, Deployment
from chains_cli.remotes.remote import CallReply, Progress
from chains_protocol.control import (
    ChainInfo,
    ChainList,
    DeploymentInfo,
    DeploymentKind,
    DeploymentState,
    DeployRequest,
    Event,
    EventKind,
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
from chains_protocol.digest import bytes_digest
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Severity
from chains_protocol.manifest import ChainManifest
from chains_protocol.patch import PatchOutcome, PatchRequest
from chains_protocol.rpc import JSON_TYPE


@dataclass(frozen=True, slots=True)
class Call:
    """A call that reached the remote: which deployment answers, and what it was sent."""

    deployment: DeploymentInfo
    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call is answered with; several chunks make a stream."""

    chunks: tuple[bytes, ...]
    status: int = 200
    content_type: str = JSON_TYPE


Settled = tuple[DeploymentState, tuple[Diagnostic, ...]]


def _active(manifest: ChainManifest) -> Settled:
    return DeploymentState.ACTIVE, ()


def _echo(call: Call) -> Answer:
    return Answer((call.body,), content_type=call.content_type)


def _no_findings(manifest: ChainManifest, allow_missing: tuple[str, ...]) -> tuple[Diagnostic, ...]:
    return ()


@dataclass(slots=True)
class MemoryRemote:
    """See `Remote` for what the methods do.

    Args:
        answer: answers calls; by default with their own body.
        settle: what becomes of a deployment; by default it is active.
        check: what the remote cannot honour in a manifest.
        clock: Unix seconds.
    """

    answer: Callable[[Call], Answer] = _echo
    settle: Callable[[ChainManifest], Settled] = _active
    check: Callable[[ChainManifest, tuple[str, ...]], tuple[Diagnostic, ...]] = _no_findings
    clock: Callable[[], float] = lambda: 0.0
    name: str = "memory"
    blobs: dict[str, bytes] = field(default_factory=dict)
    log_lines: dict[str, list[LogLine]] = field(default_factory=dict)
    """What replicas wrote, by deployment id; tests fill it."""
    secret_values: dict[str, str] = field(default_factory=dict)
    is_running: bool = True
    _chains: dict[str, Chain] = field(default_factory=dict)
    _events: list[Event] = field(default_factory=list)
    _ids: Iterator[int] = field(default_factory=lambda: count(1))

    # --- the platform

    def health(self) -> Health:
        self._require_running()
        return Health(version="memory", instance="memory", gateway_url=state.BASE_URL)

    def shutdown(self) -> None:
        self._require_running()
        self.is_running = False

    def close(self) -> None:
        """Nothing is open."""

    def collect(self, request: GcRequest) -> GcReply:
        """Blobs that no deployment names; they have no age here, so a bound keeps them all."""
        self._require_running()
        live = [
            d for c in self._chains.values() for d in c.deployments if d.state is not DeploymentState.DELETED
        ]
        used = {e.digest for d in live for p in d.manifest.packages for e in p.files}
        gone = {} if request.older_than_s else {k: v for k, v in self.blobs.items() if k not in used}
        if not request.dry_run:
            self.blobs = {k: v for k, v in self.blobs.items() if k not in gone}
        return GcReply(blobs=len(gone), freed_bytes=sum(map(len, gone.values())))

    # --- push

    def plan(self, chain: str, request: PlanRequest) -> PlanReply:
        self._require_running()
        self._check_manifest(chain, request.manifest)
        known = self._chains.get(chain)
        current = known.current(request.kind) if known else None
        unchanged = state.is_same(current, request.manifest)
        return PlanReply(
            chainlets=state.plan_chainlets(request.manifest, current, request.kind),
            missing_blobs=state.missing_blobs(request.manifest.packages, self.blobs),
            current_deployment=current.id if current is not None and current.is_active else None,
            unchanged=unchanged,
            current=state.info(known, current) if known and current and unchanged else None,
            diagnostics=self.check(request.manifest, request.allow_missing),
        )

    def upload(self, blobs: Mapping[str, bytes], progress: Progress | None = None) -> int:
        self._require_running()
        sent = 0
        for digest, data in blobs.items():
            if bytes_digest(data) != digest:
                raise _refused(Code.BLOB_MISMATCH, f"content does not match digest {digest}")
            self.blobs[digest] = data
            sent += len(data)
            if progress is not None:
                progress(sent)
        return sent

    def blob(self, digest: str) -> bytes:
        self._require_running()
        if digest not in self.blobs:
            raise _refused(Code.BAD_REQUEST, f"there is no blob {digest}")
        return self.blobs[digest]

    def deploy(self, chain: str, request: DeployRequest) -> DeploymentInfo:
        self._require_running()
        manifest = request.manifest
        self._check_manifest(chain, manifest)
        missing = state.missing_blobs(manifest.packages, self.blobs)
        if missing:
            raise _refused(Code.BAD_REQUEST, f"{len(missing)} blobs of the manifest are not here")
        diagnostics = self.check(manifest, request.allow_missing)
        if any(d.severity is Severity.ERROR for d in diagnostics):
            raise DiagnosticsError(diagnostics)
        known = self._chains.get(chain) or Chain(chain, self.clock())
        current = known.current(request.kind)
        if current is not None and self._is_done(known, current, request):
            return state.info(known, current)
        return self._begin(known, current, request, diagnostics)

    def _is_done(self, chain: Chain, current: Deployment, request: DeployRequest) -> bool:
        environments = chain.environments_of(current.id)
        is_where_wished = request.environment is None or request.environment in environments
        return state.is_same(current, request.manifest) and is_where_wished

    def _begin(
        self,
        chain: Chain,
        current: Deployment | None,
        request: DeployRequest,
        diagnostics: tuple[Diagnostic, ...],
    ) -> DeploymentInfo:
        """Accept a deployment. What is returned is queued; the next look shows what became of it."""
        is_update = request.kind is DeploymentKind.DEVELOPMENT and current is not None
        queued = Deployment(
            id=current.id if is_update and current is not None else f"d{next(self._ids)}",
            kind=request.kind,
            state=DeploymentState.QUEUED,
            manifest=request.manifest,
            created_at=self.clock(),
            name=request.deployment_name,
            version=current.version + 1 if is_update and current is not None else 1,
            diagnostics=diagnostics,
            versions=current.versions if is_update and current is not None else (),
        )
        queued_info = state.info(chain.with_deployment(queued), queued)
        self._note(chain.name, queued, EventKind.DEPLOYMENT_STATE)
        settled, found = self.settle(request.manifest)
        after = replace(queued, state=settled, diagnostics=(*diagnostics, *found))
        chain = chain.with_deployment(after)
        if after.is_active:
            chain = chain.with_deployment(after := after.remembering(self.clock()))
            if request.environment is not None:
                chain = chain.pointing(request.environment, after.id)
            chain = chain.without_superseded()
        self._chains[chain.name] = chain
        self._note(chain.name, after, EventKind.DEPLOYMENT_STATE)
        return queued_info

    def _check_manifest(self, chain: str, manifest: ChainManifest) -> None:
        if manifest.chain_name != chain:
            raise _refused(Code.BAD_REQUEST, f"the manifest is of chain `{manifest.chain_name}`")
        for package in manifest.packages:
            if package.computed_digest() != package.digest:
                raise _refused(
                    Code.BLOB_MISMATCH,
                    f"the digest of `{package.spec.display_name}` is not that of its files",
                )

    # --- looking

    def chains(self) -> ChainList:
        self._require_running()
        return ChainList(chains=tuple(self._chain_info(c) for _, c in sorted(self._chains.items())))

    def chain(self, chain: str) -> ChainInfo:
        return self._chain_info(self._find_chain(chain))

    def deployment(self, chain: str, selector: str) -> DeploymentInfo:
        return state.info(*self._find(chain, selector))

    def manifest(self, chain: str, selector: str, version: int | None = None) -> PackageReply:
        _, found = self._find(chain, selector)
        if version is None or version == found.version:
            return PackageReply(deployment=found.id, version=found.version, manifest=found.manifest)
        for earlier in found.versions:
            if earlier.version == version:
                return PackageReply(deployment=found.id, version=version, manifest=earlier.manifest)
        raise _refused(Code.UNKNOWN_DEPLOYMENT, f"deployment `{found.id}` has no version {version}")

    def versions(self, chain: str, selector: str) -> VersionList:
        _, found = self._find(chain, selector)
        return state.version_list(found)

    def events(self, chain: str, selector: str, *, after: int = 0, follow: bool = True) -> Iterator[Event]:
        """What happened so far; `follow` changes nothing, for nothing happens by itself here."""
        _, found = self._find(chain, selector)
        yield from [e for e in self._events if e.deployment == found.id and e.id > after]

    def logs(
        self,
        chain: str,
        selector: str,
        *,
        chainlet: str | None = None,
        follow: bool = False,
        since: float | None = None,
    ) -> Iterator[LogLine]:
        _, found = self._find(chain, selector)
        if chainlet is not None and found.package(chainlet) is None:
            raise _refused(Code.UNKNOWN_CHAINLET, f"the deployment of `{chain}` has no chainlet `{chainlet}`")
        for line in self.log_lines.get(found.id, []):
            if chainlet in (None, line.chainlet) and (since is None or line.at >= since):
                yield line

    # --- changing

    def patch(self, chain: str, request: PatchRequest) -> PatchOutcome:
        known, current = self._find(chain, request.deployment)
        if current.kind is not DeploymentKind.DEVELOPMENT:
            raise _refused(Code.NOT_DEVELOPMENT, f"deployment `{current.id}` is published")
        running = {p.spec.display_name: p.digest for p in current.manifest.packages}
        if request.base_version != current.version or dict(request.base) != running:
            raise _refused(
                Code.STALE_BASE, f"the deployment is at version {current.version} with other packages"
            )
        self.upload(request.blobs)
        packages = state.next_packages(current, request)
        missing = state.missing_blobs(packages, self.blobs)
        if missing:
            raise _refused(Code.BAD_REQUEST, f"{len(missing)} blobs of the patch are not here")
        manifest = ChainManifest(chain_name=chain, entrypoint=request.entrypoint, packages=packages)
        after = replace(current, manifest=manifest, version=current.version + 1)
        after = after.remembering(self.clock(), request.restores)
        self._chains[chain] = known.with_deployment(after)
        self._note(chain, after, EventKind.PATCH)
        return PatchOutcome(
            committed=True, version=after.version, chainlets=state.outcomes(request, packages)
        )

    def give_up(self, chain: str, attempt: str) -> None:
        """Nothing: a patch is done at once."""

    def promote(self, chain: str, environment: str, deployment: str) -> DeploymentInfo:
        known, found = self._find(chain, deployment)
        if found.kind is DeploymentKind.DEVELOPMENT:
            raise _refused(Code.BAD_REQUEST, "a development deployment cannot be promoted")
        return self._point(known.pointing(environment, found.id), found)

    def rollback(self, chain: str, environment: str) -> DeploymentInfo:
        known = self._find_chain(chain)
        history = known.pointers.get(environment, ())
        if len(history) < 2:
            raise _refused(
                Code.UNKNOWN_ENVIRONMENT,
                f"environment `{environment}` of `{chain}` pointed at nothing before",
            )
        _, found = self._find(chain, history[-2])
        pointers = {**known.pointers, environment: history[:-1]}
        return self._point(replace(known, pointers=pointers), found)

    def _point(self, chain: Chain, found: Deployment) -> DeploymentInfo:
        active = replace(found, state=DeploymentState.ACTIVE)
        chain = chain.with_deployment(active).without_superseded()
        self._chains[chain.name] = chain
        self._note(chain.name, active, EventKind.PROMOTED)
        return state.info(chain, active)

    def delete_chain(self, chain: str) -> None:
        del self._chains[self._find_chain(chain).name]

    def delete_deployment(self, chain: str, selector: str) -> None:
        known, found = self._find(chain, selector)
        environments = known.environments_of(found.id)
        if environments:
            raise _refused(
                Code.BAD_REQUEST, f"environment `{environments[0]}` points at deployment `{found.id}`"
            )
        gone = replace(found, state=DeploymentState.DELETED)
        self._chains[chain] = known.with_deployment(gone)
        self._note(chain, gone, EventKind.DEPLOYMENT_STATE)

    # --- secrets

    def set_secret(self, name: str, value: str) -> None:
        self._require_running()
        self.secret_values[name] = value

    def delete_secret(self, name: str) -> None:
        self._require_running()
        if self.secret_values.pop(name, None) is None:
            raise _refused(Code.BAD_REQUEST, f"there is no secret `{name}`")

    def secrets(self) -> SecretNames:
        self._require_running()
        return SecretNames(names=tuple(sorted(self.secret_values)))

    # --- calling

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
        self._require_running()
        found = self._called(chain, selector)
        if found is None:
            text = f'{{"error": "there is no `{chain}/{selector}`"}}'
            yield CallReply(404, JSON_TYPE, iter((text.encode(),)))
            return
        answer = self.answer(Call(found, body, content_type))
        yield CallReply(answer.status, answer.content_type, iter(answer.chunks))

    def _called(self, chain: str, selector: str) -> DeploymentInfo | None:
        known = self._chains.get(chain)
        if known is None:
            return None
        environment = selector.removeprefix("environments/")
        if environment in known.pointers and selector in ("production", f"environments/{environment}"):
            found = known.find(known.pointers[environment][-1])
        else:
            found = known.find(selector.removeprefix("deployment/"))
        return state.info(known, found) if found is not None and found.is_active else None

    # --- small things

    def _require_running(self) -> None:
        if not self.is_running:
            raise _refused(Code.REMOTE_UNREACHABLE, f"`{self.name}` was shut down")

    def _find_chain(self, chain: str) -> Chain:
        self._require_running()
        found = self._chains.get(chain)
        if found is None:
            raise _refused(Code.UNKNOWN_CHAIN, f"there is no chain `{chain}`")
        return found

    def _find(self, chain: str, selector: str) -> tuple[Chain, Deployment]:
        known = self._find_chain(chain)
        found = known.find(selector)
        if found is None:
            raise _refused(Code.UNKNOWN_DEPLOYMENT, f"chain `{chain}` has no deployment `{selector}`")
        return known, found

    @staticmethod
    def _chain_info(chain: Chain) -> ChainInfo:
        live = [d for d in chain.deployments if d.state is not DeploymentState.DELETED]
        deployments = tuple(state.info(chain, d) for d in reversed(live))
        return ChainInfo(name=chain.name, created_at=chain.created_at, deployments=deployments)

    def _note(self, chain: str, deployment: Deployment, kind: EventKind) -> None:
        event = Event(
            id=len(self._events) + 1,
            kind=kind,
            at=self.clock(),
            chain_name=chain,
            deployment=deployment.id,
            data={"state": deployment.state.value, "version": deployment.version},
        )
        self._events.append(event)


def _refused(code: Code, message: str) -> DiagnosticsError:
    return DiagnosticsError([Diagnostic(code=code, message=message)])


__all__ = ["Answer", "Call", "MemoryRemote"]
