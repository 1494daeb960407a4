"""A file that is saved again while its round runs."""

import threading
from pathlib import Path

import pytest

from chains_cli.watching.newer import Newer
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
