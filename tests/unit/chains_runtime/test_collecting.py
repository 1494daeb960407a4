"""Cycles of code that is gone are collected between calls, and take a small share of the time."""

from collections.abc import Callable

import pytest

from chains_runtime.collecting import LOOK_EVERY_S, LOOKS, SHARE, SOON_S, IdleCollection, Timer

TAKES_S = 0.01


class Replica:
    """Time by hand: what is due, whether calls run, and when there was a collection."""

    def __init__(self) -> None:
        self.now = 100.0
        self.is_idle = True
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.collected: list[float] = []
        self.collection = IdleCollection(lambda: self.is_idle, self._collect, lambda: self.now, self._later)

    def _later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        entry = (self.now + delay_s, callback)
        self.due.append(entry)
        due = self.due

        class Entry:
            def cancel(self) -> None:
                due.remove(entry)

        return Entry()

    def _collect(self) -> None:
        self.collected.append(self.now)
        self.now += TAKES_S

    def run(self, times: int = 1) -> None:
        for _ in range(times):
            self.now, callback = self.due.pop(0)
            callback()


def test_it_comes_soon_once_for_many_questions() -> None:
    replica = Replica()
    for _ in range(3):
        replica.collection.ask()
    replica.run()

    assert replica.collected == [pytest.approx(100 + SOON_S)]
    assert replica.due == []


def test_it_waits_for_a_moment_without_calls() -> None:
    replica = Replica()
    replica.is_idle = False
    replica.collection.ask()
    replica.run(10)
    assert replica.collected == []

    replica.is_idle = True
    replica.run()

    assert replica.collected == [pytest.approx(100 + SOON_S + 10 * LOOK_EVERY_S)]


def test_a_replica_that_is_never_idle_is_left_to_the_interpreter() -> None:
    replica = Replica()
    replica.is_idle = False
    replica.collection.ask()
    replica.run(LOOKS + 1)

    assert (replica.collected, replica.due) == ([], [])


def test_what_took_long_is_not_done_again_soon() -> None:
    replica = Replica()
    replica.collection.ask()
    replica.run()
    ended = replica.now
    replica.collection.ask()
    replica.run()

    first, second = replica.collected
    assert second - ended == pytest.approx(TAKES_S / SHARE)
    assert first < ended


def test_nothing_comes_after_the_end() -> None:
    replica = Replica()
    replica.collection.ask()
    replica.collection.close()

    assert replica.due == []
