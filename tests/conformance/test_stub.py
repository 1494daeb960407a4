"""`StubBase` as the client of deployed Chains, through the gateway (S-01 to S-07, S-11)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import httpx
import pytest
from pydantic import BaseModel, ValidationError

import truss_chains as chains
from tests.conformance.runners import Pushed, load_program
from truss_chains.config import RPCOptions
from truss_chains.stub import StubBase, decode_text

PROGRAMS = ("values", "errors", "stream_entry", "behaviour")
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
TEXT = "grüße 世界 🚀"
ERRORS = load_program("errors")

StubT = TypeVar("StubT", bound=StubBase)
GetPushed = Callable[[str], Pushed]


class Outcome(BaseModel):
    seen: str
    got: str
    raised: str


class Values(StubBase):
    async def run_remote(self, case: str, encoding: str = "json") -> Outcome:
        return await self.predict_async({"case": case, "encoding": encoding}, Outcome)

    def run_blocking(self, case: str) -> Outcome:
        return self.predict_sync({"case": case}, Outcome)


class Asked(BaseModel):
    kind: str
    path: str


class Failing(StubBase):
    async def run_remote(self, kind: str, path: str = "outside") -> Any:
        return await self.predict_async(Asked(kind=kind, path=path))


class Letters(StubBase):
    async def run_remote(self, how: str) -> AsyncIterator[str]:
        async for text in decode_text(await self.predict_async_stream({"how": how})):
            yield text


def stub(cls: type[StubT], deployed: Pushed, **options: Any) -> StubT:
    return cls.from_url(deployed.url, deployed.token, RPCOptions(**options))


@pytest.mark.parametrize("use_binary", [False, True], ids=["json", "binary"])
async def test_async_calls_give_the_model(use_binary: bool, pushed: GetPushed) -> None:
    values = stub(Values, pushed("values"), use_binary=use_binary)
    assert await values.run_remote("value:whole") == Outcome(seen="int 7", got="int 7", raised="")
    await values.aclose()


@pytest.mark.parametrize("use_binary", [False, True], ids=["json", "binary"])
def test_blocking_calls_give_the_model(use_binary: bool, pushed: GetPushed) -> None:
    values = stub(Values, pushed("values"), use_binary=use_binary)
    assert values.run_blocking("value:text").got == "str 'grüße, 世界 🚀'"
    values.close()


async def test_a_context_holds_the_key(pushed: GetPushed) -> None:
    deployed = pushed("values")
    context: chains.DeploymentContext = chains.DeploymentContext(
        chainlet_to_service={}, secrets={"baseten_chain_api_key": deployed.token}
    )
    values = Values.from_url(deployed.url, context)
    assert (await values.run_remote("nothing:")).got == "NoneType None"
    await values.aclose()


async def test_many_tasks_share_a_stub(pushed: GetPushed) -> None:
    values = stub(Values, pushed("values"), concurrency_limit=4)
    outcomes = await asyncio.gather(*(values.run_remote("value:whole") for _ in range(20)))
    assert {outcome.got for outcome in outcomes} == {"int 7"}
    await values.aclose()


async def test_a_stream_is_read_as_text(pushed: GetPushed) -> None:
    letters = stub(Letters, pushed("stream_entry"))
    assert "".join([text async for text in letters.run_remote("whole")]) == TEXT
    assert [text async for text in letters.run_remote("empty")] == []
    await letters.aclose()


async def test_a_broken_stream_is_a_connection_error_behind_its_items(pushed: GetPushed) -> None:
    """R-27, S-11."""
    letters = stub(Letters, pushed("stream_entry"))
    got = []
    with pytest.raises(ConnectionError, match="Letters"):
        async for text in letters.run_remote("breaks"):
            got.append(text)  # noqa: PERF401 (what came before the error is kept)
    assert "".join(got) == TEXT
    await letters.aclose()


@pytest.mark.parametrize(
    ("kind", "raised"),
    [
        ("ValueError", ValueError),
        ("OwnError", ERRORS.OwnError),
        ("TimeoutError", TimeoutError),
        ("two arguments", chains.GenericRemoteException),
    ],
)
async def test_errors_are_rebuilt(kind: str, raised: type[Exception], pushed: GetPushed) -> None:
    """X-03 to X-06, with the way of the error over all four hops (X-11)."""
    failing = stub(Failing, pushed("errors"))
    with pytest.raises(raised) as caught:
        await failing.run_remote(kind)
    assert type(caught.value) is raised
    text = str(caught.value)
    assert [text.index(f"`{hop}` answered") for hop in ("Failing", "Top", "Middle", "Leaf")] == sorted(
        text.index(f"`{hop}` answered") for hop in ("Failing", "Top", "Middle", "Leaf")
    )
    await failing.aclose()


async def test_an_http_exception_keeps_its_status(pushed: GetPushed) -> None:
    from starlette.exceptions import HTTPException

    failing = stub(Failing, pushed("errors"))
    with pytest.raises(HTTPException) as caught:
        await failing.run_remote("HTTP 404")
    assert caught.value.status_code == 404
    await failing.aclose()


async def test_input_that_does_not_fit_is_generic(pushed: GetPushed) -> None:
    """X-08: the service answers 400 and a text."""
    values = stub(Values, pushed("values"))
    with pytest.raises(chains.GenericRemoteException, match="Input does not fit `Values`"):
        await values.predict_async({"case": 7})
    await values.aclose()


async def test_a_result_that_does_not_fit_the_model_is_a_validation_error(pushed: GetPushed) -> None:
    """S-03."""
    values = stub(Values, pushed("values"))
    with pytest.raises(ValidationError):
        await values.predict_async({"case": "nothing:"}, Asked)
    await values.aclose()


async def test_a_wrong_key_is_refused(pushed: GetPushed) -> None:
    values = Values.from_url(pushed("values").url, "wrong")
    with pytest.raises((chains.GenericRemoteException, ValueError), match="401"):
        await values.run_remote("value:whole")
    await values.aclose()


async def test_a_call_that_takes_too_long_is_a_timeout_and_ends_at_the_callee(pushed: GetPushed) -> None:
    """S-06; the deadline travels with the request, so the Chain stops working on it."""
    deployed = pushed("behaviour")
    slow = stub(StubBase, deployed, timeout_sec=0.5)
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match=r"StubBase.*0\.5 s"):
        await slow.predict_async({"case": "sleep"})
    assert time.monotonic() - begin < 10
    await slow.aclose()
    assert await _was_cancelled(deployed)


async def test_a_client_that_leaves_ends_its_call(pushed: GetPushed) -> None:
    """R-29 further on: nobody reads the answer, so the work on it is cancelled, over two hops."""
    deployed = pushed("behaviour")
    before = await _cancelled(deployed)
    async with httpx.AsyncClient(headers=deployed.headers, timeout=0.5) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(deployed.url, json={"case": "sleep"})
    assert await _was_cancelled(deployed, before)


async def test_a_deadline_of_the_client_ends_the_call(pushed: GetPushed) -> None:
    """`x-chains-deadline`: seconds that the client waits; the call below gets what is left of them.

    Either the call below times out first, which the Chain may catch, or the whole call ends with 504.
    """
    deployed = pushed("behaviour")
    answer = await _with_deadline(deployed, "0.5")
    assert answer.status_code == 504 or answer.json() == {"value": "", "raised": "TimeoutError"}


async def test_a_call_without_time_left_is_not_made(pushed: GetPushed) -> None:
    assert (await _with_deadline(pushed("behaviour"), "0")).status_code == 504


async def _with_deadline(deployed: Pushed, seconds: str) -> httpx.Response:
    headers = {**deployed.headers, "x-chains-deadline": seconds}
    async with httpx.AsyncClient(headers=headers, timeout=20) as client:
        return await client.post(deployed.url, json={"case": "sleep"})


async def _cancelled(deployed: Pushed) -> int:
    async with httpx.AsyncClient(headers=deployed.headers, timeout=30) as client:
        answer = await client.post(deployed.url, json={"case": "cancelled sleeps"})
    return int(answer.json()["value"])


async def _was_cancelled(deployed: Pushed, before: int = 0) -> bool:
    async with asyncio.timeout(10):
        while await _cancelled(deployed) <= before:
            pass
    return True
