"""Breaks several rules at once."""

import truss_chains as chains


class Splitter(chains.ChainletBase):
    async def run_remote(self, x, limit: int) -> int:
        return limit


@chains.mark_entrypoint
class Counter(chains.ChainletBase):
    def __init__(self, size: int = 3, splitter: Splitter = chains.depends(Splitter)) -> None:
        self._splitter = splitter

    async def run_remote(self, text: str):
        return len(text)
