"""Work that comes round goes on after a round that failed."""

import asyncio
import logging

import pytest

from chains_platform.rounds import Rounds


class Ticks:
    """Stands for `asyncio.sleep`: each wait ends when the test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._due = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self._due.acquire()

    def tick(self) -> None:
        self._due.release()


class Work:
    """Fails at its first round; `done` is set by its second."""

    def __init__(self) -> None:
        self.rounds = 0
        self.done = asyncio.Event()

    async def once(self) -> None:
        self.rounds += 1
        if self.rounds == 1:
            raise OSError("the disk is full")
        self.done.set()


async def test_a_round_that_fails_is_told_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    ticks, work = Ticks(), Work()
    rounds = Rounds(work.once, 5.0, sleep=ticks.sleep)
    rounds.start()

    with caplog.at_level(logging.ERROR):
        ticks.tick()
        ticks.tick()
        async with asyncio.timeout(5):
            await work.done.wait()

    assert [r.getMessage() for r in caplog.records] == ["a round of Work.once failed; the next one is in 5 s"]
    assert "the disk is full" in caplog.text
    await rounds.close()
    assert set(ticks.asked) == {5.0}


async def test_nothing_comes_after_the_close() -> None:
    ticks, work = Ticks(), Work()
    rounds = Rounds(work.once, 1.0, sleep=ticks.sleep)
    rounds.start()
    await rounds.close()
    ticks.tick()
    await asyncio.sleep(0)
    assert work.rounds == 0


async def test_closing_what_never_started_is_fine() -> None:
    work = Work()
    await Rounds(work.once, 1.0).close()
    assert work.rounds == 0
