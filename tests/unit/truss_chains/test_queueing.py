"""S-08 to S-10: slots in order of arrival, and what is said about the queue."""

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from truss_chains.queueing import REPORT_EVERY_S, WINDOW_CALLS, Limiter, QueueStatistics


async def test_s08_waiters_get_slots_in_order() -> None:
    limiter = Limiter("Dep", 1)
    await limiter.acquire()
    order: list[int] = []

    async def wait(n: int) -> None:
        await limiter.acquire()
        order.append(n)
        limiter.release()

    tasks = [asyncio.create_task(wait(n)) for n in range(5)]
    await asyncio.sleep(0)
    assert (limiter.ongoing, limiter.waiting) == (1, 5)
    assert not limiter.try_acquire()
    limiter.release()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]
    assert (limiter.ongoing, limiter.waiting, limiter.requests_total) == (0, 0, 6)


async def test_s09_cancelled_waiters_are_subtracted() -> None:
    limiter = Limiter("Dep", 1)
    await limiter.acquire()
    tasks = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.sleep(0)
    assert limiter.waiting == 2
    limiter.release()
    await tasks[0]
    limiter.release()
    await tasks[2]
    limiter.release()
    assert (limiter.ongoing, limiter.waiting) == (0, 0)


async def test_a_slot_that_meets_a_cancelled_waiter_goes_on() -> None:
    limiter = Limiter("Dep", 1)
    await limiter.acquire()
    first, second = (asyncio.create_task(limiter.acquire()) for _ in range(2))
    await asyncio.sleep(0)
    limiter.release()  # grants the first ...
    first.cancel()  # ... which is cancelled before it runs
    await second
    assert first.cancelled()
    assert (limiter.ongoing, limiter.waiting) == (1, 0)


def test_a_waiter_of_a_closed_loop_is_passed_over() -> None:
    limiter = Limiter("Dep", 1)
    assert limiter.try_acquire()
    loop = asyncio.new_event_loop()
    task = loop.create_task(limiter.acquire())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    limiter.release()
    assert limiter.try_acquire()
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is meant to be left behind


def test_threads_and_coroutines_share_the_slots() -> None:
    limiter = Limiter("Dep", 3)
    lock, running, peak = threading.Lock(), 0, 0

    def enter(change: int) -> None:
        nonlocal running, peak
        with lock:
            running += change
            peak = max(peak, running)

    def blocking() -> None:
        for _ in range(50):
            assert limiter.acquire_sync(30)
            enter(1)
            enter(-1)
            limiter.release()

    async def awaiting() -> None:
        for _ in range(50):
            await limiter.acquire()
            enter(1)
            await asyncio.sleep(0)
            enter(-1)
            limiter.release()

    async def tasks() -> None:
        await asyncio.gather(*(awaiting() for _ in range(5)))

    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(blocking) for _ in range(4)]
        futures += [pool.submit(asyncio.run, tasks()) for _ in range(2)]
        for future in futures:
            future.result(30)
    assert peak <= 3
    assert (limiter.ongoing, limiter.waiting) == (0, 0)


def test_a_thread_waits_at_most_so_long() -> None:
    limiter = Limiter("Dep", 1)
    assert limiter.acquire_sync()
    assert not limiter.acquire_sync(0.001)
    assert not limiter.acquire_sync(-1)
    assert limiter.waiting == 0
    limiter.release()
    assert limiter.acquire_sync(0)


def test_s10_percentiles() -> None:
    assert QueueStatistics.of([]) == QueueStatistics(0, 0, 0.0, 0.0)
    assert QueueStatistics.of([0.0, 0.002, 0.004]) == QueueStatistics(3, 2, 0.002, 0.004)
    assert QueueStatistics.of([n / 10 for n in range(20)]) == QueueStatistics(20, 19, 0.95, 1.7)


@pytest.mark.parametrize(("wait_s", "level"), [(0.0005, logging.DEBUG), (0.25, logging.WARNING)])
async def test_s10_the_queue_is_reported_when_it_is_time(
    wait_s: float, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    now = 0.0
    limiter = Limiter("Dep", 1, clock=lambda: now)
    await limiter.acquire()
    for _ in range(3):
        waiter = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(0)
        now += wait_s
        limiter.release()
        await waiter
    assert not caplog.records
    now += REPORT_EVERY_S
    limiter.release()
    await limiter.acquire()
    (record,) = caplog.records
    assert record.levelno == level
    for fact in (
        "`Dep`",
        "1 in flight",
        "0 waiting",
        "of the last 5 calls",
        "limit is 1",
        "concurrency_limit",
    ):
        assert fact in record.getMessage()
    limiter.release()
    await limiter.acquire()
    assert len(caplog.records) == 1


def test_s10_only_the_last_calls_count() -> None:
    limiter = Limiter("Dep", 1)
    for _ in range(WINDOW_CALLS + 5):
        limiter.try_acquire()
        limiter.release()
    assert limiter.statistics().calls == WINDOW_CALLS
