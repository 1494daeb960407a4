"""What a failing `is_healthy` does (`HealthChecks`, R-12)."""

import pytest

from chains_platform.replicas.health import DEFAULT_RESTART_S, Thresholds, Verdict, judge
from chains_protocol.errors import Code
from chains_protocol.replica import ReplicaState
from tests.unit.chains_platform.conftest import Plane
from tests.unit.chains_platform.fakes import manifest, package
from tests.unit.chains_platform.test_reconciler import ready, record_of

LIMITS = Thresholds(delay_s=100.0, stop_traffic_s=10.0, restart_s=30.0)


@pytest.mark.parametrize(
    ("since", "now", "verdict"),
    [
        (None, 1000.0, Verdict.SERVE),
        (1000.0, 1005.0, Verdict.SERVE),
        (1000.0, 1010.0, Verdict.HOLD),
        (1000.0, 1029.0, Verdict.HOLD),
        (1000.0, 1030.0, Verdict.RESTART),
        (50.0, 120.0, Verdict.HOLD),
        (50.0, 129.0, Verdict.HOLD),
        (50.0, 130.0, Verdict.RESTART),
    ],
)
def test_a_lasting_no_first_stops_traffic_then_restarts(
    since: float | None, now: float, verdict: Verdict
) -> None:
    """The process started at 0; 100 s of delay count for the restart only."""
    assert judge(LIMITS, 0.0, since, now) is verdict


def test_the_chainlet_may_choose() -> None:
    chosen = {"stop_traffic_threshold_seconds": 1, "restart_check_delay_seconds": None}

    found = Thresholds.of(package("Entry", health_checks=chosen).spec)

    assert found == Thresholds(delay_s=0.0, stop_traffic_s=1.0, restart_s=DEFAULT_RESTART_S)


async def test_an_unhealthy_replica_gets_no_requests_until_it_is_healthy_again(plane: Plane) -> None:
    checks = {"stop_traffic_threshold_seconds": 10, "restart_threshold_seconds": 1000}
    await plane.push(manifest(package("Entry", health_checks=checks)))
    (entry,) = plane.engine.running()
    plane.engine.script.unhealthy.add("Entry")
    await plane.services.health.look()
    assert plane.gateway.table.targets[0].sets[0].addresses == (entry.handle.address,)

    plane.clock.now += 10
    await plane.services.health.look()
    assert plane.gateway.table.targets[0].sets[0].addresses == ()
    (told,) = record_of(plane.state, "Entry").diagnostics
    assert (told.code, told.message) == (Code.NOT_READY, "`is_healthy` of `Entry` says that it is not")

    plane.engine.script.unhealthy.clear()
    await plane.services.health.look()
    assert plane.gateway.table.targets[0].sets[0].addresses == (entry.handle.address,)
    assert record_of(plane.state, "Entry").diagnostics == ()
    assert plane.engine.running() == [entry]


async def test_a_replica_that_stays_unhealthy_is_started_anew(plane: Plane) -> None:
    await plane.push(manifest(package("Entry", health_checks={"restart_threshold_seconds": 60})))
    (entry,) = plane.engine.running()
    plane.engine.script.unhealthy.add("Entry")
    await plane.services.health.look()

    plane.clock.now += 60
    await plane.services.health.look()
    again = await ready(plane, "Entry", 1)

    assert again.handle.pid != entry.handle.pid
    await plane.services.health.look()
    assert record_of(plane.state, "Entry").state is ReplicaState.READY


async def test_who_has_no_opinion_is_not_asked(plane: Plane) -> None:
    await plane.push(manifest(package("Entry")))
    plane.engine.script.unhealthy.add("Entry")

    for _ in range(3):
        plane.clock.now += 1000
        await plane.services.health.look()

    assert record_of(plane.state, "Entry").state is ReplicaState.READY
    assert plane.engine.starts == ["Entry"]


async def test_the_chainlet_may_bound_its_start(plane: Plane) -> None:
    plane.engine.script.hang_start.add("Entry")

    record = await plane.push(manifest(package("Entry", health_checks={"startup_threshold_seconds": 0})))

    assert "0 s" in record.diagnostics[0].message
