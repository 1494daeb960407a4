"""Question answering over documents: embed, retrieve, answer.

Each step is a Chainlet of its own, so that each gets the hardware and the number of replicas
it needs. The embedding and the answer are made of plain Python here; put your models there.
"""

import collections
import math
import re

import pydantic
import truss_chains as chains

DOCUMENTS = (
    "A chainlet is a class with one typed method, run_remote, that others call.",
    "A chain is a graph of chainlets; the entrypoint is the chainlet that clients call.",
    "The watch command keeps a development deployment current while its author edits.",
    "A deployment is an immutable snapshot of a chain; an environment points at one.",
)
STOP_WORDS = frozenset("a an and at for is it its of one that the to what which while with".split())


class Passage(pydantic.BaseModel):
    """A document and how well it fits, 0 to 1."""

    text: str
    score: float


class Answer(pydantic.BaseModel):
    """The answer and what it rests on."""

    text: str
    sources: list[Passage]


class Embedder(chains.ChainletBase):
    """Text to a sparse unit vector: word -> weight."""

    async def run_remote(self, texts: list[str]) -> list[dict[str, float]]:
        return [self._embed(text) for text in texts]

    def _embed(self, text: str) -> dict[str, float]:
        words = [w for w in re.findall(r"[a-z_]+", text.lower()) if w not in STOP_WORDS]
        counts = collections.Counter(words)
        length = math.sqrt(sum(n * n for n in counts.values())) or 1.0
        return {word: n / length for word, n in counts.items()}


class Retriever(chains.ChainletBase):
    """The documents that fit a question best."""

    def __init__(self, embedder: Embedder = chains.depends(Embedder)) -> None:
        self._embedder = embedder

    async def run_remote(self, question: str, top: int = 2) -> list[Passage]:
        query, *documents = await self._embedder.run_remote([question, *DOCUMENTS])
        scores = [sum(weight * d.get(word, 0.0) for word, weight in query.items()) for d in documents]
        best = sorted(zip(scores, DOCUMENTS, strict=True), reverse=True)[:top]
        return [Passage(text=text, score=round(score, 3)) for score, text in best if score > 0]


class Writer(chains.ChainletBase):
    """Turns passages into an answer; the place for a language model."""

    async def run_remote(self, question: str, passages: list[Passage]) -> str:
        return passages[0].text if passages else f"I do not know: {question}"


@chains.mark_entrypoint("rag")
class Rag(chains.ChainletBase):
    """Retrieve, then answer."""

    def __init__(
        self,
        retriever: Retriever = chains.depends(Retriever),
        writer: Writer = chains.depends(Writer),
    ) -> None:
        self._retriever = retriever
        self._writer = writer

    async def run_remote(self, question: str) -> Answer:
        passages = await self._retriever.run_remote(question)
        return Answer(text=await self._writer.run_remote(question, passages), sources=passages)


if __name__ == "__main__":
    import asyncio

    with chains.run_local():
        print(asyncio.run(Rag().run_remote("What is a chainlet?")))
