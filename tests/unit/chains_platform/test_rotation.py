"""Log files that grow too long are cut; who writes them notices nothing."""

import os

from chains_platform.rotation import LogRotation, cut
from tests.unit.chains_platform.conftest import Plane


async def test_only_files_that_are_too_long_are_cut(plane: Plane) -> None:
    replica = plane.layout.replica("r1")
    replica.mkdir()
    long, short, gateway = replica / "stdout.log", replica / "stderr.log", plane.layout.logs / "gateway.log"
    long.write_text("a line\n" * 20)
    short.write_text("a line\n")
    gateway.write_text("x" * 101)
    writer = os.open(long, os.O_WRONLY | os.O_APPEND)

    assert set(await LogRotation(plane.layout, 100).look()) == {long, gateway}
    os.write(writer, b"the next\n")
    os.close(writer)

    assert long.read_text() == "the next\n"
    assert (replica / "stdout.log.1").read_text() == "a line\n" * 20
    assert (replica / "stdout.log.1").stat().st_mode & 0o077 == 0
    assert short.read_text() == "a line\n"
    assert await LogRotation(plane.layout, 100).look() == ()


def test_the_former_part_is_replaced_and_a_removed_file_is_no_failure(plane: Plane) -> None:
    path = plane.layout.logs / "control.log"
    for text in ("first", "second"):
        path.write_text(text)
        assert cut(path, 3)

    assert path.with_name("control.log.1").read_text() == "second"
    path.unlink()
    assert not cut(path, 3)
