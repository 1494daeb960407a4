"""Retrieval-augmented answering with a model that is fitted on the example's own texts."""

from typing import Any

import pydantic
from corpus import NOTES

import truss_chains as chains


class Passage(pydantic.BaseModel):
    text: str
    score: float


class Answer(pydantic.BaseModel):
    text: str
    sources: list[Passage]


class Retriever(chains.ChainletBase):
    """Latent semantic analysis: TF-IDF, reduced by an SVD, compared by cosine."""

    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(pip_requirements=["scikit-learn>=1.5"]),
        compute=chains.Compute(cpu_count=1, memory="1Gi", predict_concurrency=4),
    )

    def __init__(self) -> None:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import Normalizer

        words = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(3, 5))
        self._embed: Any = make_pipeline(words, TruncatedSVD(n_components=9, random_state=0), Normalizer())
        self._vectors = self._embed.fit_transform(NOTES)

    async def run_remote(self, question: str, limit: int = 3) -> list[Passage]:
        scores = (self._embed.transform([question]) @ self._vectors.T)[0]
        best = scores.argsort()[::-1][:limit]
        return [Passage(text=NOTES[i], score=round(float(scores[i]), 3)) for i in best]


class Writer(chains.ChainletBase):
    """Writes the answer from the passages. In a real pipeline, a language model."""

    async def run_remote(self, question: str, passages: list[Passage]) -> str:
        if not passages or passages[0].score < 0.2:
            return f"The notes don't say: {question}"
        return passages[0].text


@chains.mark_entrypoint("rag")
class Ask(chains.ChainletBase):
    def __init__(
        self, retriever: Retriever = chains.depends(Retriever), writer: Writer = chains.depends(Writer)
    ) -> None:
        self._retriever = retriever
        self._writer = writer

    async def run_remote(self, question: str) -> Answer:
        passages = await self._retriever.run_remote(question)
        return Answer(text=await self._writer.run_remote(question, passages), sources=passages)
