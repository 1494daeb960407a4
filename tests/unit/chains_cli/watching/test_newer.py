"""A file that is saved again while its round runs."""

import threading
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import cast

import pytest

from chains_cli.operations.watch_follow import Follower
from chains_cli.operations.watch_remote import Companion
from chains_cli.watching.newer import Newer
from chains_cli.watching.session import WatchSession
from chains_cli.watching.snapshot import Snapshot, WatchRoot


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("x = 1\n")
    return Snapshot([WatchRoot(tmp_path, lambda path: False)])


def test_it_gives_the_round_up_until_the_round_has_ended(tmp_path: Path, snapshot: Snapshot) -> None:
    enough = threading.Semaphore(0)
    newer = Newer(snapshot.known, enough.release, every_s=0.001)
    with newer.looking([tmp_path / "a.py"]):
        (tmp_path / "a.py").write_text("x = 2\n")
        assert enough.acquire(timeout=10) and enough.acquire(timeout=10)
    assert newer.is_found


def test_a_file_that_is_gone_is_another_too(tmp_path: Path, snapshot: Snapshot) -> None:
    found = threading.Event()
    with Newer(snapshot.known, found.set, every_s=0.001).looking([tmp_path / "a.py"]):
        (tmp_path / "a.py").unlink()
        assert found.wait(10)


def test_other_files_and_the_same_text_wait_for_the_next_round(tmp_path: Path, snapshot: Snapshot) -> None:
    looked = threading.Semaphore(0)

    def known(path: Path) -> str:
        looked.release()
        return snapshot.known(path)

    given_up: list[None] = []
    newer = Newer(known, lambda: given_up.append(None), every_s=0.001)
    with newer.looking([tmp_path / "a.py"]):
        (tmp_path / "b.py").write_text("x = 2\n")
        (tmp_path / "a.py").write_text("x = 1\n")
        looked.acquire()
    with newer.looking([tmp_path / "a.py"]):  # the thread of the first has looked, or has ended
        pass
    assert (given_up, newer.is_found) == ([], False)


def test_it_says_once_that_a_round_takes_long(tmp_path: Path, snapshot: Snapshot) -> None:
    slow = threading.Semaphore(0)
    with Newer(snapshot.known, lambda: None, slow.release, every_s=0.001).looking([tmp_path / "a.py"]):
        assert slow.acquire(timeout=10)
    assert not slow.acquire(blocking=False)


def test_a_snapshot_of_other_directories_keeps_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one" / "a.py").write_text("a = 1\n")
    (tmp_path / "two" / "b.py").write_text("b = 1\n")
    first = Snapshot([WatchRoot(tmp_path / "one", lambda path: False)])
    (tmp_path / "one" / "a.py").write_text("a = 2\n")

    both = first.with_roots([WatchRoot(tmp_path / name, lambda path: False) for name in ("one", "two")])

    assert both.recheck() == (tmp_path / "one" / "a.py",)


async def _no_saves() -> AsyncGenerator[tuple[Path, ...], None]:
    for paths in ():
        yield paths


class _Rounds:
    """Rounds of which each writes to a log beside the code, and the first is given up."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.count = 0
        self.given_up = threading.Event()

    def run_round(self, changed: Iterable[Path]) -> bool:
        self.count += 1
        with self.log.open("a") as log:
            log.write("a round\n")
        return self.count > 1 or self.given_up.wait(10)

    def after_round(self) -> None:
        pass


def test_a_log_that_goes_on_growing_gives_up_one_round_only(tmp_path: Path, snapshot: Snapshot) -> None:
    """Such as our own output; the saves of the same burst would never be applied."""
    rounds = _Rounds(tmp_path / "watch.log")
    looked_at: list[Path] = []

    def known(path: Path) -> str:
        looked_at.append(path)
        return snapshot.known(path)

    # only what a round needs of them
    follower = Follower(
        cast(WatchSession, rounds),
        cast(Companion, rounds),
        lambda _: (),
        lambda _: _no_saves(),
        [].append,
    )
    changed = (tmp_path / "a.py", rounds.log)
    follower._round(changed, snapshot, Newer(known, rounds.given_up.set, every_s=0.001))
    assert looked_at == [*changed, tmp_path / "a.py"]
    assert rounds.count == 2
