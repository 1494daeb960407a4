"""Hot patches: two phases, all or nothing (architecture, section 7)."""

import asyncio
from typing import Any

import pytest

from chains_platform.refusals import Refusal
from chains_platform.state import DeploymentRecord
from chains_protocol.control import DeploymentState
from chains_protocol.errors import Code, Diagnostic
from chains_protocol.manifest import ChainManifest, PackageManifest
from chains_protocol.patch import Action, ChainletPatch, PatchOutcome, PatchRequest
from chains_protocol.replica import PrepareReply
from tests.unit.chains_platform.conftest import Plane
from tests.unit.chains_platform.fakes import BYTES, manifest, package

MODEL = package("Model")
ENTRY = package("Entry", calls=["Model"])


def request_for(
    record: DeploymentRecord, changed: list[tuple[PackageManifest, Action]], **fields: Any
) -> PatchRequest:
    return PatchRequest(
        **{
            "deployment": record.id,
            "base_version": record.version,
            "base": {p.spec.display_name: p.digest for p in record.packages},
            "entrypoint": record.entrypoint,
            "chainlets": tuple(ChainletPatch(manifest=p, action=a, reasons=("because",)) for p, a in changed),
            "blobs": {e.digest: BYTES.by_digest[e.digest] for p, _ in changed for e in p.files},
            **fields,
        }
    )


async def patch(
    plane: Plane, deployment: str, *changed: tuple[PackageManifest, Action], **fields: Any
) -> PatchOutcome:
    record = plane.state.deployments[deployment]
    return await plane.services.patches.patch("poems", request_for(record, list(changed), **fields))


def actions(outcome: PatchOutcome) -> dict[str, Action]:
    return {c.display_name: c.action for c in outcome.chainlets}


async def develop(plane: Plane, wanted: ChainManifest | None = None) -> DeploymentRecord:
    return await plane.develop(wanted or manifest(MODEL, ENTRY))


async def test_a_patched_chainlet_keeps_its_process(plane: Plane) -> None:
    record = await develop(plane)
    (entry,), (model,) = plane.engine.running("Entry"), plane.engine.running("Model")
    changed = package("Entry", "2", calls=["Model"])

    outcome = await patch(plane, record.id, (changed, Action.PATCHED))

    assert outcome.committed
    assert outcome.version == 2
    assert actions(outcome) == {"Entry": Action.PATCHED, "Model": Action.UNCHANGED}
    assert plane.engine.starts == ["Model", "Entry"]
    assert entry.digest == changed.digest
    assert entry.calls == ["prepare patched", "commit", "retire 2"]
    assert model.calls == ["retire 2"]
    assert plane.gateway.version(record.id) == 2


async def test_prepared_code_is_not_committed_before_the_gateway_switched(plane: Plane) -> None:
    record = await develop(plane)
    (entry,) = plane.engine.running("Entry")
    seen: list[list[str]] = []
    put = plane.gateway.put_routes

    class Watching:
        def __getattr__(self, name: str) -> Any:
            return getattr(plane.gateway, name)

        async def put_routes(self, routes: Any) -> Any:
            seen.append(list(entry.calls))
            return await put(routes)

    plane.services.distribution.gateway = Watching()  # type: ignore[assignment] # a gateway that looks

    await patch(plane, record.id, (package("Entry", "2", calls=["Model"]), Action.PATCHED))

    assert seen == [["prepare patched"]]


async def test_the_outcome_tells_reasons_and_calls_on_old_code(plane: Plane) -> None:
    record = await develop(plane)
    (entry,) = plane.engine.running("Entry")
    entry.generations = [g.model_copy(update={"in_flight": 3}) for g in entry.generations]

    outcome = await patch(plane, record.id, (package("Entry", "2", calls=["Model"]), Action.PATCHED))

    told = next(c for c in outcome.chainlets if c.display_name == "Entry")
    assert told.reasons == ("because",)
    assert told.calls_on_old == 3


async def test_a_replica_that_needs_more_is_reloaded(plane: Plane) -> None:
    record = await develop(plane)
    plane.engine.script.prepare["Entry"] = [
        PrepareReply(
            ok=False, action=Action.PATCHED, required=Action.RELOADED, reasons=("a class in the state",)
        )
    ]

    outcome = await patch(plane, record.id, (package("Entry", "2", calls=["Model"]), Action.PATCHED))

    (entry,) = plane.engine.running("Entry")
    assert entry.calls[:4] == ["prepare patched", "abort", "prepare reloaded", "commit"]
    assert actions(outcome)["Entry"] is Action.RELOADED
    assert next(c for c in outcome.chainlets if c.display_name == "Entry").reasons == (
        "because",
        "a class in the state",
    )


async def test_a_replica_that_needs_a_new_process_gets_one_beside(plane: Plane) -> None:
    record = await develop(plane)
    (old,) = plane.engine.running("Entry")
    plane.gateway.in_flight = {f"{record.id}.1": 1}
    plane.engine.script.prepare["Entry"] = [
        PrepareReply(ok=False, action=Action.PATCHED, required=Action.RESTARTED, reasons=("a thread runs",))
    ]

    outcome = await patch(plane, record.id, (package("Entry", "2", calls=["Model"]), Action.PATCHED))

    assert actions(outcome)["Entry"] is Action.RESTARTED
    _, new = plane.engine.running("Entry")
    (target,) = plane.gateway.table.targets
    assert [(s.since, s.addresses) for s in target.sets] == [
        (1, (old.handle.address,)),
        (2, (new.handle.address,)),
    ]
    assert new.request.launch.since == 2
    plane.gateway.in_flight = {}
    plane.gateway.finish()
    await plane.quiet("Entry", "Model")
    assert plane.engine.running("Entry") == [new]


@pytest.mark.parametrize("action", [Action.RELOADED, Action.RESTARTED])
async def test_a_patch_that_is_given_up_leaves_no_trace(plane: Plane, action: Action) -> None:
    """In a replica that loads, and while a new one starts; the next patch does not wait for it."""
    record = await develop(plane)
    (entry,) = plane.engine.running("Entry")
    plane.engine.script.hang_prepare.add("Entry")
    plane.engine.script.hang_start.add("Entry")
    changed = package("Entry", "2", calls=["Model"])
    request = request_for(record, [(changed, action)], attempt="a1")
    async with plane.client() as client:
        url = "/v1/chains/poems/development/patches"
        patching = asyncio.ensure_future(client.post(url, content=request.model_dump_json()))
        while not (entry.calls or plane.engine.starts[2:]):  # noqa: ASYNC110 (fakes have no events)
            await asyncio.sleep(0)
        assert (await client.delete(f"{url}/other")).status_code == 200
        assert not patching.done()

        await client.delete(f"{url}/a1")

        outcome = PatchOutcome.model_validate_json((await patching).content)
    assert (outcome.committed, outcome.version) == (False, 1)
    assert [d.code for d in outcome.diagnostics] == [Code.PATCH_FAILED]
    await plane.quiet("Entry", "Model")
    assert plane.engine.running("Entry") == [entry]
    assert entry.calls in (["prepare reloaded", "abort"], [])
    plane.engine.script.hang_prepare.clear()
    plane.engine.script.hang_start.clear()
    assert (await patch(plane, record.id, (changed, action))).committed


async def test_a_restarted_callee_is_reached_by_version(plane: Plane) -> None:
    record = await develop(plane)
    (entry,), (old,) = plane.engine.running("Entry"), plane.engine.running("Model")
    plane.gateway.in_flight = {f"{record.id}.1": 1}

    await patch(plane, record.id, (package("Model", "2"), Action.RESTARTED))

    _, new = plane.engine.running("Model")
    (callee,) = entry.routes.deployments[0].callees
    assert [(s.since, s.addresses) for s in callee.sets] == [
        (1, (old.handle.address,)),
        (2, (new.handle.address,)),
    ]
    assert callee.sets[1].token in new.routes.accepts


async def test_failing_code_changes_nothing(plane: Plane) -> None:
    record = await develop(plane)
    (entry,), (model,) = plane.engine.running("Entry"), plane.engine.running("Model")
    broken = Diagnostic(code=Code.INIT_FAILED, message="boom")
    plane.engine.script.prepare["Model"] = [
        PrepareReply(ok=False, action=Action.RELOADED, diagnostics=(broken,))
    ]
    before, tables = plane.state.deployments[record.id], len(plane.gateway.tables)

    outcome = await patch(
        plane,
        record.id,
        (package("Entry", "2", calls=["Model"]), Action.PATCHED),
        (package("Model", "2"), Action.RELOADED),
    )

    assert not outcome.committed
    assert outcome.version == 1
    assert [(d.code, d.chainlet) for d in outcome.diagnostics] == [(Code.INIT_FAILED, "Model")]
    assert plane.state.deployments[record.id] == before
    assert len(plane.gateway.tables) == tables
    assert (entry.prepared, model.prepared) == ({}, {})


async def test_a_failing_new_replica_aborts_what_others_prepared(plane: Plane) -> None:
    record = await develop(plane)
    (entry,) = plane.engine.running("Entry")
    plane.engine.script.fail_start["Model"] = 1
    before = plane.state

    outcome = await patch(
        plane,
        record.id,
        (package("Entry", "2", calls=["Model"]), Action.PATCHED),
        (package("Model", "2"), Action.RESTARTED),
    )

    assert not outcome.committed
    assert [d.code for d in outcome.diagnostics] == [Code.INIT_FAILED]
    assert entry.prepared == {}
    assert plane.state.deployments == before.deployments
    assert plane.state.sets == before.sets
    assert plane.state.replicas == before.replicas
    assert plane.engine.names() == ["Entry", "Model"]
    assert entry.routes.deployments[0].callees[0].sets[0].since == 1
    assert len(entry.routes.deployments[0].callees[0].sets) == 1


async def test_the_next_good_patch_recovers(plane: Plane) -> None:
    record = await develop(plane)
    plane.engine.script.prepare["Entry"] = [PrepareReply(ok=False, action=Action.PATCHED)]
    await patch(plane, record.id, (package("Entry", "bad", calls=["Model"]), Action.PATCHED))

    outcome = await patch(plane, record.id, (package("Entry", "good", calls=["Model"]), Action.PATCHED))

    assert (outcome.committed, outcome.version) == (True, 2)


async def test_a_stale_base_is_a_conflict(plane: Plane) -> None:
    record = await develop(plane)
    changed = [(package("Entry", "2", calls=["Model"]), Action.PATCHED)]

    for fields in (
        {"base_version": 7},
        {"base": {"Entry": ENTRY.digest}},
        {"base": {"Entry": "0" * 64, "Model": MODEL.digest}},
        {"base": {"Entry": ENTRY.digest, "Model": MODEL.digest, "Other": MODEL.digest}},
    ):
        with pytest.raises(Refusal) as refused:
            await plane.services.patches.patch("poems", request_for(record, changed, **fields))
        assert refused.value.status == 409
        assert {d.code for d in refused.value.diagnostics} == {Code.STALE_BASE}


async def test_of_two_patches_with_one_base_the_second_is_refused(plane: Plane) -> None:
    record = await develop(plane)
    patches = plane.services.patches
    first = request_for(record, [(package("Entry", "2", calls=["Model"]), Action.PATCHED)])
    second = request_for(record, [(package("Entry", "3", calls=["Model"]), Action.PATCHED)])

    results = await asyncio.gather(
        patches.patch("poems", first), patches.patch("poems", second), return_exceptions=True
    )

    assert isinstance(results[0], PatchOutcome)
    assert isinstance(results[1], Refusal)
    assert results[1].status == 409


async def test_published_deployments_are_not_patched(plane: Plane) -> None:
    record = await plane.push(manifest(MODEL, ENTRY))

    with pytest.raises(Refusal) as refused:
        await patch(plane, record.id, (package("Entry", "2", calls=["Model"]), Action.PATCHED))

    assert [d.code for d in refused.value.diagnostics] == [Code.NOT_DEVELOPMENT]


async def test_a_chainlet_is_added_and_another_removed(plane: Plane) -> None:
    record = await develop(plane)
    (old,) = plane.engine.running("Model")
    plane.gateway.in_flight = {f"{record.id}.1": 1}

    outcome = await patch(
        plane,
        record.id,
        (package("Speaker"), Action.REDEPLOYED),
        (package("Entry", "2", calls=["Speaker"]), Action.PATCHED),
        removed=("Model",),
    )

    assert actions(outcome) == {
        "Speaker": Action.REDEPLOYED,
        "Entry": Action.PATCHED,
        "Model": Action.REDEPLOYED,
    }
    (entry,), (speaker,) = plane.engine.running("Entry"), plane.engine.running("Speaker")
    callees = {c.class_name: c for c in entry.routes.deployments[0].callees}
    assert callees["Model"].sets[0].addresses == (old.handle.address,)
    assert callees["Speaker"].sets[0].addresses == (speaker.handle.address,)
    plane.gateway.in_flight = {}
    plane.gateway.finish()
    await plane.quiet("Entry", "Speaker")
    assert {c.class_name for c in entry.routes.deployments[0].callees} == {"Speaker"}
    assert [p.spec.display_name for p in plane.state.deployments[record.id].packages] == ["Speaker", "Entry"]


async def test_an_edge_between_running_chainlets_is_added(plane: Plane) -> None:
    record = await develop(plane, manifest(MODEL, package("Other"), ENTRY))

    await patch(plane, record.id, (package("Entry", "2", calls=["Model", "Other"]), Action.PATCHED))

    (entry,), (other,) = plane.engine.running("Entry"), plane.engine.running("Other")
    callee = next(c for c in entry.routes.deployments[0].callees if c.class_name == "Other")
    assert callee.sets[0].addresses == (other.handle.address,)
    assert callee.sets[0].token in other.routes.accepts


async def test_changed_settings_are_never_patched_in_place(plane: Plane) -> None:
    record = await develop(plane)

    outcome = await patch(
        plane,
        record.id,
        (package("Model", env={"A": "1"}), Action.PATCHED),
        (package("Entry", calls=["Model"], requirements=("numpy",)), Action.PATCHED),
    )

    assert actions(outcome) == {"Model": Action.RESTARTED, "Entry": Action.REBUILT}
    assert [e.requirements for e in plane.engine.built] == [("numpy",)]


async def test_all_replicas_of_a_chainlet_are_patched(plane: Plane) -> None:
    record = await develop(plane, manifest(package("Entry", replicas=3)))
    changed = package("Entry", "2", replicas=3)

    await patch(plane, record.id, (changed, Action.PATCHED))

    assert [r.digest for r in plane.engine.running()] == [changed.digest] * 3


async def test_a_replica_that_dies_while_it_prepares_aborts(plane: Plane) -> None:
    record = await develop(plane)
    plane.engine.script.die_at_prepare.add("Entry")

    outcome = await patch(plane, record.id, (package("Entry", "2", calls=["Model"]), Action.PATCHED))

    assert not outcome.committed
    assert plane.state.deployments[record.id].version == 1


async def test_a_replica_that_cannot_commit_is_started_anew_with_the_new_code(plane: Plane) -> None:
    record = await develop(plane)
    changed = package("Entry", "2", calls=["Model"])
    plane.engine.script.fail_commit.add("Entry")

    outcome = await patch(plane, record.id, (changed, Action.PATCHED))

    assert outcome.committed
    await plane.services.ledger.wait(
        lambda s: (
            True if len(plane.engine.starts) == 3 and all(s.ready_replicas(k) for k in s.sets) else None
        ),
        5,
    )
    (entry,) = plane.engine.running("Entry")
    assert entry.digest == changed.digest


async def test_a_patch_without_a_gateway_is_not_committed(plane: Plane) -> None:
    record = await develop(plane)
    (entry,) = plane.engine.running("Entry")
    plane.gateway.down = True

    outcome = await patch(plane, record.id, (package("Entry", "2", calls=["Model"]), Action.PATCHED))

    assert not outcome.committed
    assert (entry.prepared, entry.digest) == ({}, ENTRY.digest)


async def test_a_crashed_chainlet_is_replaced_by_a_patch(plane: Plane) -> None:
    record = await develop(plane)
    (entry,) = plane.engine.running("Entry")
    plane.engine.script.fail_start["Entry"] = 10
    entry.die()
    await plane.services.ledger.wait(
        lambda s: True if any(r.failures == 1 for r in s.replicas.values()) else None, 5
    )
    plane.engine.script.fail_start.clear()

    outcome = await patch(plane, record.id, (package("Entry", "2", calls=["Model"]), Action.PATCHED))

    assert outcome.committed
    assert actions(outcome)["Entry"] is Action.RESTARTED


async def test_a_smoke_call_goes_to_the_new_version_before_anyone_else(plane: Plane) -> None:
    record = await develop(plane)
    (entry,) = plane.engine.running("Entry")
    changed = (package("Entry", "2", calls=["Model"]), Action.PATCHED)

    outcome = await patch(plane, record.id, changed, smoke={"text": "hi"})

    assert outcome.committed
    assert plane.smoke.calls == [(entry.handle.address, f"{record.id}.2", {"text": "hi"})]
    assert plane.smoke.tokens[0] in entry.routes.accepts


async def test_a_failing_smoke_call_aborts(plane: Plane) -> None:
    record = await develop(plane)
    (entry,) = plane.engine.running("Entry")
    plane.smoke.error = Diagnostic(code=Code.PATCH_FAILED, message="500")

    outcome = await patch(
        plane,
        record.id,
        (package("Entry", "2", calls=["Model"]), Action.PATCHED),
        (package("Model", "2"), Action.RESTARTED),
        smoke={},
    )

    assert not outcome.committed
    assert outcome.diagnostics == (plane.smoke.error,)
    assert entry.prepared == {}
    assert plane.engine.names() == ["Entry", "Model"]
    assert plane.gateway.version(record.id) == 1


async def test_missing_blobs_are_refused(plane: Plane) -> None:
    record = await develop(plane)
    changed = [(package("Entry", "never sent before", calls=["Model"]), Action.PATCHED)]

    with pytest.raises(Refusal) as refused:
        await plane.services.patches.patch("poems", request_for(record, changed, blobs={}))

    assert refused.value.status == 400


async def test_a_patch_makes_a_failed_development_deployment_active_again(plane: Plane) -> None:
    record = await develop(plane)
    plane.engine.script.fail_start["Entry"] = 1
    await plane.develop(manifest(MODEL, package("Entry", "broken", calls=["Model"])))
    assert plane.state.deployments[record.id].state is DeploymentState.FAILED

    await patch(plane, record.id, (package("Entry", "2", calls=["Model"]), Action.PATCHED))

    assert plane.state.deployments[record.id].state is DeploymentState.ACTIVE
    assert plane.state.deployments[record.id].diagnostics == ()


async def test_what_is_committed_is_written_before_the_answer(plane: Plane) -> None:
    record = await develop(plane)
    changed = package("Entry", "2", calls=["Model"])
    await patch(plane, record.id, (changed, Action.PATCHED))

    stored = await plane.services.writer.read(lambda store: store.load())

    assert stored.deployments[record.id].version == 2
    assert stored.deployments[record.id].package("Entry") == changed
