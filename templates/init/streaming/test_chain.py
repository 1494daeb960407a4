"""Runs the chain in this process: `pytest`."""

import asyncio
from collections.abc import AsyncIterator

import truss_chains as chains
from chain import Stage


def test_words_pass_in_order() -> None:
    class TwoWords:
        async def run_remote(self, name: str) -> AsyncIterator[str]:
            yield f"{name} "
            yield "speaks"

    async def collect(stage: Stage) -> list[str]:
        return [word async for word in stage.run_remote("Ada")]

    with chains.run_local():
        words = asyncio.run(collect(Stage(storyteller=TwoWords())))
    assert words == ["Ada ", "speaks", "\n"]


def test_the_whole_story_arrives() -> None:
    async def collect(stage: Stage) -> str:
        return "".join([word async for word in stage.run_remote("Ada")])

    with chains.run_local():
        text = asyncio.run(collect(Stage()))
    assert text.startswith("Ada: Once upon a time")
    assert text.endswith("everything \n")
