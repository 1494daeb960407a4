"""Wanted and actual -> actions."""

from dataclasses import replace

import pytest

from chains_platform.replicas.reconcile import (
    Forget,
    Launch,
    Relaunch,
    Stop,
    after_crash,
    after_failed_start,
    reconcile,
)
from chains_platform.state import ReplicaRecord, State
from chains_protocol.replica import ReplicaState
from tests.unit.chains_platform.fakes import package
from tests.unit.chains_platform.states import changed, deployed, set_replica

MODEL = package("Model")
ENTRY = package("Entry", calls=["Model"])
STATE = deployed(State(), MODEL, ENTRY)


def established(state: State, set_id: str, value: bool) -> State:
    return state.with_sets([replace(state.sets[set_id], is_established=value)])


def test_what_is_as_wanted_needs_nothing() -> None:
    decision = reconcile(STATE, 0.0)

    assert (decision.actions, decision.look_again_at) == ((), None)


def test_missing_replicas_are_launched() -> None:
    state = STATE.without_replicas(["r-d1-Model-0"])

    assert reconcile(state, 0.0).actions == (Launch("d1-Model"),)


def test_a_new_set_waits_for_what_it_depends_on() -> None:
    state = STATE.without_replicas(["r-d1-Model-0", "r-d1-Entry-0"])
    state = established(established(state, "d1-Model", False), "d1-Entry", False)

    assert reconcile(state, 0.0).actions == (Launch("d1-Model"),)
    assert reconcile(established(state, "d1-Model", True), 0.0).actions == (
        Launch("d1-Model"),
        Launch("d1-Entry"),
    )


def test_independent_sets_start_side_by_side() -> None:
    state = deployed(State(), MODEL, package("Other"), package("Entry", calls=["Model", "Other"]))
    for set_id in list(state.sets):
        state = established(state, set_id, False)
    state = state.without_replicas(list(state.replicas))

    assert reconcile(state, 0.0).actions == (Launch("d1-Model"), Launch("d1-Other"))


def test_what_served_before_waits_for_nobody() -> None:
    state = STATE.without_replicas(list(STATE.replicas))

    assert set(reconcile(state, 0.0).actions) == {Launch("d1-Model"), Launch("d1-Entry")}


def test_every_wanted_replica_is_launched() -> None:
    state = deployed(State(), package("Entry", replicas=3)).without_replicas(["r-d1-Entry-0"])

    assert reconcile(state, 0.0).actions == (Launch("d1-Entry"),)
    assert reconcile(state.without_replicas(list(state.replicas)), 0.0).actions == (Launch("d1-Entry"),) * 3


def test_a_surplus_is_stopped() -> None:
    state = deployed(State(), package("Entry", replicas=2))
    state = state.with_sets([replace(state.sets["d1-Entry"], wanted=1)])

    assert reconcile(state, 0.0).actions == (Stop("r-d1-Entry-0"),)


def test_replicas_that_nobody_needs_are_stopped_then_forgotten() -> None:
    state = changed(STATE, "d1", members=())

    assert set(reconcile(state, 0.0).actions) == {Stop("r-d1-Model-0"), Stop("r-d1-Entry-0")}
    draining = set_replica(state, "r-d1-Model-0", state=ReplicaState.DRAINING)
    assert reconcile(draining, 0.0).actions == (Stop("r-d1-Entry-0"),)
    gone = state.without_replicas(list(state.replicas))
    assert set(reconcile(gone, 0.0).actions) == {Forget("d1-Model"), Forget("d1-Entry")}


def test_a_shared_set_stays_as_long_as_anyone_needs_it() -> None:
    state = deployed(STATE, MODEL, id="d2", shared={"Model": "d1-Model"})

    assert reconcile(changed(state, "d1", members=()), 0.0).actions == (Stop("r-d1-Entry-0"),)


def test_a_replica_is_started_again_when_it_is_due() -> None:
    state = set_replica(STATE, "r-d1-Model-0", state=ReplicaState.UNHEALTHY, retry_at=10.0)

    early = reconcile(state, 9.0)
    assert (early.actions, early.look_again_at) == ((), 10.0)
    assert reconcile(state, 10.0).actions == (Relaunch("r-d1-Model-0"),)


def test_a_failed_replica_is_left_alone() -> None:
    state = set_replica(STATE, "r-d1-Model-0", state=ReplicaState.FAILED)

    assert reconcile(state, 1e9).actions == ()


def test_a_replica_with_other_code_than_its_set_is_started_anew() -> None:
    state = set_replica(STATE, "r-d1-Model-0", package_digest="0" * 64)

    assert reconcile(state, 0.0).actions == (Stop("r-d1-Model-0", again=True),)


def replica(**fields: int) -> ReplicaRecord:
    return ReplicaRecord("r", "s", ReplicaState.STARTING, "0" * 64, **fields)  # type: ignore[arg-type] # counts


def test_a_new_set_has_one_try() -> None:
    record = replace(STATE.sets["d1-Model"], is_established=False)

    assert after_failed_start(record, replica(), 100.0) is None


def test_one_that_served_has_three_tries_with_growing_pauses() -> None:
    record = STATE.sets["d1-Model"]

    found = [after_failed_start(record, replica(failures=n), 100.0) for n in range(3)]

    assert found == [100.5, 101.0, None]


@pytest.mark.parametrize(("crashes", "pause"), [(0, 0.0), (1, 0.5), (2, 1.0), (5, 8.0), (30, 60.0)])
def test_crashes_are_answered_at_once_then_ever_later(crashes: int, pause: float) -> None:
    assert after_crash(replica(crashes=crashes), 100.0) == 100.0 + pause
