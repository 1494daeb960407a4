"""How a dependency is called: attempts, timeouts, deadline, queue. Knows no transport.

A transport gives `attempt(timeout_s)`, which makes one exchange and returns what was answered,
whatever its status. It raises `ConnectionError` (or another `OSError`) if no answer came, and may
raise `TimeoutError`. What an error answer means is `remote_errors`' matter, after the last attempt:
so a `TimeoutError` of the callee's own code is never taken for a timeout of this call (S-07).
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from chains_protocol import rpc
from truss_chains.queueing import Limiter

_LOG: Final = logging.getLogger(__name__)

BACKOFF_BASE_S: Final = 0.05
BACKOFF_CAP_S: Final = 5.0
BUDGET_RESERVE: Final = 100.0
BUDGET_PER_CALL: Final = 0.2
BUDGET_PER_S: Final = 10.0


# --- the request that is being served ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What a request passes on to the calls it causes (R-22).

    `forwarded` holds the non-empty headers to send on unchanged; `deadline` is the time on the
    monotonic clock at which its caller stops waiting, `revision` what the gateway stamped.
    """

    forwarded: Mapping[str, str] = field(default_factory=dict)
    revision: str = ""
    deadline: float | None = None

    @property
    def traceparent(self) -> str:
        return self.forwarded.get(rpc.TRACEPARENT, "")

    @classmethod
    def from_headers(cls, headers: Mapping[str, str], now: float) -> "RequestContext":
        """Read the headers of a request that arrived at `now`; their names are in lower case."""
        forwarded = {name: value for name in rpc.FORWARDED if (value := headers.get(name, ""))}
        return cls(forwarded, headers.get(rpc.REVISION, ""), _deadline(headers.get(rpc.DEADLINE, ""), now))

    def headers(self, timeout_s: float) -> dict[str, str]:
        """The headers of one attempt that is waited for `timeout_s`."""
        headers = dict(self.forwarded)
        if self.revision:
            headers[rpc.REVISION] = self.revision
        headers[rpc.DEADLINE] = f"{timeout_s:.3f}"
        return headers


def _deadline(text: str, now: float) -> float | None:
    try:
        remaining_s = float(text)
    except ValueError:
        return None
    return now + remaining_s if remaining_s < float("inf") else None


NO_REQUEST: Final = RequestContext()
CURRENT_REQUEST: Final[ContextVar[RequestContext]] = ContextVar("chains_request", default=NO_REQUEST)
"""Set by the replica for the time of a call; asyncio tasks and its thread pool inherit it."""


@contextmanager
def serving(request: RequestContext) -> Iterator[None]:
    """Within the block, calls belong to `request`."""
    token = CURRENT_REQUEST.set(request)
    try:
        yield
    finally:
        CURRENT_REQUEST.reset(token)


# --- policy --------------------------------------------------------------------------------------------


class CallOptions(Protocol):
    """The options of `depends(...)`, in the SDK's or the protocol's class."""

    @property
    def retries(self) -> int: ...
    @property
    def timeout_sec(self) -> float: ...
    @property
    def use_binary(self) -> bool: ...
    @property
    def concurrency_limit(self) -> int: ...


class Replied(Protocol):
    """What a transport returns; `retry_after_s` is what the callee asked for, if it did."""

    @property
    def status(self) -> int: ...
    @property
    def retry_after_s(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer in memory."""

    status: int
    body: bytes = b""
    retry_after_s: float | None = None


ReplyT = TypeVar("ReplyT", bound=Replied)


def is_retryable(status: int) -> bool:
    """Whether another attempt may help: too many requests, or a fault on the callee's side."""
    return status == 429 or status >= 500


class RetryBudget:
    """Bounds retries to a share of the calls, so that they never multiply an overload.

    A reserve of `BUDGET_RESERVE` retries is refilled by `BUDGET_PER_CALL` a call and
    `BUDGET_PER_S` a second.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tokens = BUDGET_RESERVE
        self._refilled_at = clock()

    def note_call(self) -> None:
        """A call begins."""
        self._tokens = min(BUDGET_RESERVE, self._tokens + BUDGET_PER_CALL)

    def try_spend(self) -> bool:
        """Take one retry, if there is one."""
        now = self._clock()
        self._tokens = min(BUDGET_RESERVE, self._tokens + (now - self._refilled_at) * BUDGET_PER_S)
        self._refilled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class CallPolicy:
    """Calls one dependency within its options; shared by all calls of one stub (S-14)."""

    def __init__(
        self,
        service_name: str,
        options: CallOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        sleep_sync: Callable[[float], None] = time.sleep,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self.service_name = service_name
        self.options = options
        self.limiter = Limiter(service_name, options.concurrency_limit, clock=clock)
        self.clock = clock
        self._sleep = sleep
        self._sleep_sync = sleep_sync
        self._rng = rng
        self._budget = RetryBudget(clock)

    async def call(self, attempt: Callable[[float], Awaitable[ReplyT]]) -> ReplyT:
        """The last reply, of any status.

        Raises:
            TimeoutError: the last attempt, or the request this call belongs to, ran out of time (S-06).
            OSError: no answer came at the last attempt.
        """
        attempts = self._begin()
        while True:
            if not self.limiter.try_acquire():
                await self._wait_for_slot(attempts)
            try:
                outcome = await self._attempt(attempt, attempts)
            finally:
                self.limiter.release()
            pause_s = attempts.pause_after(outcome)
            if pause_s is None:
                return _reply_or_raise(outcome)
            await self._sleep(pause_s)

    def call_sync(self, attempt: Callable[[float], ReplyT]) -> ReplyT:
        """As `call`, blocking; `attempt` keeps to its timeout itself."""
        attempts = self._begin()
        while True:
            if not self.limiter.acquire_sync(attempts.remaining_s()):
                raise attempts.timed_out()
            try:
                outcome = self._attempt_sync(attempt, attempts)
            finally:
                self.limiter.release()
            pause_s = attempts.pause_after(outcome)
            if pause_s is None:
                return _reply_or_raise(outcome)
            self._sleep_sync(pause_s)

    def timeout_error(self, limit_s: float) -> TimeoutError:
        """The error for an attempt that took longer than `limit_s` (S-06); also logged."""
        message = f"the call of `{self.service_name}` took longer than its limit of {limit_s:g} s"
        _LOG.warning("%s.", message[0].upper() + message[1:])
        return TimeoutError(message)

    def _begin(self) -> "_Attempts":
        self._budget.note_call()
        return _Attempts(self, self._budget, self._rng, CURRENT_REQUEST.get().deadline)

    async def _wait_for_slot(self, attempts: "_Attempts") -> None:
        try:
            async with asyncio.timeout(attempts.remaining_s()):
                await self.limiter.acquire()
        except TimeoutError:
            raise attempts.timed_out() from None

    async def _attempt(
        self, attempt: Callable[[float], Awaitable[ReplyT]], attempts: "_Attempts"
    ) -> ReplyT | OSError:
        limit_s = attempts.limit_s()
        try:
            async with asyncio.timeout(limit_s):
                return await attempt(limit_s)
        except TimeoutError:
            return self.timeout_error(limit_s)
        except OSError as error:
            return error

    def _attempt_sync(self, attempt: Callable[[float], ReplyT], attempts: "_Attempts") -> ReplyT | OSError:
        limit_s = attempts.limit_s()
        try:
            return attempt(limit_s)
        except TimeoutError:
            return self.timeout_error(limit_s)
        except OSError as error:
            return error


def _reply_or_raise(outcome: ReplyT | OSError) -> ReplyT:
    if isinstance(outcome, OSError):
        raise outcome
    return outcome


class _Attempts:
    """The decisions during one call; no I/O."""

    def __init__(
        self,
        policy: CallPolicy,
        budget: RetryBudget,
        rng: Callable[[], float],
        deadline: float | None,
    ) -> None:
        self._policy = policy
        self._budget = budget
        self._rng = rng
        self._deadline = deadline
        self._made = 0

    def remaining_s(self) -> float | None:
        """Until the deadline; None if there is none."""
        return None if self._deadline is None else self._deadline - self._policy.clock()

    def limit_s(self) -> float:
        """What the next attempt may take."""
        self._made += 1
        limit_s = self._policy.options.timeout_sec
        remaining_s = self.remaining_s()
        if remaining_s is None:
            return limit_s
        if remaining_s <= 0:
            raise self.timed_out()
        return min(limit_s, remaining_s)

    def timed_out(self) -> TimeoutError:
        """The error when the deadline passes before an attempt could begin."""
        return TimeoutError(
            f"`{self._policy.service_name}` was not called: "
            "the request that needs it has no time left (its caller's limit has passed)"
        )

    def pause_after(self, outcome: Replied | OSError) -> float | None:
        """Seconds to wait before the next attempt; None: this outcome is the last."""
        if not isinstance(outcome, OSError) and not is_retryable(outcome.status):
            return None
        if self._made >= self._policy.options.retries:
            return None
        asked_s = None if isinstance(outcome, OSError) else outcome.retry_after_s
        pause_s = max(self._backoff_s(), min(asked_s or 0.0, BACKOFF_CAP_S))
        remaining_s = self.remaining_s()
        if (remaining_s is not None and pause_s >= remaining_s) or not self._budget.try_spend():
            return None
        _LOG.info(
            "Attempt %d of %d to call `%s` failed (%s); the next follows in %.2f s.",
            self._made,
            self._policy.options.retries,
            self._policy.service_name,
            outcome if isinstance(outcome, OSError) else f"HTTP {outcome.status}",
            pause_s,
        )
        return pause_s

    def _backoff_s(self) -> float:
        """Exponential, with full jitter."""
        return float(self._rng()) * min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** (self._made - 1))


__all__ = [
    "BACKOFF_BASE_S",
    "BACKOFF_CAP_S",
    "BUDGET_RESERVE",
    "CURRENT_REQUEST",
    "NO_REQUEST",
    "Answer",
    "CallOptions",
    "CallPolicy",
    "Replied",
    "RequestContext",
    "RetryBudget",
    "is_retryable",
    "serving",
]
