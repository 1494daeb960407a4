"""Replicas' lives: crashes, restarts, giving up; and taking over from an earlier control plane."""

import asyncio
from dataclasses import replace

from chains_platform.state import ReplicaRecord, State
from chains_protocol.control import DeploymentKind, DeploymentState, DeployRequest
from chains_protocol.errors import Code
from chains_protocol.patch import Action
from chains_protocol.replica import ReplicaState
from tests.unit.chains_platform.conftest import Plane
from tests.unit.chains_platform.fakes import FakeReplica, manifest, package
from tests.unit.chains_platform.test_patches import patch

MODEL = package("Model")
ENTRY = package("Entry", calls=["Model"])


def record_of(state: State, name: str) -> ReplicaRecord:
    return next(r for r in state.replicas.values() if state.sets[r.set_id].display_name == name)


async def ready(plane: Plane, name: str, restarts: int) -> FakeReplica:
    def look(state: State) -> bool | None:
        found = record_of(state, name)
        return True if found.state is ReplicaState.READY and found.restarts == restarts else None

    await plane.services.ledger.wait(look, 5)
    await plane.services.distribution.sync()
    (replica,) = plane.engine.running(name)
    return replica


async def ready_anew(plane: Plane, name: str, former: FakeReplica) -> FakeReplica:
    def look(state: State) -> bool | None:
        found = record_of(state, name)
        return True if found.state is ReplicaState.READY and found.pid != former.handle.pid else None

    await plane.services.ledger.wait(look, 5)
    (replica,) = plane.engine.running(name)
    return replica


async def test_a_crashed_replica_is_started_again_and_its_callers_are_told(plane: Plane) -> None:
    record = await plane.push(manifest(MODEL, ENTRY))
    (entry,), (model,) = plane.engine.running("Entry"), plane.engine.running("Model")

    model.die()
    again = await ready(plane, "Model", 1)

    assert again.handle.replica_id == model.handle.replica_id
    assert again.handle.pid != model.handle.pid
    assert entry.routes.deployments[0].callees[0].sets[0].addresses == (again.handle.address,)
    assert plane.is_active(record)


async def test_a_crashed_entrypoint_is_routed_to_its_new_address(plane: Plane) -> None:
    await plane.push(manifest(package("Entry")))
    (entry,) = plane.engine.running("Entry")

    entry.die()
    again = await ready(plane, "Entry", 1)

    assert plane.gateway.table.targets[0].sets[0].addresses == (again.handle.address,)


async def test_the_reason_is_visible_until_it_is_ready_again(plane: Plane) -> None:
    await plane.push(manifest(package("Entry")))
    plane.engine.script.hang_start.add("Entry")
    (entry,) = plane.engine.running("Entry")
    entry.die()
    await plane.services.ledger.wait(
        lambda s: True if record_of(s, "Entry").restarts == 1 and record_of(s, "Entry").pid else None, 5
    )

    async with plane.client() as client:
        info = (await client.get("/v1/chains/poems/deployments/latest")).json()

    assert info["chainlets"][0]["reason"] == "`Entry` could not be made"
    assert info["chainlets"][0]["replicas"][0]["restarts"] == 1


async def test_a_second_crash_waits_for_its_backoff(plane: Plane) -> None:
    await plane.push(manifest(package("Entry")))
    plane.engine.running("Entry")[0].die()
    await ready(plane, "Entry", 1)
    plane.engine.running("Entry")[0].die()

    waiting = await plane.services.ledger.wait(
        lambda s: record_of(s, "Entry") if record_of(s, "Entry").state is ReplicaState.UNHEALTHY else None, 5
    )

    assert waiting.retry_at == plane.clock.now + 0.5
    plane.clock.now += 0.5
    plane.services.ledger.apply(lambda s: s.with_replicas(record_of(s, "Entry")))
    await ready(plane, "Entry", 2)


async def test_a_long_steady_replica_begins_a_new_row(plane: Plane) -> None:
    await plane.push(manifest(package("Entry")))
    for restarts in (1, 2, 3):
        plane.clock.now += 3600
        plane.engine.running("Entry")[0].die()
        await ready(plane, "Entry", restarts)


async def test_three_failed_starts_in_a_row_are_the_end(plane: Plane) -> None:
    record = await plane.push(manifest(package("Entry")))
    plane.engine.script.fail_start["Entry"] = 99
    plane.engine.running("Entry")[0].die()
    for failures in (1, 2, 3):
        found = await plane.services.ledger.wait(
            lambda s, n=failures: (  # type: ignore[misc] # bound now
                record_of(s, "Entry") if record_of(s, "Entry").failures == n else None
            ),
            5,
        )
        plane.clock.now += 60
        plane.services.ledger.apply(lambda s: s.with_replicas(record_of(s, "Entry")))

    assert (found.state, found.retry_at) == (ReplicaState.FAILED, None)
    assert [d.code for d in found.diagnostics] == [Code.INIT_FAILED]
    assert plane.engine.running() == []
    assert plane.is_active(record)


async def test_a_patched_replica_comes_back_with_the_committed_package(plane: Plane) -> None:
    record = await plane.develop(manifest(MODEL, ENTRY))
    changed = package("Entry", "2", calls=["Model"])
    await patch(plane, record.id, (changed, Action.PATCHED))

    plane.engine.running("Entry")[0].die()
    again = await ready(plane, "Entry", 1)

    assert again.request.launch.package_digest == changed.digest
    assert again.request.launch.since == 2


async def test_secrets_go_to_those_that_declare_them(plane: Plane) -> None:
    await plane.services.secrets.put("hf", "s3cret")
    await plane.services.secrets.put("other", "x")

    record = await plane.push(manifest(package("Model", secrets=("hf", "none")), ENTRY))

    (entry,), (model,) = plane.engine.running("Entry"), plane.engine.running("Model")
    assert model.request.launch.secrets == {"hf": "s3cret"}
    assert entry.request.launch.secrets == {}
    warned = plane.state.deployments[record.id].diagnostics
    assert [(d.code, d.severity) for d in warned] == [(Code.MISSING_SECRET, "warning")]


async def test_a_secret_that_is_set_later_reaches_what_runs_without_it(plane: Plane) -> None:
    record = await plane.push(manifest(package("Model", secrets=("hf", "none")), ENTRY))
    (entry,), (model,) = plane.engine.running("Entry"), plane.engine.running("Model")

    async with plane.client() as client:
        assert (await client.put("/v1/secrets/hf", json={"value": "s3cret"})).status_code == 200
        again = await ready_anew(plane, "Model", model)
        assert (await client.put("/v1/secrets/hf", json={"value": "other"})).status_code == 200

    assert again.request.launch.secrets == {"hf": "s3cret"}
    assert plane.engine.running("Entry") == [entry]
    assert plane.engine.running("Model") == [again]
    assert [d.message for d in plane.state.deployments[record.id].diagnostics] == [
        "secret `none` is not set; reading it will fail"
    ]


async def test_a_secret_that_is_set_while_a_replica_starts_reaches_it(plane: Plane) -> None:
    """The launch of the first start was made before the secret had a value."""
    plane.engine.script.gate = asyncio.Event()
    pushing = asyncio.create_task(plane.push(manifest(package("Model", secrets=("hf",)))))
    await plane.engine.begun.wait()

    async with plane.client() as client:
        assert (await client.put("/v1/secrets/hf", json={"value": "s3cret"})).status_code == 200
        plane.engine.script.gate.set()
    record = await pushing

    model = await ready(plane, "Model", 1)
    assert model.request.launch.secrets == {"hf": "s3cret"}
    assert plane.is_active(record)


async def test_environment_variables_are_the_chainlets_own(plane: Plane) -> None:
    await plane.push(manifest(package("Entry", env={"A": "1"})))

    assert plane.engine.running("Entry")[0].request.env_variables == {"A": "1"}


async def test_a_shutdown_during_a_start_leaves_no_process(plane: Plane) -> None:
    plane.engine.script.gate = asyncio.Event()
    chain = manifest(package("Entry"))
    plane.upload(chain)
    await plane.services.deployments.deploy("poems", DeployRequest(manifest=chain))
    await plane.engine.begun.wait()

    stopping = asyncio.create_task(plane.services.stop_everything())
    for _ in range(20):
        await asyncio.sleep(0)
    plane.engine.script.gate.set()
    await stopping
    await plane.services.reconciler.close()

    assert plane.engine.starts == ["Entry"]
    assert plane.engine.running() == []


# --- taking over


async def test_replicas_that_live_are_adopted(plane: Plane) -> None:
    record = await plane.push(manifest(MODEL, ENTRY), environment="production")
    before = [r.handle for r in plane.engine.running()]

    await plane.restart()

    assert [r.handle for r in plane.engine.running()] == before
    assert plane.engine.starts == ["Model", "Entry"]
    assert plane.is_active(record)
    assert plane.gateway.selectors()["production"] == record.id
    assert plane.gateway.table.serial > plane.gateway.tables[0].serial


async def test_a_replica_that_was_never_written_down_is_stopped(plane: Plane) -> None:
    """A control plane may be killed between starting a process and recording it."""
    await plane.push(manifest(MODEL))
    (model,) = plane.engine.running("Model")

    def started_unseen() -> None:
        handle = replace(model.handle, pid=99, address="unix:/fake/unseen")
        plane.engine.replicas[handle.address] = FakeReplica(
            model.request, handle, "Model", plane.engine.script
        )

    await plane.restart(meanwhile=started_unseen)

    assert plane.engine.running() == [model]


async def test_adopted_replicas_are_watched(plane: Plane) -> None:
    await plane.push(manifest(package("Entry")))
    await plane.restart()

    plane.engine.running("Entry")[0].die()

    await ready(plane, "Entry", 1)


async def test_replicas_that_died_meanwhile_are_started_again(plane: Plane) -> None:
    await plane.push(manifest(MODEL, ENTRY))
    (model,) = plane.engine.running("Model")

    await plane.restart(meanwhile=model.die)

    again = await ready(plane, "Model", 1)
    (entry,) = plane.engine.running("Entry")
    assert entry.routes.deployments[0].callees[0].sets[0].addresses == (again.handle.address,)


async def test_a_patched_version_survives_the_control_plane(plane: Plane) -> None:
    record = await plane.develop(manifest(MODEL, ENTRY))
    changed = package("Entry", "2", calls=["Model"])
    await patch(plane, record.id, (changed, Action.PATCHED))

    await plane.restart()
    outcome = await patch(plane, record.id, (package("Entry", "3", calls=["Model"]), Action.PATCHED))

    assert (outcome.committed, outcome.version) == (True, 3)
    assert plane.engine.starts == ["Model", "Entry"]


async def test_a_deployment_that_was_being_made_has_failed(plane: Plane) -> None:
    plane.engine.script.hang_start.add("Entry")
    wanted = manifest(package("Entry"))
    plane.upload(wanted)
    record, _ = await plane.services.deployments.deploy("poems", DeployRequest(manifest=wanted))
    await plane.services.ledger.wait(lambda s: True if any(r.pid for r in s.replicas.values()) else None, 5)

    await plane.restart()
    await plane.quiet()

    assert plane.state.deployments[record.id].state is DeploymentState.FAILED
    assert plane.state.deployments[record.id].diagnostics
    assert plane.engine.running() == []


async def test_a_cut_off_development_push_goes_on_with_the_former_version(plane: Plane) -> None:
    record = await plane.develop(manifest(package("Entry")))
    (entry,) = plane.engine.running("Entry")
    plane.engine.script.hang_start.add("Entry")
    wanted = manifest(package("Entry", "2"))
    plane.upload(wanted)
    request = DeployRequest(manifest=wanted, kind=DeploymentKind.DEVELOPMENT)
    await plane.services.deployments.deploy("poems", request)
    await plane.services.ledger.wait(lambda s: True if len(s.replicas) == 2 else None, 5)

    await plane.restart()
    await plane.quiet("Entry")

    assert plane.engine.running() == [entry]
    assert plane.gateway.version(record.id) == 1
    assert plane.state.deployments[record.id].is_live


async def test_a_superseded_deployment_is_still_waited_for(plane: Plane) -> None:
    first = await plane.push(manifest(package("Entry")))
    plane.gateway.in_flight = {f"{first.id}.1": 1}
    await plane.push(manifest(package("Entry", "2")))

    await plane.restart()

    assert plane.engine.names() == ["Entry", "Entry"]
    plane.gateway.in_flight = {}
    plane.gateway.finish()
    await plane.quiet("Entry")


async def test_a_restarted_gateway_gets_its_table_again(plane: Plane) -> None:
    record = await plane.push(manifest(package("Entry")))
    plane.gateway.tables.clear()

    await plane.services.distribution.check_gateway()

    assert plane.gateway.version(record.id) == 1


async def test_a_push_waits_for_a_gateway_that_is_being_restarted(plane: Plane) -> None:
    plane.gateway.down = True
    wanted = manifest(package("Entry"))
    plane.upload(wanted)
    record, _ = await plane.services.deployments.deploy("poems", DeployRequest(manifest=wanted))
    await plane.services.ledger.wait(lambda s: True if s.ready_replicas(next(iter(s.sets), "")) else None, 5)
    assert not plane.is_active(record)

    plane.gateway.down = False

    assert (await plane.settled(record.id)).state is DeploymentState.ACTIVE


async def test_stopping_everything_leaves_no_process_and_a_next_start_begins_anew(plane: Plane) -> None:
    record = await plane.push(manifest(MODEL, ENTRY))

    await plane.services.stop_everything()
    assert plane.engine.running() == []

    await plane.restart()
    await plane.quiet("Entry", "Model")
    await ready(plane, "Model", 0)
    await ready(plane, "Entry", 0)
    assert plane.is_active(record)
    assert plane.engine.names() == ["Entry", "Model"]


async def test_a_failure_of_ours_is_a_failed_start_too(plane: Plane) -> None:
    plane.engine.script.broken_start.add("Entry")

    record = await plane.push(manifest(package("Entry")))
    await plane.quiet()

    assert record.state is DeploymentState.FAILED
    assert [d.code for d in record.diagnostics] == [Code.REPLICA_CRASHED]
