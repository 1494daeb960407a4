"""The quick half: which of some texts is closest to a question.

Push it, watch it, and edit this file while it runs: the Embedder beside it is never loaded again.
"""

import pydantic
from embedder import Embedder
from scoring import best_first

import truss_chains as chains


class Match(pydantic.BaseModel):
    text: str
    score: float


@chains.mark_entrypoint("glue-and-model")
class Search(chains.ChainletBase):
    """Glue: embeds question and texts in one call and sorts by similarity."""

    def __init__(self, embedder: Embedder = chains.depends(Embedder, retries=2)) -> None:
        self._embedder = embedder
        self._calls = 0

    async def run_remote(self, question: str, texts: list[str], limit: int = 3) -> list[Match]:
        self._calls += 1
        vectors = await self._embedder.run_remote([question, *texts])
        ranked = best_first(vectors[0], vectors[1:])
        return [Match(text=texts[i], score=round(score, 3)) for i, score in ranked[:limit]]
