"""A chain whose entrypoint streams text of a dependency to the outside."""

from collections.abc import AsyncIterator

import truss_chains as chains

TEXT = "grüße 世界 🚀"


class OwnStreamError(Exception):
    pass


class Letters(chains.ChainletBase):
    async def run_remote(self, how: str) -> AsyncIterator[str]:
        if how == "fails at once":
            raise OwnStreamError("before the first item")
        if how != "empty":
            for letter in TEXT:
                yield letter
        if how == "breaks":
            raise OwnStreamError("in the middle")


@chains.mark_entrypoint("conformance-stream-entry")
class Outside(chains.ChainletBase):
    def __init__(self, letters: Letters = chains.depends(Letters)) -> None:
        self._letters = letters

    async def run_remote(self, how: str = "whole") -> AsyncIterator[str]:
        async for letter in self._letters.run_remote(how):
            yield letter
