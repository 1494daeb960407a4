"""What is removed now and then, and what never is."""

import os

from chains_platform import changes
from chains_platform.state import LogSource, State
from chains_protocol.control import GcRequest
from tests.unit.chains_platform.conftest import Plane
from tests.unit.chains_platform.fakes import manifest, package
from tests.unit.chains_platform.states import deployed

WEEK_S = 7 * 24 * 3600.0


def test_the_newest_logs_of_each_deployment_stay() -> None:
    state = deployed(State(), package("Entry"))
    for n in range(5):
        state = state.with_log_source(LogSource(f"r{n}", "s", "poems", "Entry", ("d1",), float(n)))
    state = state.with_log_source(LogSource("orphan", "s", "poems", "Entry", ("gone",), 9.0))
    state = state.with_log_source(LogSource("r-d1-Entry-0", "s", "poems", "Entry", ("gone",), 0.0))

    assert set(changes.surplus_log_sources(state, 2)) == {"r0", "r1", "r2", "orphan"}


async def test_only_what_nobody_refers_to_is_removed(plane: Plane) -> None:
    old = await plane.push(manifest(package("Entry", "old")))
    await plane.develop(manifest(package("Entry", "new")))
    await plane.services.removal.delete("poems", old.id)
    await plane.services.ledger.wait(lambda s: True if len(s.sets) == 1 else None, 5)
    (plane.layout.replicas / "unknown").mkdir()
    for path in [*plane.layout.packages.iterdir(), *plane.layout.blobs.glob("*/*")]:
        os.utime(path, (plane.clock.now - 2 * WEEK_S,) * 2)

    await plane.services.housekeeping.tidy()

    (entry,) = plane.engine.running()
    assert [p.name for p in plane.layout.packages.iterdir()] == [entry.digest]
    assert not (plane.layout.replicas / "unknown").exists()
    assert (plane.layout.replicas / entry.request.replica_id).is_dir()
    assert plane.services.blobs.missing([package("Entry", "new")]) == ()
    stored = await plane.services.writer.read(lambda store: store.load())
    assert stored == plane.state
    assert await plane.services.writer.read(lambda store: store.prune_packages()) == 0


async def test_what_an_undo_can_bring_back_stays(plane: Plane) -> None:
    """A version is a set of package digests, all of which the platform keeps; a restart forgets none."""
    await plane.develop(manifest(package("Entry", "old")))
    await plane.develop(manifest(package("Entry", "new")))
    for path in [*plane.layout.packages.iterdir(), *plane.layout.blobs.glob("*/*")]:
        os.utime(path, (plane.clock.now - 2 * WEEK_S,) * 2)

    await plane.services.housekeeping.tidy()

    assert plane.services.blobs.missing([package("Entry", "old")]) == ()
    await plane.restart()
    record = plane.services.deployments.find("poems", "development")
    assert [(v.version, v.packages) for v in record.versions] == [
        (1, (package("Entry", "old"),)),
        (2, (package("Entry", "new"),)),
    ]


async def test_what_is_young_stays(plane: Plane) -> None:
    await plane.develop(manifest(package("Entry", "old")))
    await plane.develop(manifest(package("Entry", "new")))
    for path in [*plane.layout.packages.iterdir(), *plane.layout.blobs.glob("*/*")]:
        os.utime(path, (plane.clock.now,) * 2)

    await plane.services.housekeeping.tidy()

    assert len(list(plane.layout.packages.iterdir())) == 2


async def test_a_deleted_deployment_is_purged_even_by_the_next_control_plane(plane: Plane) -> None:
    record = await plane.develop(manifest(package("Entry")))
    plane.gateway.in_flight = {f"{record.id}.1": 1}
    await plane.services.removal.delete("poems", record.id)

    await plane.restart()
    assert record.id in plane.state.deployments
    plane.gateway.in_flight = {}
    plane.gateway.finish()
    await plane.services.ledger.wait(lambda s: True if not s.deployments and not s.replicas else None, 5)

    assert plane.engine.running() == []
    assert plane.state.log_sources == {}


async def test_the_environments_of_all_deployments_but_deleted_ones_are_kept(plane: Plane) -> None:
    """What `POST /v1/gc` asks of the engine."""
    record = await plane.develop(manifest(package("Entry", "one")))
    asked = {p.environment for p in record.packages}

    would = await plane.services.housekeeping.collect(GcRequest(older_than_s=0, dry_run=True))
    assert plane.engine.collected[-1] == (asked, plane.clock.now, True)
    assert (would.environments, would.packages, would.kept_environments) == (2, 0, len(asked))

    await plane.services.removal.delete("poems", record.id)
    await plane.services.ledger.wait(lambda s: True if not s.sets else None, 5)
    await plane.services.housekeeping.collect(GcRequest(older_than_s=60))
    assert plane.engine.collected[-1] == (frozenset(), plane.clock.now - 60, False)
