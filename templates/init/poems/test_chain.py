"""Runs the chain in this process, with and without the model: `pytest`."""

import asyncio

import truss_chains as chains
from chain import Poem, PoemGenerator


def test_one_poem_a_word() -> None:
    with chains.run_local():
        poems = asyncio.run(PoemGenerator().run_remote(["bird", "plane"]))
    assert [poem.word for poem in poems] == ["bird", "plane"]
    assert all(poem.word in poem.lines[0] for poem in poems)


def test_the_glue_without_the_model() -> None:
    class FakePoet:
        async def run_remote(self, word: str, seed: int = 0) -> str:
            return f"a poem about\n{word}"

    with chains.run_local():
        poems = asyncio.run(PoemGenerator(poet=FakePoet()).run_remote(["bird"]))
    assert poems == [Poem(word="bird", lines=["a poem about", "bird"])]
