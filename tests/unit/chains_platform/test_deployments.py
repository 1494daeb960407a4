"""Push: what starts, what is shared, what a failure leaves behind."""

import pytest

from chains_platform.refusals import Refusal
from chains_protocol.control import DeploymentKind, DeploymentState, DeployRequest
from chains_protocol.errors import Code
from tests.unit.chains_platform.conftest import Plane
from tests.unit.chains_platform.fakes import manifest, package


async def test_a_push_starts_all_replicas_and_routes_to_the_entrypoint(plane: Plane) -> None:
    record = await plane.push(manifest(package("Model"), package("Entry", calls=["Model"])))

    assert record.state is DeploymentState.ACTIVE
    assert plane.engine.starts == ["Model", "Entry"]
    target = plane.gateway.table.targets[0]
    (entry,) = plane.engine.running("Entry")
    assert (target.deployment, target.version, target.entrypoint) == (record.id, 1, "Entry")
    assert target.sets[0].addresses == (entry.handle.address,)
    assert plane.gateway.selectors() == {f"deployment/{record.id}": record.id, "latest": record.id}


async def test_a_caller_gets_the_token_that_its_callee_accepts(plane: Plane) -> None:
    await plane.push(manifest(package("Model"), package("Entry", calls=["Model"])))

    (entry,), (model,) = plane.engine.running("Entry"), plane.engine.running("Model")
    (deployment,) = entry.routes.deployments
    (callee,) = deployment.callees
    assert callee.sets[0].addresses == (model.handle.address,)
    assert callee.sets[0].token in model.routes.accepts
    assert callee.sets[0].token not in entry.routes.accepts


async def test_an_unchanged_push_does_nothing(plane: Plane) -> None:
    first = await plane.push(manifest(package("Entry")))
    request = DeployRequest(manifest=manifest(package("Entry")))

    record, is_new = await plane.services.deployments.deploy("poems", request)

    assert (record.id, is_new) == (first.id, False)
    assert plane.engine.starts == ["Entry"]


async def test_a_push_without_a_wish_leaves_environments_alone(plane: Plane) -> None:
    first = await plane.push(manifest(package("Entry")), environment="production")

    again = await plane.push(manifest(package("Entry")))

    assert again.id == first.id


async def test_another_wish_is_a_deployment_of_its_own_that_shares_everything(plane: Plane) -> None:
    first = await plane.push(manifest(package("Entry")), environment="production")

    second = await plane.push(manifest(package("Entry")), environment="staging")

    assert second.id != first.id
    assert plane.engine.starts == ["Entry"]
    selectors = plane.gateway.selectors()
    assert (selectors["production"], selectors["environments/staging"]) == (first.id, second.id)


async def test_only_the_changed_chainlet_starts(plane: Plane) -> None:
    first = await plane.push(manifest(package("Model"), package("Entry", calls=["Model"])))
    (model,) = plane.engine.running("Model")

    second = await plane.push(manifest(package("Model"), package("Entry", "2", calls=["Model"])))
    await plane.quiet("Entry", "Model")

    assert plane.engine.starts == ["Model", "Entry", "Entry"]
    assert plane.engine.running("Model") == [model]
    assert plane.state.deployments[first.id].state is DeploymentState.INACTIVE
    assert plane.gateway.selectors()["latest"] == second.id


async def test_shared_glue_calls_the_model_of_the_requests_own_deployment(plane: Plane) -> None:
    first = await plane.push(
        manifest(package("Model"), package("Entry", calls=["Model"])), environment="production"
    )
    second = await plane.push(
        manifest(package("Model", "2"), package("Entry", calls=["Model"])), environment="staging"
    )

    (entry,) = plane.engine.running("Entry")
    old, new = plane.engine.running("Model")
    addresses = {d.deployment: d.callees[0].sets[0].addresses for d in entry.routes.deployments}
    assert addresses == {first.id: (old.handle.address,), second.id: (new.handle.address,)}


async def test_a_superseded_deployment_keeps_its_replicas_until_its_requests_end(plane: Plane) -> None:
    first = await plane.push(manifest(package("Entry")))
    plane.gateway.in_flight = {f"{first.id}.1": 1}

    await plane.push(manifest(package("Entry", "2")))

    assert plane.engine.names() == ["Entry", "Entry"]
    plane.gateway.in_flight = {}
    plane.gateway.finish()
    await plane.quiet("Entry")
    assert plane.engine.names() == ["Entry"]


async def test_a_failed_start_leaves_no_process_and_keeps_the_reason(plane: Plane) -> None:
    plane.engine.script.fail_start["Entry"] = 1

    record = await plane.push(manifest(package("Model"), package("Entry", calls=["Model"])))
    await plane.quiet()

    assert record.state is DeploymentState.FAILED
    assert [(d.code, d.detail, d.chainlet) for d in record.diagnostics] == [
        (Code.INIT_FAILED, "Traceback: boom", "Entry")
    ]
    assert plane.engine.running() == []
    assert plane.engine.starts == ["Model", "Entry"]


async def test_a_failed_push_leaves_the_former_deployment_serving(plane: Plane) -> None:
    first = await plane.push(manifest(package("Entry")), environment="production")
    plane.engine.script.fail_start["Entry"] = 1

    second = await plane.push(manifest(package("Entry", "2")), environment="production")
    await plane.quiet("Entry")

    assert second.state is DeploymentState.FAILED
    assert plane.gateway.selectors()["production"] == first.id


async def test_a_start_that_takes_too_long_is_stopped(plane: Plane) -> None:
    plane.engine.script.hang_start.add("Entry")

    record = await plane.push(manifest(package("Entry")))
    await plane.quiet()

    assert [d.code for d in record.diagnostics] == [Code.REPLICA_START_TIMED_OUT]
    assert plane.engine.running() == []


async def test_an_environment_that_cannot_be_built_starts_nothing(plane: Plane) -> None:
    plane.engine.unbuildable.add(("nope",))

    record = await plane.push(manifest(package("Entry", requirements=("nope",))))

    assert [d.code for d in record.diagnostics] == [Code.ENVIRONMENT_BUILD_FAILED]
    assert plane.engine.starts == []


async def test_what_the_engine_refuses_is_answered_at_once(plane: Plane) -> None:
    wanted = manifest(package("Entry", gpu="H100"))
    plane.upload(wanted)

    with pytest.raises(Refusal) as refused:
        await plane.services.deployments.deploy("poems", DeployRequest(manifest=wanted))

    assert refused.value.status == 422
    assert [d.code for d in refused.value.diagnostics] == [Code.GPU_MISSING]


async def test_what_may_be_missing_is_a_warning_of_the_deployment(plane: Plane) -> None:
    record = await plane.push(manifest(package("Entry", gpu="H100")), allow_missing=("gpu",))

    assert record.state is DeploymentState.ACTIVE
    assert [d.code for d in plane.state.deployments[record.id].diagnostics] == [Code.GPU_MISSING]


async def test_missing_blobs_are_refused(plane: Plane) -> None:
    with pytest.raises(Refusal) as refused:
        await plane.services.deployments.deploy(
            "poems", DeployRequest(manifest=manifest(package("Entry", "never sent")))
        )

    assert refused.value.status == 400


async def test_development_replicas_are_its_own(plane: Plane) -> None:
    await plane.push(manifest(package("Entry")))
    record = await plane.develop(manifest(package("Entry")))

    assert plane.engine.names() == ["Entry", "Entry"]
    assert plane.gateway.selectors()["development"] == record.id


async def test_a_second_development_push_is_the_next_version_of_the_same_deployment(plane: Plane) -> None:
    first = await plane.develop(manifest(package("Model"), package("Entry", calls=["Model"])))
    (model,) = plane.engine.running("Model")

    second = await plane.develop(manifest(package("Model"), package("Entry", "2", calls=["Model"])))
    await plane.quiet("Entry", "Model")

    assert (second.id, second.version) == (first.id, 2)
    assert plane.engine.running("Model") == [model]
    (entry,) = plane.engine.running("Entry")
    assert plane.gateway.version(first.id) == 2
    assert plane.gateway.table.targets[0].sets[-1].since == 2
    assert plane.gateway.table.targets[0].sets[-1].addresses == (entry.handle.address,)


async def test_a_failed_development_push_goes_on_with_the_former_version(plane: Plane) -> None:
    first = await plane.develop(manifest(package("Entry")))
    (entry,) = plane.engine.running("Entry")
    plane.engine.script.fail_start["Entry"] = 1

    second = await plane.develop(manifest(package("Entry", "broken")))
    await plane.quiet("Entry")

    assert (second.id, second.version, second.state) == (first.id, 1, DeploymentState.FAILED)
    assert plane.engine.running() == [entry]
    assert plane.gateway.version(first.id) == 1

    third = await plane.develop(manifest(package("Entry", "good")))
    assert (third.id, third.version, third.state) == (first.id, 2, DeploymentState.ACTIVE)


async def test_a_development_deployment_whose_first_start_failed_can_be_pushed_again(plane: Plane) -> None:
    plane.engine.script.fail_start["Entry"] = 1
    first = await plane.develop(manifest(package("Entry", "broken")))

    second = await plane.develop(manifest(package("Entry", "good")))

    assert first.state is DeploymentState.FAILED
    assert (second.id, second.version, second.state) == (first.id, 1, DeploymentState.ACTIVE)


async def test_environment_promotion_is_part_of_the_push(plane: Plane) -> None:
    record = await plane.push(manifest(package("Entry")), environment="production")

    selectors = plane.gateway.selectors()
    assert selectors["production"] == selectors["environments/production"] == record.id


async def test_rollback_leads_back_without_starting_anything(plane: Plane) -> None:
    first = await plane.push(manifest(package("Entry")), environment="production")
    await plane.push(manifest(package("Entry", "2")), environment="production")
    starts = list(plane.engine.starts)

    record = await plane.services.environments.rollback("poems", "production")

    assert record.id == first.id
    assert plane.gateway.selectors()["production"] == first.id
    assert plane.engine.starts == starts


async def test_promoting_a_stopped_deployment_starts_it_first(plane: Plane) -> None:
    first = await plane.push(manifest(package("Entry")))
    await plane.push(manifest(package("Entry", "2")))
    await plane.quiet("Entry")
    assert plane.state.deployments[first.id].state is DeploymentState.INACTIVE

    record = await plane.services.environments.promote("poems", "production", first.id)

    assert record.state is DeploymentState.ACTIVE
    assert plane.gateway.selectors()["production"] == first.id
    assert plane.engine.names() == ["Entry", "Entry"]


async def test_deleting_a_deployment_stops_it(plane: Plane) -> None:
    record = await plane.develop(manifest(package("Entry")))

    await plane.services.removal.delete("poems", "development")
    await plane.quiet()

    assert plane.engine.running() == []
    assert plane.gateway.table.targets == ()
    with pytest.raises(Refusal):
        plane.services.deployments.find("poems", record.id)


async def test_deleting_while_it_starts_leaves_nothing(plane: Plane) -> None:
    plane.engine.script.hang_start.add("Entry")
    wanted = manifest(package("Entry"))
    plane.upload(wanted)
    request = DeployRequest(manifest=wanted, kind=DeploymentKind.DEVELOPMENT)
    record, _ = await plane.services.deployments.deploy("poems", request)
    await plane.services.ledger.wait(lambda s: True if any(r.pid for r in s.replicas.values()) else None, 5)

    await plane.services.removal.delete("poems", record.id)
    await plane.quiet()

    assert plane.engine.running() == []


async def test_a_deployment_that_an_environment_points_at_is_not_deleted(plane: Plane) -> None:
    record = await plane.push(manifest(package("Entry")), environment="production")

    with pytest.raises(Refusal, match="production"):
        await plane.services.removal.delete("poems", record.id)


async def test_deleting_a_chain_stops_everything_of_it(plane: Plane) -> None:
    await plane.push(manifest(package("Entry")), environment="production")
    await plane.develop(manifest(package("Entry")))

    await plane.services.removal.delete_chain("poems")
    await plane.quiet()

    assert plane.engine.running() == []
    assert plane.state.chains == {}
    assert plane.state.environments == {}


async def test_a_deployment_promoted_while_it_drains_keeps_its_replicas(plane: Plane) -> None:
    first = await plane.push(manifest(package("Entry")))
    plane.gateway.in_flight = {f"{first.id}.1": 1}
    await plane.push(manifest(package("Entry", "2")))
    (entry, _) = plane.engine.running("Entry")

    await plane.services.environments.promote("poems", "production", first.id)
    plane.gateway.in_flight = {}
    plane.gateway.finish()
    await plane.services.distribution.sync()

    assert plane.engine.running("Entry")[0] is entry
    assert plane.engine.starts == ["Entry", "Entry"]
    assert plane.state.deployments[first.id].members
