"""The HTTP face: every route asks for the token, refuses what it must, and says what it does."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from chains_platform.api.app import create_app
from chains_platform.api.guard import OPEN
from chains_protocol.blobs import encode_blobs
from chains_protocol.control import (
    ApiError,
    ChainInfo,
    ChainList,
    DeploymentInfo,
    DeploymentKind,
    DeploymentState,
    DeployRequest,
    Event,
    EventKind,
    Health,
    PackageReply,
    PlanReply,
    PlanRequest,
)
from chains_protocol.digest import bytes_digest
from chains_protocol.errors import Code
from chains_protocol.patch import Action, ChainletPatch, PatchOutcome, PatchRequest
from tests.unit.chains_platform.conftest import Plane
from tests.unit.chains_platform.fakes import BYTES, manifest, package

MODEL = package("Model")
ENTRY = package("Entry", calls=["Model"])


def codes(answer: httpx.Response) -> list[Code]:
    return [d.code for d in ApiError.model_validate_json(answer.content).diagnostics]


def routes(plane: Plane) -> Iterator[tuple[str, str]]:
    """Every method and path of the router, parameters filled in."""
    for route in create_app(plane.services).routes:
        assert isinstance(route, Route)
        for method in sorted(route.methods or ()):
            yield method, re.sub(r"{\w+}", "x", route.path)


async def test_every_route_but_health_needs_the_token(plane: Plane) -> None:
    found = list(routes(plane))
    assert len(found) > 20
    for token in (None, "wrong", "Bearer"):
        async with plane.client(token) as client:
            for method, path in found:
                answer = await client.request(method, path)
                if (method, path) in OPEN:
                    assert answer.status_code == 200
                else:
                    assert answer.status_code == 401, (method, path)
                    assert method == "HEAD" or codes(answer) == [Code.REMOTE_REFUSED_TOKEN]


async def test_unknown_routes_do_not_tell_without_the_token(plane: Plane) -> None:
    async with plane.client(None) as client:
        assert (await client.get("/v1/nothing")).status_code == 401
        assert (await client.get("/")).status_code == 401
    async with plane.client() as client:
        assert (await client.get("/v1/nothing")).status_code == 404
        assert (await client.put("/v1/chains")).status_code == 405


async def test_only_the_health_route_is_open() -> None:
    assert {("GET", "/v1/health")} == OPEN


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "evil:80"])
async def test_foreign_hosts_are_refused(plane: Plane, host: str) -> None:
    async with plane.client() as client:
        answer = await client.get("/v1/health", headers={"host": host})
    assert answer.status_code == 403


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST"])
async def test_loopback_hosts_are_answered(plane: Plane, host: str) -> None:
    async with plane.client() as client:
        assert (await client.get("/v1/health", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:999"])
async def test_foreign_origins_are_refused(plane: Plane, origin: str) -> None:
    async with plane.client() as client:
        answer = await client.get("/v1/chains", headers={"origin": origin})
        assert answer.status_code == 403
        own = await client.get("/v1/chains", headers={"origin": "http://127.0.0.1"})
        assert own.status_code == 200


async def test_a_body_that_says_it_is_too_large_is_refused(plane: Plane) -> None:
    async with plane.client() as client:
        for length in (str(10**12), "-1", "x"):
            answer = await client.post(
                "/v1/blobs", headers={"content-length": length}, content=iter_bytes(b"x")
            )
            assert answer.status_code == 413


async def iter_bytes(data: bytes) -> Any:
    yield data


async def test_health_tells_who_answers(plane: Plane) -> None:
    async with plane.client(None) as client:
        answer = Health.model_validate_json((await client.get("/v1/health")).content)
    assert answer.instance == plane.services.instance
    assert answer.gateway_url == "http://127.0.0.1:8800"


async def push(client: httpx.AsyncClient, plane: Plane, **fields: Any) -> DeploymentInfo:
    """The whole road of a push over HTTP."""
    wanted = manifest(MODEL, ENTRY)
    kind = fields.get("kind", DeploymentKind.PUBLISHED)
    asked = PlanRequest(manifest=wanted, kind=kind).model_dump_json()
    plan = PlanReply.model_validate_json((await client.post("/v1/chains/poems/plan", content=asked)).content)
    body = encode_blobs((d, BYTES.by_digest[d]) for d in plan.missing_blobs)
    assert (await client.post("/v1/blobs", content=body)).status_code == 200
    request = DeployRequest(manifest=wanted, **fields).model_dump_json()
    answer = await client.post("/v1/chains/poems/deployments", content=request)
    assert answer.status_code == 202, answer.text
    info = DeploymentInfo.model_validate_json(answer.content)
    await plane.settled(info.id)
    shown = await client.get(f"/v1/chains/poems/deployments/{info.id}")
    return DeploymentInfo.model_validate_json(shown.content)


async def test_a_push_over_http(plane: Plane) -> None:
    async with plane.client() as client:
        info = await push(client, plane, environment="production")
        again = await client.post(
            "/v1/chains/poems/deployments",
            content=DeployRequest(
                manifest=manifest(MODEL, ENTRY), environment="production"
            ).model_dump_json(),
        )

        assert info.state is DeploymentState.ACTIVE
        assert info.run_remote_url == f"http://127.0.0.1:8800/chains/poems/deployment/{info.id}/run_remote"
        assert info.environment_url == "http://127.0.0.1:8800/chains/poems/production/run_remote"
        assert info.environments == ("production",)
        assert [(c.display_name, c.state, len(c.replicas)) for c in info.chainlets] == [
            ("Model", "ready", 1),
            ("Entry", "ready", 1),
        ]
        assert info.chainlets[0].replicas[0].load_count == 1
        assert again.status_code == 200
        chain = ChainInfo.model_validate_json((await client.get("/v1/chains/poems")).content)
        assert [d.id for d in chain.deployments] == [info.id]
        chains = ChainList.model_validate_json((await client.get("/v1/chains")).content)
        assert [c.name for c in chains.chains] == ["poems"]


async def test_a_patch_over_http(plane: Plane) -> None:
    async with plane.client() as client:
        info = await push(client, plane, kind=DeploymentKind.DEVELOPMENT)
        base = PackageReply.model_validate_json(
            (await client.get("/v1/chains/poems/deployments/development/manifest")).content
        )
        changed = package("Entry", "2", calls=["Model"])
        request = PatchRequest(
            deployment=info.id,
            base_version=base.version,
            base={p.spec.display_name: p.digest for p in base.manifest.packages},
            entrypoint="Entry",
            chainlets=(ChainletPatch(manifest=changed, action=Action.PATCHED),),
            blobs={e.digest: BYTES.by_digest[e.digest] for e in changed.files},
        ).model_dump_json()

        answer = await client.post("/v1/chains/poems/development/patches", content=request)
        stale = await client.post("/v1/chains/poems/development/patches", content=request)

        assert PatchOutcome.model_validate_json(answer.content).version == 2
        assert (stale.status_code, codes(stale)) == (409, [Code.STALE_BASE])


async def test_what_is_not_there_is_told_with_its_code(plane: Plane) -> None:
    async with plane.client() as client:
        await push(client, plane)
        for method, path, code in (
            ("GET", "/v1/chains/none", Code.UNKNOWN_CHAIN),
            ("DELETE", "/v1/chains/none", Code.UNKNOWN_CHAIN),
            ("GET", "/v1/chains/none/deployments/x", Code.UNKNOWN_CHAIN),
            ("GET", "/v1/chains/poems/deployments/x", Code.UNKNOWN_DEPLOYMENT),
            ("GET", "/v1/chains/poems/deployments/development", Code.UNKNOWN_DEPLOYMENT),
            ("GET", "/v1/chains/poems/deployments/x/events", Code.UNKNOWN_DEPLOYMENT),
            ("POST", "/v1/chains/poems/environments/none/rollback", Code.UNKNOWN_ENVIRONMENT),
            ("GET", "/v1/chains/poems/deployments/latest/logs?chainlet=No", Code.UNKNOWN_CHAINLET),
        ):
            answer = await client.request(method, path)
            assert (answer.status_code, codes(answer)) == (404, [code]), path


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": 99},
        {"chain_name": "other"},
        {"entrypoint": "Nobody"},
        {"packages": (ENTRY,)},
        {"packages": (ENTRY, MODEL)},
        {"packages": (MODEL, MODEL, ENTRY)},
        {"packages": (MODEL.model_copy(update={"digest": "0" * 64}), ENTRY)},
    ],
)
async def test_a_manifest_that_does_not_hold_together_is_refused(
    plane: Plane, change: dict[str, Any]
) -> None:
    wanted = manifest(MODEL, ENTRY).model_copy(update=change)
    async with plane.client() as client:
        for path, body in (
            ("plan", PlanRequest(manifest=wanted)),
            ("deployments", DeployRequest(manifest=wanted)),
        ):
            answer = await client.post(f"/v1/chains/poems/{path}", content=body.model_dump_json())
            assert answer.status_code == 400
    assert plane.state.deployments == {}


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../b", "a\\b", "a//b", "c:/x", "a\u0000b"])
async def test_paths_that_leave_the_package_are_refused(plane: Plane, path: str) -> None:
    body = json.loads(PlanRequest(manifest=manifest(MODEL, ENTRY)).model_dump_json())
    body["manifest"]["packages"][0]["files"][0]["path"] = path
    async with plane.client() as client:
        answer = await client.post("/v1/chains/poems/plan", json=body)
    assert (answer.status_code, codes(answer)) == (400, [Code.BAD_REQUEST])


async def test_names_that_are_none_are_refused(plane: Plane) -> None:
    async with plane.client() as client:
        for name in ("a%20b", "%2e%2e", "a%0ab", "x" * 200):
            answer = await client.get(f"/v1/chains/{name}")
            assert answer.status_code in (400, 404), name
            assert answer.status_code == 400 or codes(answer) == [Code.BAD_REQUEST]


async def test_a_blob_of_its_own(plane: Plane) -> None:
    data = b"x" * 100_000
    digest = bytes_digest(data)
    async with plane.client() as client:
        first = await client.put(f"/v1/blobs/{digest}", content=data)
        second = await client.put(f"/v1/blobs/{digest}", content=data)
        wrong = await client.put(f"/v1/blobs/{'0' * 64}", content=data)
        unnamed = await client.put("/v1/blobs/xyz", content=data)

        back = await client.get(f"/v1/blobs/{digest}")
        unknown = await client.get(f"/v1/blobs/{'0' * 64}")

    assert (back.status_code, back.content) == (200, data)
    assert (unknown.status_code, codes(unknown)) == (404, [Code.BAD_REQUEST])
    assert first.json() == {"stored": 1, "received_bytes": len(data)}
    assert second.json()["stored"] == 0
    assert (wrong.status_code, codes(wrong)) == (400, [Code.BLOB_MISMATCH])
    assert unnamed.status_code == 400
    assert [p.name for p in plane.layout.blobs.rglob("*") if p.is_file()] == [digest]


DATA = bytes(range(256)) * 1000


async def cut(sent: bytes) -> AsyncIterator[bytes]:
    """A body whose sender goes away."""
    yield sent
    raise ClientDisconnect


async def offset_of(client: httpx.AsyncClient, digest: str) -> tuple[str, str]:
    answer = await client.head(f"/v1/blobs/{digest}")
    assert answer.status_code == 200
    return answer.headers["upload-offset"], answer.headers["upload-complete"]


async def send(client: httpx.AsyncClient, digest: str, content: Any, offset: int) -> httpx.Response:
    headers = {"upload-offset": str(offset)}
    return await client.put(f"/v1/blobs/{digest}", content=content, headers=headers)


async def test_a_blob_goes_on_where_its_connection_was_cut(plane: Plane) -> None:
    """Only the rest is sent; what is half there is no blob yet."""
    digest = bytes_digest(DATA)
    async with plane.client() as client:
        assert await offset_of(client, digest) == ("0", "?0")
        for start, end in ((0, 100_000), (100_000, 150_000)):
            await send(client, digest, cut(DATA[start:end]), start)
            assert await offset_of(client, digest) == (str(end), "?0")
            assert not plane.services.blobs.has(digest)
            assert (await client.get(f"/v1/blobs/{digest}")).status_code == 404
        done = await send(client, digest, DATA[150_000:], 150_000)

        assert done.json() == {"stored": 1, "received_bytes": len(DATA) - 150_000}
        assert (await client.get(f"/v1/blobs/{digest}")).content == DATA
        assert await offset_of(client, digest) == (str(len(DATA)), "?1")
    assert [p.name for p in plane.layout.blobs.rglob("*") if p.is_file()] == [digest]


async def test_a_part_is_believed_only_as_the_whole(plane: Plane) -> None:
    """CH307; and a wrong offset is a conflict, which says how much is here."""
    digest = bytes_digest(DATA)
    async with plane.client() as client:
        await send(client, digest, cut(b"something else"), 0)
        for offset in (13, 15):
            wrong = await send(client, digest, DATA[offset:], offset)
            assert (wrong.status_code, codes(wrong)) == (409, [Code.STALE_BASE])
            assert "14 bytes" in wrong.text
        mixed = await send(client, digest, DATA[14:], 14)
        assert (mixed.status_code, codes(mixed)) == (400, [Code.BLOB_MISMATCH])
        assert await offset_of(client, digest) == ("0", "?0")
        assert (await send(client, digest, b"", -1)).status_code == 400
        assert (await send(client, digest, DATA, 0)).status_code == 200


async def test_two_that_send_one_blob_do_not_disturb_each_other(plane: Plane) -> None:
    digest = bytes_digest(DATA)
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield DATA[:100_000]
        began.set()
        await go_on.wait()
        yield DATA[100_000:]

    async with plane.client() as client:
        first = asyncio.create_task(send(client, digest, slowly(), 0))
        await began.wait()
        assert await offset_of(client, digest) == ("0", "?0"), "what another one writes is not to be added to"
        second = await send(client, digest, DATA, 0)
        go_on.set()

        assert second.json()["stored"] == 1
        assert (await first).json()["stored"] == 0
        assert (await client.get(f"/v1/blobs/{digest}")).content == DATA
    assert [p.name for p in plane.layout.blobs.rglob("*") if p.is_file()] == [digest]


async def test_parts_that_nobody_goes_on_with_are_collected(plane: Plane) -> None:
    digest = bytes_digest(DATA)
    async with plane.client() as client:
        await send(client, digest, cut(DATA[:1000]), 0)
        (part,) = (p for p in plane.layout.blobs.rglob("*") if p.is_file())
        assert part.stat().st_mode & 0o077 == 0 == part.parent.stat().st_mode & 0o077
        young = await client.post("/v1/gc", json={"older_than_s": 10**12})
        os.utime(part, (0, 0))
        would = await client.post("/v1/gc", json={"older_than_s": 0, "dry_run": True})
        assert await offset_of(client, digest) == ("1000", "?0")
        done = await client.post("/v1/gc", json={"older_than_s": 0})
        assert await offset_of(client, digest) == ("0", "?0")
    assert [reply.json()["blobs"] for reply in (young, would, done)] == [0, 1, 1]
    assert done.json()["freed_bytes"] - young.json()["freed_bytes"] == 1000


async def test_a_batch_with_a_wrong_blob_stores_none(plane: Plane) -> None:
    good = b"good"
    body = encode_blobs([(bytes_digest(good), good), ("0" * 64, b"bad")])
    async with plane.client() as client:
        answer = await client.post("/v1/blobs", content=body)
    assert answer.status_code == 400
    assert not plane.services.blobs.has(bytes_digest(good))


async def test_secrets_are_listed_but_never_told(plane: Plane) -> None:
    async with plane.client() as client:
        assert (await client.put("/v1/secrets/hf", json={"value": "s3cret"})).status_code == 200
        listed = await client.get("/v1/secrets")
        assert listed.json() == {"names": ["hf"]}
        assert (await client.delete("/v1/secrets/hf")).status_code == 200
        assert (await client.delete("/v1/secrets/hf")).status_code == 400
        assert (await client.get("/v1/secrets")).json() == {"names": []}
        assert (await client.get("/v1/secrets/hf")).status_code == 405
    assert b"s3cret" not in plane.layout.database.read_bytes()


def parse_events(text: str) -> list[Event]:
    return [
        Event.model_validate_json(line.removeprefix("data: "))
        for line in text.splitlines()
        if line.startswith("data: ")
    ]


async def test_events_can_be_resumed(plane: Plane) -> None:
    async with plane.client() as client:
        info = await push(client, plane)
        path = f"/v1/chains/poems/deployments/{info.id}/events?follow=0"

        everything = parse_events((await client.get(path)).text)
        middle = everything[3].id
        rest = parse_events((await client.get(f"{path}&after={middle}")).text)
        resumed = parse_events((await client.get(path, headers={"last-event-id": str(middle)})).text)

    states = [e.data["state"] for e in everything if e.kind is EventKind.DEPLOYMENT_STATE]
    assert states == ["queued", "building", "starting", "active"]
    assert [e.id for e in everything] == sorted(e.id for e in everything)
    assert rest == resumed == everything[4:]


@pytest.mark.parametrize("last", ["9" * 18, "9" * 19, "9" * 5000])
async def test_events_after_any_number_are_none_that_came_before(plane: Plane, last: str) -> None:
    async with plane.client() as client:
        info = await push(client, plane)
        path = f"/v1/chains/poems/deployments/{info.id}/events?follow=0"
        by_header = await client.get(path, headers={"last-event-id": last})
        refused = await client.get(f"{path}&after=inf")

    assert (by_header.status_code, parse_events(by_header.text)) == (200, [])
    assert refused.status_code == 400


async def test_events_tell_how_each_chainlet_is(plane: Plane) -> None:
    async with plane.client() as client:
        info = await push(client, plane)
        path = f"/v1/chains/poems/deployments/{info.id}/events?follow=0"
        found = parse_events((await client.get(path)).text)

    told = [(e.chainlet, e.data["state"]) for e in found if e.kind is EventKind.CHAINLET_STATE]
    assert told == [("Model", "starting"), ("Model", "ready"), ("Entry", "starting"), ("Entry", "ready")]


async def test_who_follows_begins_with_the_push_that_goes_on(plane: Plane) -> None:
    async with plane.client() as client:
        info = await push(client, plane, kind=DeploymentKind.DEVELOPMENT)
    await plane.develop(manifest(package("Model", "2"), ENTRY))
    start = plane.services.events.beginning(info.id)

    found = [e async for e in plane.services.events.stream(info.id, start, False) if e is not None]

    states = [e.data["state"] for e in found if e.kind is EventKind.DEPLOYMENT_STATE]
    assert states == ["queued", "building", "starting", "active"]
    assert found[-1].data["version"] == 2


async def test_events_survive_the_control_plane(plane: Plane) -> None:
    async with plane.client() as client:
        info = await push(client, plane)
        path = f"/v1/chains/poems/deployments/{info.id}/events?follow=0"
        before = parse_events((await client.get(path)).text)

    await plane.restart()

    async with plane.client() as client:
        after = parse_events((await client.get(path)).text)
    assert after[: len(before)] == before


async def test_logs_of_a_deployment(plane: Plane) -> None:
    async with plane.client() as client:
        info = await push(client, plane)
        (entry,) = plane.engine.running("Entry")
        directory = plane.layout.replica(entry.request.replica_id)
        (directory / "stderr.log").write_text("one\ntwo\nlast")
        (directory / "stdout.log").write_text("said\n")

        path = f"/v1/chains/poems/deployments/{info.id}/logs"
        answer = await client.get(path)
        other = await client.get(f"{path}?chainlet=Model")

    lines = [json.loads(x.removeprefix("data: ")) for x in answer.text.splitlines() if x.startswith("data")]
    assert sorted((x["stream"], x["text"]) for x in lines) == [
        ("stderr", "last"),
        ("stderr", "one"),
        ("stderr", "two"),
        ("stdout", "said"),
    ]
    assert {x["chainlet"] for x in lines} == {"Entry"}
    assert "data:" not in other.text


async def test_openapi_describes_every_route(plane: Plane) -> None:
    async with plane.client() as client:
        document = (await client.get("/v1/openapi.json")).json()
    described = {(m.upper(), p) for p, item in document["paths"].items() for m in item}
    found = {
        (m, r.path)
        for r in create_app(plane.services).routes
        if isinstance(r, Route)
        for m in (r.methods or set()) - ({"HEAD"} if "GET" in (r.methods or set()) else set())
    }
    assert described == found
    ids = [o["operationId"] for item in document["paths"].values() for o in item.values()]
    assert len(set(ids)) == len(ids)
    text = json.dumps(document)
    for ref in set(re.findall(r'"#/components/schemas/([^"]+)"', text)):
        assert ref in document["components"]["schemas"]
    assert document["paths"]["/v1/health"]["get"]["security"] == []


async def test_shutdown_is_asked_for(plane: Plane) -> None:
    async with plane.client() as client:
        assert (await client.post("/v1/shutdown")).status_code == 202
    assert plane.services.shutdown_requested.is_set()


async def test_a_failure_of_ours_is_an_answer_too(plane: Plane) -> None:
    async with plane.client() as client:
        await push(client, plane)
        plane.services.gateway_url = lambda: str(1 / 0)
        answer = await client.get("/v1/chains/poems/deployments/latest")
    assert (answer.status_code, codes(answer)) == (500, [Code.INTERNAL])
