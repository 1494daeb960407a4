"""How many threads a replica's numeric libraries start: as many as it has cores, or what the user says."""

from chains_platform.engines.process import thread_limits
from tests.unit.chains_platform.conftest import Plane
from tests.unit.chains_platform.fakes import manifest, package


def test_numeric_libraries_are_told_the_cpu_count() -> None:
    assert thread_limits(2, {"A": "1"}) == {
        "OMP_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "2",
    }


def test_the_users_word_holds_for_all_of_them() -> None:
    assert thread_limits(2, {"OMP_NUM_THREADS": "8"}) == {}


async def test_a_replica_is_started_with_the_cores_of_its_chainlet(plane: Plane) -> None:
    await plane.push(manifest(package("Entry", cpus=3)))

    (replica,) = plane.engine.running("Entry")
    assert replica.request.cpu_count == 3
