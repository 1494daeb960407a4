"""A model and the glue around it, as two Chainlets that scale and change apart.

`Poet` stands for a language model: slow to load, quick to answer. `PoemGenerator` is glue:
edit it under `chains watch` and the loaded model beside it is never touched.
"""

import asyncio
import random

import pydantic
import truss_chains as chains

RHYMES = {
    "night": ("light", "sight", "flight"),
    "sea": ("free", "glee", "tree"),
    "rain": ("train", "plain", "again"),
}


class Poem(pydantic.BaseModel):
    """One poem and the word it is about."""

    word: str
    lines: list[str]


class Poet(chains.ChainletBase):
    """The model. Put weights, requirements and a GPU here."""

    remote_config = chains.RemoteConfig(compute=chains.Compute(cpu_count=1, memory="1Gi"))

    def __init__(self) -> None:
        # What takes long belongs here: it runs once a replica, before the first call.
        self._rhymes = dict(RHYMES)

    async def run_remote(self, word: str, seed: int = 0) -> str:
        choice = random.Random(f"{word}{seed}")
        end, rhymes = choice.choice(sorted(self._rhymes.items()))
        return f"O {word}, you came to me by {end}\nand what I saw in you was {choice.choice(rhymes)}"


@chains.mark_entrypoint("poems")
class PoemGenerator(chains.ChainletBase):
    """Asks for all poems at the same time."""

    def __init__(self, poet: Poet = chains.depends(Poet, retries=2)) -> None:
        self._poet = poet

    async def run_remote(self, words: list[str]) -> list[Poem]:
        texts = await asyncio.gather(*(self._poet.run_remote(word) for word in words))
        return [Poem(word=w, lines=text.splitlines()) for w, text in zip(words, texts, strict=True)]


if __name__ == "__main__":
    with chains.run_local():
        for poem in asyncio.run(PoemGenerator().run_remote(["bird", "plane"])):
            print("\n".join(poem.lines), end="\n\n")
