"""Calls between Chainlets told one by one; the pytest plugin on top."""

import asyncio
import importlib.metadata
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import truss_chains as chains
from truss_chains.endpoint_wire import wire_of
from truss_chains.recording import CallRecord, RecordingStub
from truss_chains.testing import CallLog, ChainFactory, chain, strict_chain

__all__ = ["chain", "strict_chain"]  # fixtures, also where the plugin is not installed


class ToldWords(chains.ChainletBase):
    kept = "attribute"

    async def run_remote(self, text: str, sep: str = " ") -> list[str]:
        if not text:
            raise ValueError("empty")
        return text.split(sep)


class ToldStream(chains.ChainletBase):
    async def run_remote(self, n: int) -> AsyncIterator[str]:
        for i in range(n):
            yield str(i)
        if n > 2:
            raise ValueError("too many")


with pytest.warns(DeprecationWarning):

    class ToldSync(chains.ChainletBase):
        def run_remote(self, n: int) -> int:
            return n + 1


class ToldEntry(chains.ChainletBase):
    def __init__(
        self,
        words: ToldWords = chains.depends(ToldWords),
        stream: ToldStream = chains.depends(ToldStream),
        sync: ToldSync = chains.depends(ToldSync),
    ) -> None:
        self.words = words
        self.stream = stream
        self.sync = sync

    async def run_remote(self, text: str) -> int:
        words = await self.words.run_remote(text)
        items = [item async for item in self.stream.run_remote(len(words))]
        return self.sync.run_remote(n=len(items))


class FakeWords:
    async def run_remote(self, text: str, sep: str = " ") -> list[str]:
        return ["fake"]


def facts(call: CallRecord) -> tuple[Any, ...]:
    return call.caller, call.callee, call.method, dict(call.inputs), call.output


EXPECTED = [
    ("ToldEntry", "ToldWords", "run_remote", {"text": "a b"}, ["a", "b"]),
    ("ToldEntry", "ToldStream", "run_remote", {"n": 2}, ["0", "1"]),
    ("ToldEntry", "ToldSync", "run_remote", {"n": 2}, 3),
]


async def test_calls_are_told_with_inputs_and_outputs(chain: ChainFactory) -> None:
    entry = chain(ToldEntry)
    assert await entry.run_remote("a b") == 3
    assert [facts(call) for call in chain.calls] == EXPECTED


async def test_strict_calls_are_told_too(strict_chain: ChainFactory) -> None:
    entry = strict_chain(ToldEntry)
    assert await entry.run_remote("a b") == 3
    assert [facts(call) for call in strict_chain.calls] == EXPECTED


async def test_errors_are_told(chain: ChainFactory) -> None:
    entry = chain(ToldEntry)
    with pytest.raises(ValueError, match="empty") as caught:
        await entry.run_remote("")
    assert chain.calls[0].error is caught.value
    with pytest.raises(ValueError, match="too many"):
        await entry.run_remote("a b c")
    last = chain.calls.of(ToldStream)[0]
    assert (last.output, str(last.error)) == (["0", "1", "2"], "too many")


async def test_a_stream_that_is_left_is_no_error(chain: ChainFactory) -> None:
    items = chain(ToldEntry).stream.run_remote(9)
    assert await anext(items) == "0"
    await items.aclose()  # type: ignore[attr-defined]  # it is a generator
    (call,) = chain.calls
    assert (call.output, call.error) == (["0"], None)


async def test_times_are_told() -> None:
    ticks = iter([5.0, 7.5])
    log = CallLog()
    stub: Any = RecordingStub(
        ToldWords(), wire_of(ToldWords), "Caller", log.record, clock=lambda: next(ticks), now=lambda: 100.0
    )
    await stub.run_remote("a")
    assert (log[0].started, log[0].duration_s) == (100.0, 2.5)
    assert stub.kept == "attribute"


async def test_mocks_and_stand_ins(chain: ChainFactory) -> None:
    assert await chain(ToldEntry, mocks={ToldStream: "auto"}, words=FakeWords()).run_remote("x") == 3
    assert chain.calls.of("ToldWords")[0].output == ["fake"]
    secret = chain(NeedsContext, secrets={"k": "v"}, data_dir="/data").context
    assert (secret.secrets["k"], secret.data_dir) == ("v", Path("/data"))


class NeedsContext(chains.ChainletBase):
    def __init__(self, context: chains.DeploymentContext = chains.depends_context()) -> None:
        self.context = context

    async def run_remote(self) -> None: ...


async def test_assertions(chain: ChainFactory) -> None:
    entry = chain(ToldEntry)
    await entry.run_remote("a b")
    await entry.run_remote("a")
    calls = chain.calls
    calls.assert_called(ToldWords)
    calls.assert_called(ToldWords, times=2, caller=ToldEntry)
    calls.assert_called("ToldWords", text="a", times=1)
    calls.assert_not_called(ToldWords, text="z")
    calls.assert_not_called(ToldWords, caller="Somebody")
    calls.assert_not_called(ToldEntry)
    calls.assert_order(*[ToldWords, ToldStream, ToldSync] * 2)
    with pytest.raises(AssertionError) as caught:
        calls.assert_called(ToldWords, times=1, caller=ToldEntry, text="z")
    assert str(caught.value).splitlines()[:2] == [
        "expected 1 call of `ToldWords` by `ToldEntry` with text='z', found 0",
        "  ToldEntry -> ToldWords.run_remote(text='a b') -> ['a', 'b']",
    ]
    with pytest.raises(AssertionError, match="at least one call of `Nobody`, found 0"):
        calls.assert_called("Nobody")
    with pytest.raises(AssertionError, match="expected calls of"):
        calls.assert_order(ToldWords)
    with pytest.raises(AssertionError, match="no calls were made"):
        CallLog().assert_called("Nobody")


def test_calls_with_wrong_arguments_are_told(chain: ChainFactory) -> None:
    entry = chain(ToldEntry)
    with pytest.raises(TypeError):
        asyncio.run(entry.words.run_remote("a", nonsense=1))  # type: ignore[call-arg]
    assert chain.calls[0].inputs == {"0": "a", "nonsense": 1}


def test_the_plugin_is_declared() -> None:
    root = Path(__file__).parents[3]
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    (point,) = [importlib.metadata.EntryPoint(n, v, "pytest11") for n, v in declared.items()]
    assert point.load().chain is chain
