"""Hot patches of a running Chain, the short form of `tests/soak/test_patches.py`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soak.scenarios import (
    SOCKET_ENTRY,
    STREAM_ENTRY,
    TWO_HOPS,
    footprints,
    patch_in_a_row,
    patches_under_load,
    sockets_across_patches,
    streams_across_patches,
)
from tests.soak.world import World, call_source, platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture
def world() -> Iterator[World]:
    with platform() as found:
        yield found


@pytest.fixture
def streaming() -> Iterator[World]:
    with platform(TWO_HOPS, STREAM_ENTRY) as found:
        yield found


def test_no_request_fails_or_mixes_versions_while_types_change_under_load(world: World) -> None:
    report = patches_under_load(world, patches=10, calm_s=1, patching_s=4)

    assert (report.failed, report.mixed) == (0, 0), report
    assert report.versions > 5, report


def test_patches_leave_no_generation_and_no_descriptor_behind(world: World) -> None:
    world.push(world.chain(call_source(0)))
    patch_in_a_row(world, 1, 10)
    before = footprints(world)

    patch_in_a_row(world, 11, 50)

    after = footprints(world)
    for name, now in after.items():
        assert now.pid == before[name].pid
        assert now.generations <= 2
        assert now.fds <= before[name].fds + 3
        assert now.rss_bytes < before[name].rss_bytes * 1.15


def test_streams_end_on_the_version_they_began_with(streaming: World, tmp_path: Path) -> None:
    said = streams_across_patches(streaming, tmp_path / "stop", patches=8)

    assert said == [{f"{n}:{n}"} for n in range(8)]


async def test_websockets_end_on_the_version_they_began_with() -> None:
    with platform(TWO_HOPS, SOCKET_ENTRY) as world:
        said = await sockets_across_patches(world, patches=8)

    assert said == [{f"{n}:{n}"} for n in range(8)]
