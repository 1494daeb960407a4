"""A stream through two Chainlets: words come as they are made, typed on the inner hop, text at the end."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator

import pydantic

import truss_chains as chains

SEED_TEXT = (
    "the chain carries the words and the words carry the chain and every step hands the next word on "
    "before the whole answer is made so the reader sees the first word while the last is still unknown"
)


class Token(pydantic.BaseModel):
    index: int
    text: str


class Babbler(chains.ChainletBase):
    """A first-order Markov chain over its seed text: the same seed babbles the same words."""

    def __init__(self) -> None:
        words = SEED_TEXT.split()
        self._next: dict[str, list[str]] = {}
        for word, following in itertools.pairwise(words):
            self._next.setdefault(word, []).append(following)

    async def run_remote(self, seed: int, count: int) -> AsyncIterator[Token]:
        rng = random.Random(seed)
        word = rng.choice(sorted(self._next))
        for index in range(count):
            yield Token(index=index, text=word)
            await asyncio.sleep(0)  # lets other requests of this replica run between two words
            word = rng.choice(self._next.get(word) or sorted(self._next))


@chains.mark_entrypoint("streaming")
class Tell(chains.ChainletBase):
    def __init__(self, babbler: Babbler = chains.depends(Babbler)) -> None:
        self._babbler = babbler

    async def run_remote(self, seed: int = 0, count: int = 12) -> AsyncIterator[str]:
        async for token in self._babbler.run_remote(seed, count):
            yield token.text if token.index == 0 else f" {token.text}"


async def _main() -> None:
    with chains.run_local():
        tell = Tell()
        async for text in tell.run_remote(seed=1):
            print(text, end="", flush=True)
        print()


if __name__ == "__main__":
    asyncio.run(_main())
