"""The call policy: attempts, backoff, budget, deadline (S-05 to S-07, R-22). No clock but the test's."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from chains_protocol import rpc
from chains_protocol.spec import RPCOptions
from truss_chains.calling import (
    BACKOFF_BASE_S,
    BACKOFF_CAP_S,
    BUDGET_RESERVE,
    CURRENT_REQUEST,
    Answer,
    CallPolicy,
    RequestContext,
    RetryBudget,
    is_retryable,
    serving,
)


class World:
    """A clock that only moves by sleeping or by being moved; outcomes of attempts in order."""

    def __init__(self, *outcomes: Answer | Exception, took_s: float = 0.0) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self.limits: list[float] = []
        self.outcomes = list(outcomes)
        self.took_s = took_s

    def policy(self, rng: Callable[[], float] = lambda: 1.0, **options: Any) -> CallPolicy:
        return CallPolicy(
            "Dep",
            RPCOptions(**options),
            clock=lambda: self.now,
            sleep=self.sleep,
            sleep_sync=self.sleep_sync,
            rng=rng,
        )

    async def sleep(self, seconds: float) -> None:
        self.sleep_sync(seconds)

    def sleep_sync(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def attempt_sync(self, limit_s: float) -> Answer:
        self.limits.append(limit_s)
        self.now += self.took_s
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def attempt(self, limit_s: float) -> Answer:
        return self.attempt_sync(limit_s)


Run = Callable[[CallPolicy, World], Answer]


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    if request.param == "sync":
        return lambda policy, world: policy.call_sync(world.attempt_sync)
    return lambda policy, world: asyncio.run(policy.call(world.attempt))


def answers(*statuses: int) -> list[Answer]:
    return [Answer(status) for status in statuses]


def test_s05_retries_are_attempts_in_total(run: Run) -> None:
    for retries, expected in ((0, 1), (1, 1), (3, 3)):
        world = World(*answers(*[500] * 5))
        assert run(world.policy(retries=retries), world).status == 500
        assert len(world.limits) == expected


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 408, 409, 422, 499])
def test_s05_what_another_attempt_can_not_help(run: Run, status: int) -> None:
    world = World(*answers(status))
    assert run(world.policy(retries=5), world).status == status
    assert not is_retryable(status)


@pytest.mark.parametrize(
    "outcome", [Answer(429), Answer(500), Answer(503), ConnectionError("x"), TimeoutError(), OSError("y")]
)
def test_s05_what_another_attempt_may_help(run: Run, outcome: Answer | Exception) -> None:
    world = World(outcome, Answer(200))
    assert run(world.policy(retries=2), world).status == 200


def test_s05_the_last_failure_is_raised_unchanged(run: Run) -> None:
    last = ConnectionError("second")
    world = World(ConnectionError("first"), last)
    with pytest.raises(ConnectionError) as caught:
        run(world.policy(retries=2), world)
    assert caught.value is last


def test_other_exceptions_of_a_transport_pass_at_once(run: Run) -> None:
    world = World(ZeroDivisionError())
    policy = world.policy(retries=3)
    with pytest.raises(ZeroDivisionError):
        run(policy, world)
    assert policy.limiter.ongoing == 0


def test_s05_retries_are_logged_with_service_and_number(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World(Answer(503), Answer(200))
    run(world.policy(retries=2), world)
    assert "Attempt 1 of 2 to call `Dep` failed (HTTP 503)" in caplog.text


def test_backoff_is_exponential_with_full_jitter(run: Run) -> None:
    world = World(*answers(*[500] * 12))
    run(world.policy(retries=12), world)
    assert world.slept == [min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2**n) for n in range(11)]
    world = World(*answers(500, 500, 500))
    run(world.policy(retries=3, rng=lambda: 0.25), world)
    assert world.slept == [BACKOFF_BASE_S * 0.25, BACKOFF_BASE_S * 0.5]


def test_a_callee_may_ask_for_a_longer_pause(run: Run) -> None:
    world = World(Answer(503, retry_after_s=1.5), Answer(503, retry_after_s=3600), Answer(200))
    run(world.policy(retries=3), world)
    assert world.slept == [1.5, BACKOFF_CAP_S]


def test_s06_a_timeout_names_dependency_and_limit_and_has_no_cause(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(TimeoutError("of httpx"))
    with pytest.raises(TimeoutError, match=r"`Dep` took longer than its limit of 2\.5 s") as caught:
        run(world.policy(timeout_sec=2.5), world)
    assert caught.value.__cause__ is None
    assert "`Dep` took longer" in caplog.text


async def test_s06_an_async_attempt_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def hangs(limit_s: float) -> Answer:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return Answer(200)

    policy = CallPolicy("Dep", RPCOptions(timeout_sec=0.01))
    with pytest.raises(TimeoutError, match=r"0\.01 s"):
        await policy.call(hangs)
    assert cancelled.is_set()


def test_each_attempt_has_the_whole_limit_without_a_deadline(run: Run) -> None:
    world = World(*answers(500, 500), took_s=2.0)
    run(world.policy(retries=2, timeout_sec=3), world)
    assert world.limits == [3.0, 3.0]


def test_the_deadline_of_the_request_bounds_attempts(run: Run) -> None:
    world = World(*answers(500, 500, 500), took_s=2.0)
    with serving(RequestContext(deadline=world.now + 3)):
        assert run(world.policy(retries=3, timeout_sec=2.5), world).status == 500
    assert world.limits == pytest.approx([2.5, 3 - 2 - BACKOFF_BASE_S])


def test_no_pause_reaches_past_the_deadline(run: Run) -> None:
    world = World(Answer(500))
    with serving(RequestContext(deadline=world.now + BACKOFF_BASE_S / 2)):
        assert run(world.policy(retries=3), world).status == 500
    assert world.slept == []


def test_after_the_deadline_nothing_is_called(run: Run) -> None:
    world = World()
    policy = world.policy()
    with (
        serving(RequestContext(deadline=world.now - 1)),
        pytest.raises(TimeoutError, match="`Dep` was not called"),
    ):
        run(policy, world)
    assert policy.limiter.ongoing == 0


async def test_the_deadline_passes_in_the_queue() -> None:
    policy = CallPolicy("Dep", RPCOptions(concurrency_limit=1))
    await policy.limiter.acquire()
    with (
        serving(RequestContext(deadline=policy.clock() + 0.01)),
        pytest.raises(TimeoutError, match="`Dep` was not called"),
    ):
        await policy.call(World().attempt)
    assert (policy.limiter.waiting, policy.limiter.ongoing) == (0, 1)


def test_the_budget_bounds_retries_to_a_share_of_calls(run: Run) -> None:
    world = World(*answers(*[500] * 4000))
    policy = world.policy(retries=10, rng=lambda: 0.0)
    for _ in range(300):
        run(policy, world)
    retried = len(world.limits) - 300
    assert BUDGET_RESERVE <= retried <= BUDGET_RESERVE + 0.2 * 300 + 1


def test_the_budget_is_refilled_by_time() -> None:
    now = 0.0
    budget = RetryBudget(lambda: now)
    while budget.try_spend():
        pass
    now = 0.5
    assert [budget.try_spend() for _ in range(6)] == [True] * 5 + [False]


def test_s08_a_slot_is_held_by_attempts_only() -> None:
    world = World(Answer(500), Answer(200))
    held: list[int] = []

    async def sleep(seconds: float) -> None:
        held.append(policy.limiter.ongoing)

    policy = CallPolicy("Dep", RPCOptions(retries=2), clock=lambda: world.now, sleep=sleep)
    asyncio.run(policy.call(world.attempt))
    assert held == [0]
    assert policy.limiter.requests_total == 2


def test_r22_a_request_is_read_from_headers_and_passed_on() -> None:
    request = RequestContext.from_headers(
        {
            rpc.TRACEPARENT: "00-t-s-01",
            rpc.REQUEST_ID: "",
            rpc.CHAIN_REQUEST_ID: "c",
            rpc.REVISION: "d.2",
            rpc.DEADLINE: "1.5",
            "other": "x",
        },
        now=10.0,
    )
    assert request == RequestContext({rpc.TRACEPARENT: "00-t-s-01", rpc.CHAIN_REQUEST_ID: "c"}, "d.2", 11.5)
    assert request.traceparent == "00-t-s-01"
    assert request.headers(0.25) == {
        rpc.TRACEPARENT: "00-t-s-01",
        rpc.CHAIN_REQUEST_ID: "c",
        rpc.REVISION: "d.2",
        rpc.DEADLINE: "0.250",
    }


@pytest.mark.parametrize("text", ["", "soon", "inf", "nan"])
def test_an_unreadable_deadline_is_none(text: str) -> None:
    assert RequestContext.from_headers({rpc.DEADLINE: text}, now=0.0).deadline is None


async def test_r22_tasks_and_the_thread_pool_inherit_the_request() -> None:
    request = RequestContext({rpc.REQUEST_ID: "r"})
    with serving(request):
        task = asyncio.create_task(_current())
        pooled = await asyncio.to_thread(CURRENT_REQUEST.get)
    assert await task is request
    assert pooled is request
    assert CURRENT_REQUEST.get() is not request


async def _current() -> RequestContext:
    return CURRENT_REQUEST.get()
