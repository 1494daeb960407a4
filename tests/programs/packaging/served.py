"""One Chainlet a way to answer; each is served alone, by two servers."""

from collections.abc import AsyncIterator

import pydantic

import truss_chains as chains
from truss_chains import pydantic_numpy


class Reading(pydantic.BaseModel):
    name: str
    samples: pydantic_numpy.NumpyArrayField


class Plain(chains.ChainletBase):
    async def run_remote(self, text: str, times: int = 2) -> tuple[str, int]:
        return text * times, times


class Blocking(chains.ChainletBase):
    def run_remote(self, text: str) -> dict[str, str]:
        return {"text": text}


class Streaming(chains.ChainletBase):
    async def run_remote(self, count: int) -> AsyncIterator[str]:
        for n in range(count):
            yield f"part {n};"


class Doubling(chains.ChainletBase):
    async def run_remote(self, reading: Reading) -> Reading:
        doubled = pydantic_numpy.NumpyArrayField(array=reading.samples.array * 2)
        return Reading(name=reading.name.upper(), samples=doubled)


class Failing(chains.ChainletBase):
    async def run_remote(self, text: str) -> str:
        raise ValueError(f"no {text}")


class Watched(chains.ChainletBase):
    def __init__(self) -> None:
        self.is_well = True

    def is_healthy(self) -> bool:
        return self.is_well

    async def run_remote(self, is_well: bool) -> str:
        self.is_well = is_well
        return "noted"


@chains.mark_entrypoint("served")
class All(chains.ChainletBase):
    def __init__(
        self,
        plain: Plain = chains.depends(Plain),
        blocking: Blocking = chains.depends(Blocking),
        streaming: Streaming = chains.depends(Streaming),
        doubling: Doubling = chains.depends(Doubling),
        failing: Failing = chains.depends(Failing),
        watched: Watched = chains.depends(Watched),
    ) -> None:
        self._plain = plain

    async def run_remote(self, text: str) -> tuple[str, int]:
        return await self._plain.run_remote(text)
