"""A stream through two Chainlets: words reach the client while the rest is still being made."""

import asyncio
from collections.abc import AsyncIterator

import truss_chains as chains

STORY = "Once upon a time a chainlet met another chainlet and they told each other everything"


class Storyteller(chains.ChainletBase):
    """Tells a story word by word; the place for a language model."""

    async def run_remote(self, name: str, pause_s: float = 0.02) -> AsyncIterator[str]:
        yield f"{name}: "
        for word in STORY.split():
            await asyncio.sleep(pause_s)
            yield word + " "


@chains.mark_entrypoint("streaming")
class Stage(chains.ChainletBase):
    """Passes the words on as they come."""

    def __init__(self, storyteller: Storyteller = chains.depends(Storyteller)) -> None:
        self._storyteller = storyteller

    async def run_remote(self, name: str) -> AsyncIterator[str]:
        async for word in self._storyteller.run_remote(name):
            yield word
        yield "\n"


async def main() -> None:
    async for word in Stage().run_remote("Ada"):
        print(word, end="", flush=True)


if __name__ == "__main__":
    with chains.run_local():
        asyncio.run(main())
