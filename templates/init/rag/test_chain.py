"""Runs the chain in this process: `pytest`."""

import asyncio

import truss_chains as chains
from chain import Passage, Rag


def test_the_best_passage_answers() -> None:
    with chains.run_local():
        answer = asyncio.run(Rag().run_remote("Which class has a typed method?"))
    assert answer.text.startswith("A chainlet is a class")
    assert answer.sources[0].score > 0


def test_an_unknown_question_is_admitted() -> None:
    class EmptyRetriever:
        async def run_remote(self, question: str, top: int = 2) -> list[Passage]:
            return []

    with chains.run_local():
        answer = asyncio.run(Rag(retriever=EmptyRetriever()).run_remote("Why?"))
    assert answer.text == "I do not know: Why?"
