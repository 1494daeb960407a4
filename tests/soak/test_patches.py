"""The long forms of `tests/e2e/test_watch_patches.py`; their figures are printed."""

from collections.abc import Callable
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
from tests.soak.world import call_source, platform

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

Say = Callable[[str], None]


def test_twelve_thousand_requests_over_two_hundred_patches(say: Say) -> None:
    with platform() as world:
        report = patches_under_load(world, patches=200, calm_s=15, patching_s=60, control_s=15, rounds=5)
    say(str(report))

    assert (report.failed, report.mixed) == (0, 0)
    assert report.versions > 190
    assert report.patching.p99_ms <= 2 * report.calm.p99_ms


def test_five_hundred_patches_in_a_row(say: Say) -> None:
    with platform() as world:
        world.push(world.chain(call_source(0)))
        patch_in_a_row(world, 1, 100)  # caches fill
        before = footprints(world)
        patch_in_a_row(world, 101, 600)
        after = footprints(world)
    for name, now in after.items():
        say(f"{name}: {before[name]} -> {now}")
        assert now.pid == before[name].pid
        assert now.generations == 1
        assert now.fds <= before[name].fds + 2
        assert now.rss_bytes < before[name].rss_bytes * 1.05


def test_fifty_streams_across_fifty_patches(say: Say, tmp_path: Path) -> None:
    with platform(TWO_HOPS, STREAM_ENTRY) as world:
        said = streams_across_patches(world, tmp_path / "stop", patches=50)
        held = footprints(world)
    say(f"50 streams ended on their own version; generations held at the end: {held['Entry'].generations}")

    assert said == [{f"{n}:{n}"} for n in range(50)]


async def test_fifty_websockets_across_fifty_patches() -> None:
    with platform(TWO_HOPS, SOCKET_ENTRY) as world:
        said = await sockets_across_patches(world, patches=50)

    assert said == [{f"{n}:{n}"} for n in range(50)]
