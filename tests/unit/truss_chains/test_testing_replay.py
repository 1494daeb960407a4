"""Recorded calls written, and played again."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

import truss_chains as chains
from truss_chains.entrypoint import registry
from truss_chains.errors import ChainsRuntimeError, ChainsUsageError
from truss_chains.replaying import replay_mocks, write_call


class ReplayQuery(BaseModel):
    text: str


class ReplayCounter(chains.ChainletBase):
    def __init__(self) -> None:
        self.n = 0

    async def run_remote(self, query: ReplayQuery, fail: bool = False) -> int:
        self.n += 1
        if fail:
            raise KeyError("gone")
        return self.n


class ReplayStream(chains.ChainletBase):
    async def run_remote(self, n: int) -> AsyncIterator[ReplayQuery]:
        for i in range(n):
            yield ReplayQuery(text=str(i))
        if n == 2:
            raise ValueError("two")


with pytest.warns(DeprecationWarning):

    class ReplaySync(chains.ChainletBase):
        def run_remote(self, n: int) -> list[str]:
            return [str(n)]


class ReplayEntry(chains.ChainletBase):
    def __init__(
        self,
        counter: ReplayCounter = chains.depends(ReplayCounter),
        stream: ReplayStream = chains.depends(ReplayStream),
        sync: ReplaySync = chains.depends(ReplaySync),
    ) -> None:
        self.counter = counter
        self.stream = stream
        self.sync = sync

    async def run_remote(self, n: int) -> list[Any]:
        query = ReplayQuery(text="q")
        counts: list[Any] = [await self.counter.run_remote(query) for _ in range(n)]
        counts += self.sync.run_remote(n)
        try:
            await self.counter.run_remote(query, fail=True)
        except KeyError as error:
            counts.append(str(error).rpartition("KeyError: ")[2])
        try:
            async for item in self.stream.run_remote(2):
                counts.append(item.text)
        except ValueError as error:
            counts.append(str(error).rpartition("ValueError: ")[2])
        return counts


def recorded() -> tuple[list[str], list[Any]]:
    lines: list[str] = []
    with chains.run_local(record=lambda call: lines.append(write_call(call, registry))):
        return lines, asyncio.run(ReplayEntry().run_remote(2))


def test_what_was_recorded_is_played_again() -> None:
    lines, result = recorded()
    assert result == [1, 2, "2", "'gone'", "0", "1", "two"]
    with chains.run_local(mocks=replay_mocks(lines, registry)):
        entry = ReplayEntry()
    assert asyncio.run(entry.run_remote(2)) == result
    assert asyncio.run(entry.run_remote(2))[:2] == [2, 2], "the last answer is repeated"


def test_a_line_says_what_crossed_the_wire() -> None:
    line = json.loads(recorded()[0][0])
    assert {key: line[key] for key in ("caller", "callee", "method", "inputs", "output")} == {
        "caller": "ReplayEntry",
        "callee": "ReplayCounter",
        "method": "run_remote",
        "inputs": {"query": {"text": "q"}},
        "output": 1,
    }


def test_a_call_that_was_not_recorded_says_which_were() -> None:
    lines, _ = recorded()
    mock: Any = replay_mocks(lines, registry)[ReplayCounter]
    with pytest.raises(ChainsRuntimeError, match=r'CH127[^$]*"other"[^$]*Recorded were[^$]*"q"'):
        asyncio.run(mock.run_remote(ReplayQuery(text="other")))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2 is no recorded call"),
        ("[]", "needs `callee`"),
        ('{"callee": "ReplaySync", "inputs": {}}', "an outcome"),
        ('{"callee": "ReplaySync", "inputs": {}, "error": {}}', "line 2"),
        ('{"callee": "Nobody", "inputs": {}, "output": 1}', "CH317.*`Nobody`"),
    ],
)
def test_what_is_no_recording_is_refused(line: str, reason: str) -> None:
    with pytest.raises(ChainsUsageError, match=reason):
        replay_mocks(["", line], registry)
