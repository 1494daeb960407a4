"""Endpoints of chains and deployments."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from chains_platform.api.answers import event_stream, parse, reply
from chains_platform.api.endpoints import Endpoint, flag, name_of, number
from chains_platform.api.platform import Acknowledged
from chains_platform.refusals import unknown_chain, unknown_chainlet, unknown_version
from chains_platform.replicas.distribution import LOST
from chains_platform.services import Services
from chains_platform.state import DeploymentRecord, ReplicaRecord
from chains_platform.views import chain_info, deployment_info, version_list
from chains_protocol.control import (
    ChainInfo,
    ChainList,
    DeploymentInfo,
    DeployRequest,
    Event,
    LogLine,
    PackageReply,
    PlanReply,
    PlanRequest,
    PromoteRequest,
    VersionList,
)
from chains_protocol.manifest import ChainManifest
from chains_protocol.patch import PatchOutcome, PatchRequest
from chains_protocol.replica import ReplicaState, ReplicaStatus

_LOOK_S = 2.0
_MAX_ID = 2**63 - 1
"""SQLite's largest integer."""
_MAX_ID_DIGITS = 19


async def plan(services: Services, request: Request) -> Response:
    """What is there already is in the answer: a push that changes nothing asks only this."""
    planned = await services.deployments.plan(name_of(request, "chain"), await parse(request, PlanRequest))
    current = services.ledger.state.deployments.get(planned.current_deployment or "")
    if planned.unchanged and current is not None:
        planned = planned.model_copy(update={"current": _info(services, current)})
    return reply(planned)


async def deploy(services: Services, request: Request) -> Response:
    body = await parse(request, DeployRequest)
    record, is_new = await services.deployments.deploy(name_of(request, "chain"), body)
    return reply(_info(services, record), 202 if is_new else 200)


async def list_chains(services: Services, request: Request) -> Response:
    state, url = services.ledger.state, services.gateway_url()
    return reply(ChainList(chains=tuple(chain_info(state, name, url) for name in sorted(state.chains))))


async def show_chain(services: Services, request: Request) -> Response:
    chain = name_of(request, "chain")
    if chain not in services.ledger.state.chains:
        raise unknown_chain(chain)
    return reply(chain_info(services.ledger.state, chain, services.gateway_url()))


async def show_deployment(services: Services, request: Request) -> Response:
    record = _find(services, request)
    live = await _ask_replicas(services, record)
    return reply(deployment_info(services.ledger.state, record, services.gateway_url(), live))


async def show_manifest(services: Services, request: Request) -> Response:
    record = _find(services, request)
    wanted = int(number(request, "version"))
    found = PackageReply(
        deployment=record.id,
        version=record.version,
        manifest=record.manifest,
        user_root=record.user_root,
        allow_missing=record.allow_missing,
    )
    if wanted and wanted != record.version:
        found = _earlier(record, found, wanted)
    return reply(found)


def _earlier(record: DeploymentRecord, now: PackageReply, wanted: int) -> PackageReply:
    for version in record.versions:
        if version.version == wanted:
            manifest = ChainManifest(
                chain_name=record.chain, entrypoint=version.entrypoint, packages=version.packages
            )
            return now.model_copy(update={"version": wanted, "manifest": manifest})
    raise unknown_version(record.id, wanted)


async def show_versions(services: Services, request: Request) -> Response:
    return reply(version_list(_find(services, request)))


async def stream_events(services: Services, request: Request) -> Response:
    record = _find(services, request)
    after = _last_event(request)
    follow = flag(request, "follow", True)
    if follow and not after:
        # who follows wants what goes on now; an earlier push of the deployment ended long ago
        after = services.events.beginning(record.id)
    events = services.events.stream(record.id, after, follow)

    async def items() -> AsyncIterator[tuple[str, str, str] | None]:
        async for event in events:
            yield None if event is None else (str(event.id), event.kind.value, event.model_dump_json())

    return event_stream(items())


def _last_event(request: Request) -> int:
    """The id after which events are wanted: what a reader that comes back says, else the parameter."""
    given = request.headers.get("last-event-id", "")
    if given.isascii() and given.isdecimal():
        return int(given) if len(given) < _MAX_ID_DIGITS else _MAX_ID
    return min(int(number(request, "after")), _MAX_ID)


async def stream_logs(services: Services, request: Request) -> Response:
    record = _find(services, request)
    chainlet = request.query_params.get("chainlet") or None
    if chainlet is not None and all(chainlet != p.spec.display_name for p in record.packages):
        raise unknown_chainlet(record.chain, chainlet)
    lines = services.logs.stream(
        record.id, chainlet, number(request, "since"), flag(request, "follow", False)
    )

    async def items() -> AsyncIterator[tuple[str, str, str] | None]:
        async for line in lines:
            yield None if line is None else ("", "log", line.model_dump_json())

    return event_stream(items())


async def patch(services: Services, request: Request) -> Response:
    """Given up, while that is possible, if its asker goes away or says so."""
    body = await parse(request, PatchRequest)
    with services.patches.wanted.asked(body.attempt) as unwanted:
        leaving = asyncio.ensure_future(_tell_when_gone(request, unwanted))
        try:
            return reply(await services.patches.patch(name_of(request, "chain"), body, unwanted))
        finally:
            leaving.cancel()


async def _tell_when_gone(request: Request, unwanted: asyncio.Event) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # the body was read before
    unwanted.set()


async def give_up_patch(services: Services, request: Request) -> Response:
    services.patches.wanted.give_up(name_of(request, "attempt"))
    return reply(Acknowledged())


async def promote(services: Services, request: Request) -> Response:
    chain, environment = name_of(request, "chain"), name_of(request, "environment")
    body = await parse(request, PromoteRequest)
    return reply(_info(services, await services.environments.promote(chain, environment, body.deployment)))


async def rollback(services: Services, request: Request) -> Response:
    chain, environment = name_of(request, "chain"), name_of(request, "environment")
    return reply(_info(services, await services.environments.rollback(chain, environment)))


async def delete_deployment(services: Services, request: Request) -> Response:
    record = await services.removal.delete(name_of(request, "chain"), name_of(request, "deployment"))
    return reply(_info(services, record))


async def delete_chain(services: Services, request: Request) -> Response:
    chain = name_of(request, "chain")
    if chain not in services.ledger.state.chains:
        raise unknown_chain(chain)
    info = chain_info(services.ledger.state, chain, services.gateway_url())
    await services.removal.delete_chain(chain)
    return reply(ChainInfo(name=info.name, created_at=info.created_at))


def _find(services: Services, request: Request) -> DeploymentRecord:
    return services.deployments.find(name_of(request, "chain"), name_of(request, "deployment"))


def _info(services: Services, record: DeploymentRecord) -> DeploymentInfo:
    return deployment_info(services.ledger.state, record, services.gateway_url())


async def _ask_replicas(services: Services, record: DeploymentRecord) -> dict[str, ReplicaStatus]:
    """What the replicas say of themselves; those that don't answer soon are left out."""

    async def ask(replica: ReplicaRecord) -> ReplicaStatus | None:
        try:
            async with asyncio.timeout(_LOOK_S):
                return await services.distribution.client(replica).status()
        except (*LOST, TimeoutError):
            return None

    state = services.ledger.state
    found = [r for m in record.members for r in state.replicas_of(m.set_id) if r.state is ReplicaState.READY]
    answers = await asyncio.gather(*map(ask, found))
    return {a.replica_id: a for a in answers if a is not None}


_CHAIN = "/v1/chains/{chain}"
_DEPLOYMENT = _CHAIN + "/deployments/{deployment}"

ENDPOINTS = (
    Endpoint("POST", _CHAIN + "/plan", plan, "What a push would do", PlanRequest, PlanReply),
    Endpoint("POST", _CHAIN + "/deployments", deploy, "Push", DeployRequest, DeploymentInfo, status=202),
    Endpoint("GET", "/v1/chains", list_chains, "All chains", reply=ChainList),
    Endpoint("GET", _CHAIN, show_chain, "A chain and its deployments", reply=ChainInfo),
    Endpoint("GET", _CHAIN + "/deployments", show_chain, "The deployments of a chain", reply=ChainInfo),
    Endpoint("GET", _DEPLOYMENT, show_deployment, "A deployment", reply=DeploymentInfo),
    Endpoint(
        "GET",
        _DEPLOYMENT + "/manifest",
        show_manifest,
        "What exactly runs, or ran in an earlier version",
        reply=PackageReply,
        query=("version",),
    ),
    Endpoint("GET", _DEPLOYMENT + "/versions", show_versions, "Versions to go back to", reply=VersionList),
    Endpoint(
        "GET",
        _DEPLOYMENT + "/events",
        stream_events,
        "Events of a deployment",
        reply=Event,
        is_stream=True,
        query=("after", "follow"),
    ),
    Endpoint(
        "GET",
        _DEPLOYMENT + "/logs",
        stream_logs,
        "What the replicas of a deployment wrote",
        reply=LogLine,
        is_stream=True,
        query=("chainlet", "follow", "since"),
    ),
    Endpoint("POST", _CHAIN + "/development/patches", patch, "Patch what runs", PatchRequest, PatchOutcome),
    Endpoint(
        "DELETE",
        _CHAIN + "/development/patches/{attempt}",
        give_up_patch,
        "Give a patch up that is being prepared",
        reply=Acknowledged,
    ),
    Endpoint(
        "POST",
        _CHAIN + "/environments/{environment}/promote",
        promote,
        "Let an environment point at a deployment",
        PromoteRequest,
        DeploymentInfo,
    ),
    Endpoint(
        "POST",
        _CHAIN + "/environments/{environment}/rollback",
        rollback,
        "Let an environment point at what it pointed at before",
        reply=DeploymentInfo,
    ),
    Endpoint("DELETE", _CHAIN, delete_chain, "Delete a chain", reply=ChainInfo),
    Endpoint("DELETE", _DEPLOYMENT, delete_deployment, "Delete a deployment", reply=DeploymentInfo),
)

__all__ = ["ENDPOINTS"]
