"""State -> tables of routes."""

from dataclasses import replace

from chains_platform import changes
from chains_platform.replicas.routing import GATEWAY, gateway_routes, replica_routes
from chains_platform.state import SetRecord, State, settings_key
from chains_protocol.manifest import PackageManifest
from chains_protocol.replica import ReplicaState
from chains_protocol.routes import choose_set
from tests.unit.chains_platform.fakes import package
from tests.unit.chains_platform.states import (
    DEVELOPMENT,
    changed,
    deployed,
    set_replica,
    token,
    with_replicas,
)

MODEL = package("Model")
ENTRY = package("Entry", calls=["Model"])
STATE = deployed(State(), MODEL, ENTRY)


def beside(state: State, found: PackageManifest, version: int) -> tuple[State, SetRecord]:
    """A new set of the development deployment, ready."""
    record = SetRecord(
        id=f"new-{found.spec.display_name}-{version}",
        chain="poems",
        package=found,
        settings=settings_key(found, None),
        deployment="d1",
        owner="d1",
        since=version,
        is_established=True,
    )
    return with_replicas(state.with_sets([record]), record), record


def test_a_replica_gets_what_it_may_call_and_nothing_else() -> None:
    entry = replica_routes(STATE, "d1-Entry", token)
    model = replica_routes(STATE, "d1-Model", token)

    (deployment,) = entry.deployments
    (callee,) = deployment.callees
    assert (deployment.deployment, callee.class_name, callee.display_name) == ("d1", "Model", "Model")
    assert [(s.since, s.addresses, s.token) for s in callee.sets] == [
        (1, ("unix:/d1-Model/0",), "d1-Entry>d1-Model")
    ]
    assert model.deployments == ()
    assert set(model.accepts) == {"d1-Entry>d1-Model", f"{GATEWAY}>d1-Model"}
    assert set(entry.accepts) == {f"{GATEWAY}>d1-Entry"}


def test_options_of_the_edge_are_the_callers() -> None:
    state = deployed(State(), MODEL, package("Entry", calls=["Model"], retries=7))

    assert replica_routes(state, "d1-Entry", token).deployments[0].callees[0].options.retries == 7


def test_only_ready_replicas_with_the_sets_code_have_an_address() -> None:
    for fields in (
        {"state": ReplicaState.UNHEALTHY},
        {"state": ReplicaState.STARTING},
        {"state": ReplicaState.DRAINING},
        {"package_digest": "0" * 64},
    ):
        state = set_replica(STATE, "r-d1-Model-0", **fields)
        (callee,) = replica_routes(state, "d1-Entry", token).deployments[0].callees
        assert callee.sets[0].addresses == ()


def test_a_shared_caller_has_a_table_for_each_deployment() -> None:
    state = deployed(STATE, package("Model", "2"), ENTRY, id="d2", at=2.0, shared={"Entry": "d1-Entry"})

    found = {
        d.deployment: d.callees[0].sets[0].addresses
        for d in replica_routes(state, "d1-Entry", token).deployments
    }

    assert found == {"d1": ("unix:/d1-Model/0",), "d2": ("unix:/d2-Model/0",)}


def test_a_shared_callee_lets_all_its_callers_in() -> None:
    state = deployed(
        STATE, MODEL, package("Entry", "2", calls=["Model"]), id="d2", shared={"Model": "d1-Model"}
    )

    accepts = set(replica_routes(state, "d1-Model", token).accepts)

    assert accepts == {"d1-Entry>d1-Model", "d2-Entry>d1-Model", f"{GATEWAY}>d1-Model"}


def test_old_and_new_callee_stand_side_by_side() -> None:
    state, new = beside(deployed(State(), MODEL, ENTRY, kind=DEVELOPMENT), package("Model", "2"), 2)
    state = changes.prepare_version(state, "d1", 2, [new.package, ENTRY], {"Model": new})

    (callee,) = replica_routes(state, "d1-Entry", token).deployments[0].callees

    assert [s.since for s in callee.sets] == [1, 2]
    assert choose_set(callee.sets, 1) == callee.sets[0]
    assert choose_set(callee.sets, 2) == callee.sets[1]


def test_a_new_caller_is_accepted_before_anyone_sends_to_it() -> None:
    state, new = beside(deployed(State(), MODEL, ENTRY, kind=DEVELOPMENT), ENTRY, 2)
    state = changes.prepare_version(state, "d1", 2, [MODEL, ENTRY], {"Entry": new})

    assert f"{new.id}>d1-Model" in replica_routes(state, "d1-Model", token).accepts


def test_an_edge_that_leads_elsewhere_from_a_version_on() -> None:
    other = package("Other")
    state = deployed(State(), MODEL, other, ENTRY, kind=DEVELOPMENT)
    moved = ENTRY.spec.dependencies[0].model_copy(update={"display_name": "Other"})
    entry = ENTRY.model_copy(update={"spec": ENTRY.spec.model_copy(update={"dependencies": (moved,)})})
    state = changes.prepare_version(state, "d1", 2, [MODEL, other, entry], {})
    state = changes.commit_version(state, "d1", 2, "Entry", (MODEL, other, entry))

    (callee,) = replica_routes(state, "d1-Entry", token).deployments[0].callees

    old, new = choose_set(callee.sets, 1), choose_set(callee.sets, 2)
    assert old is not None
    assert new is not None
    assert (old.addresses, new.addresses) == (("unix:/d1-Model/0",), ("unix:/d1-Other/0",))
    later = replica_routes(changes.retire(state, "d1", 2), "d1-Entry", token)
    assert [s.addresses for s in later.deployments[0].callees[0].sets] == [("unix:/d1-Other/0",)]


def test_the_gateway_knows_every_selector() -> None:
    state = deployed(STATE, MODEL, id="d2", at=2.0)
    state = deployed(state, MODEL, id="dev", at=3.0, kind=DEVELOPMENT)
    state = changes.point(state, "poems", "production", "d1", 0.0)
    state = changes.point(state, "poems", "staging", "d2", 0.0)

    table = gateway_routes(state, 9, token)

    assert table.serial == 9
    assert {r.selector: r.deployment for r in table.routes} == {
        "deployment/d1": "d1",
        "deployment/d2": "d2",
        "deployment/dev": "dev",
        "development": "dev",
        "environments/production": "d1",
        "environments/staging": "d2",
        "latest": "d2",
        "production": "d1",
    }
    assert [t.deployment for t in table.targets] == ["d1", "d2", "dev"]
    assert table.targets[0].sets[0].token == f"{GATEWAY}>d1-Entry"


def test_what_does_not_serve_is_not_in_the_gateways_table() -> None:
    state = changes.point(STATE, "poems", "production", "d1", 0.0)

    table = gateway_routes(changed(state, "d1", is_live=False), 1, token)

    assert (table.targets, table.routes) == ((), ())


def test_a_prepared_version_is_not_stamped_yet() -> None:
    state, new = beside(deployed(State(), MODEL, ENTRY, kind=DEVELOPMENT), ENTRY, 2)
    state = changes.prepare_version(state, "d1", 2, [MODEL, ENTRY], {"Entry": new})

    before = gateway_routes(state, 1, token).targets[0]
    after = gateway_routes(changes.commit_version(state, "d1", 2, "Entry", (MODEL, ENTRY)), 1, token).targets[
        0
    ]

    assert (before.version, after.version) == (1, 2)
    assert [s.since for s in after.sets] == [1, 2]


def test_kind_of_endpoint_is_told() -> None:
    endpoint = ENTRY.spec.endpoint.model_copy(update={"is_websocket": True})
    entry = ENTRY.model_copy(update={"spec": ENTRY.spec.model_copy(update={"endpoint": endpoint})})
    state = STATE.with_deployment(replace(STATE.deployments["d1"], packages=(MODEL, entry)))

    (target,) = gateway_routes(state, 1, token).targets

    assert (target.is_websocket, target.is_streaming) == (True, False)
