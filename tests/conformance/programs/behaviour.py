"""How calls behave: sync and async, attempts, time limits, calls at once, health, state, context."""

import asyncio
import contextvars
import threading
import time
import uuid
from typing import Any

from pydantic import BaseModel

import truss_chains as chains

MARK: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="none")


class Told(BaseModel):
    value: str = ""
    raised: str = ""


class Upper(chains.ChainletBase):
    def run_remote(self, text: str) -> str:
        return f"{text.upper()} {threading.current_thread() is threading.main_thread()}"


class SyncCaller(chains.ChainletBase):
    """Blocking code that calls blocking code."""

    def __init__(self, upper: Upper = chains.depends(Upper)) -> None:
        self._upper = upper

    def run_remote(self, text: str, times: int = 1) -> list[str]:
        return [self._upper.run_remote(text) for _ in range(times)]


class Flaky(chains.ChainletBase):
    """Fails `failures` times in a row for each key, with what `kind` says, and counts its calls."""

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}

    async def run_remote(self, key: str, failures: int, kind: str = "error") -> int:
        self._calls[key] = self._calls.get(key, 0) + 1
        if self._calls[key] <= failures:
            if kind == "http":
                from starlette.exceptions import HTTPException

                raise HTTPException(409, "no")
            raise RuntimeError(f"call {self._calls[key]}")
        return self._calls[key]


class FlakyOnce(Flaky):
    """Called with one attempt."""


class SyncFlaky(chains.ChainletBase):
    def __init__(self) -> None:
        self._calls: dict[str, int] = {}

    def run_remote(self, key: str, failures: int) -> int:
        self._calls[key] = self._calls.get(key, 0) + 1
        if self._calls[key] <= failures:
            raise RuntimeError("not yet")
        return self._calls[key]


class Sleeper(chains.ChainletBase):
    def __init__(self) -> None:
        self._now = 0
        self._most = 0
        self._cancelled = 0

    async def run_remote(self, seconds: float, ask: str = "") -> str:
        if ask:
            return str({"most": self._most, "cancelled": self._cancelled}[ask])
        self._now += 1
        self._most = max(self._most, self._now)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self._cancelled += 1
            raise
        finally:
            self._now -= 1
        return "slept"


class ShortSleeper(Sleeper):
    """Called with a short limit."""


class SyncSleeper(chains.ChainletBase):
    def run_remote(self, seconds: float) -> str:
        time.sleep(seconds)
        return "slept"


class WideSleeper(Sleeper):
    """Serves many calls at once, called with a limit of 2."""

    remote_config = chains.RemoteConfig(compute=chains.Compute(predict_concurrency=8))


class Patient(chains.ChainletBase):
    """Its own limit is long, its caller's is short."""

    def __init__(self, sleeper: Sleeper = chains.depends(Sleeper, timeout_sec=60)) -> None:
        self._sleeper = sleeper

    async def run_remote(self, seconds: float) -> str:
        return await self._sleeper.run_remote(seconds)


class Moody(chains.ChainletBase):
    """Has an opinion on its health."""

    def __init__(self) -> None:
        self._mood = "good"

    async def run_remote(self, mood: str) -> str:
        self._mood = mood
        return mood

    def is_healthy(self) -> bool:
        if self._mood == "raises":
            raise RuntimeError("do not ask")
        return self._mood == "good"


class Counter(chains.ChainletBase):
    """Keeps state, and changes what it gets."""

    def __init__(self, context: chains.DeploymentContext = chains.depends_context()) -> None:
        self._count = 0
        self._context = context

    async def run_remote(self, items: list[int], ask: str = "") -> str:
        self._count += 1
        items.append(99)
        if ask == "secret":
            return self._context.secrets["own-secret"]
        if ask == "other secret":
            return self._context.secrets["not-there"]
        if ask == "environment":
            return repr(self._context.environment)
        if ask == "mark":
            return MARK.get()
        return str(self._count)

    remote_config = chains.RemoteConfig(assets=chains.Assets(secret_keys=["own-secret"]))


@chains.mark_entrypoint("conformance-behaviour")
class Behaviour(chains.ChainletBase):
    def __init__(
        self,
        upper: Upper = chains.depends(Upper),
        caller: SyncCaller = chains.depends(SyncCaller),
        flaky: Flaky = chains.depends(Flaky, retries=3),
        once: FlakyOnce = chains.depends(FlakyOnce),
        sync_flaky: SyncFlaky = chains.depends(SyncFlaky, retries=2),
        short: ShortSleeper = chains.depends(ShortSleeper, timeout_sec=0.3),
        sync_sleeper: SyncSleeper = chains.depends(SyncSleeper, timeout_sec=0.3),
        wide: WideSleeper = chains.depends(WideSleeper, concurrency_limit=2),
        sleeper: Sleeper = chains.depends(Sleeper),
        patient: Patient = chains.depends(Patient, timeout_sec=0.5),
        moody: Moody = chains.depends(Moody),
        counter: Counter = chains.depends(Counter),
    ) -> None:
        self._upper = upper
        self._caller = caller
        self._flaky = flaky
        self._once = once
        self._sync_flaky = sync_flaky
        self._short = short
        self._sync_sleeper = sync_sleeper
        self._wide = wide
        self._sleeper = sleeper
        self._patient = patient
        self._moody = moody
        self._counter = counter

    async def run_remote(self, case: str) -> Told:
        try:
            value: Any = await getattr(self, "_" + case.replace(" ", "_"))()
            return Told(value=str(value))
        except Exception as error:
            return Told(raised=type(error).__name__)

    async def _sync_from_async(self) -> str:
        return self._upper.run_remote("abc").split()[0]

    async def _sync_in_a_thread(self) -> str:
        return (await asyncio.to_thread(self._upper.run_remote, "abc")).split()[0]

    async def _sync_runs_in_a_thread(self) -> str:
        return self._upper.run_remote("abc").split()[1]

    async def _sync_calls_sync(self) -> list[str]:
        return [told.split()[0] for told in self._caller.run_remote("abc", times=3)]

    async def _flaky_twice(self) -> str:
        return await self._counted_calls(self._flaky, failures=2)

    async def _flaky_too_often(self) -> str:
        return await self._counted_calls(self._flaky, failures=3)

    async def _flaky_with_one_attempt(self) -> str:
        return await self._counted_calls(self._once, failures=1)

    async def _flaky_http(self) -> str:
        return await self._counted_calls(self._flaky, failures=1, kind="http")

    async def _counted_calls(self, flaky: Flaky, failures: int, kind: str = "error") -> str:
        """The outcome, and how many calls the callee has seen."""
        key = uuid.uuid4().hex
        try:
            outcome = f"call {await flaky.run_remote(key, failures, kind)}"
        except Exception as error:
            outcome = type(error).__name__
        return f"{outcome}, {await flaky.run_remote(key, 0) - 1} made"

    async def _sync_flaky_case(self) -> int:
        return self._sync_flaky.run_remote(uuid.uuid4().hex, 1)

    async def _too_slow(self) -> str:
        return await self._short.run_remote(0.6)

    async def _too_slow_is_cancelled(self) -> str:
        try:
            await self._short.run_remote(0.6)
        except TimeoutError:
            return "timeout, " + await self._counted(self._short, "cancelled")
        return "no timeout"

    async def _counted(self, sleeper: Sleeper, what: str) -> str:
        ends_at = time.monotonic() + 10
        while time.monotonic() < ends_at:
            if await sleeper.run_remote(0, what) != "0":
                return what
            await asyncio.sleep(0.01)
        return f"not {what}"

    async def _sleep(self) -> str:
        return await self._sleeper.run_remote(30.0)

    async def _cancelled_sleeps(self) -> str:
        return await self._sleeper.run_remote(0, "cancelled")

    async def _fast_enough(self) -> str:
        return await self._short.run_remote(0.0)

    async def _sync_too_slow(self) -> str:
        return self._sync_sleeper.run_remote(0.5)

    async def _limit_of_two(self) -> str:
        await asyncio.gather(*(self._wide.run_remote(0.05) for _ in range(6)))
        return await self._wide.run_remote(0, "most")

    async def _one_at_a_time(self) -> str:
        """`predict_concurrency` is 1, so a replica runs its calls one after the other."""
        await asyncio.gather(*(self._sleeper.run_remote(0.02) for _ in range(4)))
        return await self._sleeper.run_remote(0, "most")

    async def _limit_of_the_caller(self) -> str:
        """The deadline travels: the inner call ends with the outer one."""
        try:
            await self._patient.run_remote(1.0)
        except TimeoutError:
            return "timeout, " + await self._counted(self._sleeper, "cancelled")
        return "no timeout"

    async def _cancelled_by_the_caller(self) -> str:
        task = asyncio.ensure_future(self._sleeper.run_remote(30.0))
        await asyncio.sleep(0.2)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return await self._counted(self._sleeper, "cancelled")
        return "not cancelled"

    async def _good(self) -> str:
        return await self._moody.run_remote("good")

    async def _bad(self) -> str:
        return await self._moody.run_remote("bad")

    async def _raises(self) -> str:
        return await self._moody.run_remote("raises")

    async def _state_is_kept(self) -> int:
        first = int(await self._counter.run_remote([]))
        return int(await self._counter.run_remote([])) - first

    async def _argument_is_changed(self) -> list[int]:
        items = [1]
        await self._counter.run_remote(items)
        return items

    async def _secret(self) -> str:
        return await self._counter.run_remote([], ask="secret")

    async def _other_secret(self) -> str:
        return await self._counter.run_remote([], ask="other secret")

    async def _environment(self) -> str:
        return await self._counter.run_remote([], ask="environment")

    async def _context_variable(self) -> str:
        MARK.set("set by the caller")
        return await self._counter.run_remote([], ask="mark")

    async def _other_attribute(self) -> str:
        return str(self._counter._count >= 0)
