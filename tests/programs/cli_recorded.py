"""Calls of every form, to be recorded and replayed; `cost` counts what was really run."""

import sys
from collections.abc import AsyncIterator

import truss_chains as chains
from pydantic import BaseModel


class Answer(BaseModel):
    text: str
    score: float


class Model(chains.ChainletBase):
    def __init__(self) -> None:
        sys.stderr.write("the model is loaded\n")

    async def run_remote(self, prompt: str, key: str = "") -> Answer:
        if prompt == "bad":
            raise ValueError(f"refused with {key}")
        return Answer(text=prompt.upper(), score=float("inf") if prompt == "best" else 0.5)


class Chunks(chains.ChainletBase):
    async def run_remote(self, prompt: str) -> AsyncIterator[bytes]:
        for byte in prompt.encode():
            yield bytes([byte])


class Loose(chains.ChainletBase):
    async def run_remote(self) -> int:
        return "seven"


@chains.mark_entrypoint
class Recorded(chains.ChainletBase):
    def __init__(
        self,
        model: Model = chains.depends(Model),
        chunks: Chunks = chains.depends(Chunks),
        loose: Loose = chains.depends(Loose),
        context: chains.DeploymentContext = chains.depends_context(),
    ) -> None:
        self._model = model
        self._chunks = chunks
        self._loose = loose
        self._key = context.secrets.get("key", "none")

    async def run_remote(self, prompts: list[str]) -> list[str]:
        found = []
        for prompt in prompts:
            try:
                answer = await self._model.run_remote(prompt, key=self._key)
                found.append(f"{answer.text} {answer.score}")
            except ValueError:
                found.append("a ValueError")
        data = b"".join([chunk async for chunk in self._chunks.run_remote("ä")])
        return [*found, data.decode(), str(await self._loose.run_remote())]
