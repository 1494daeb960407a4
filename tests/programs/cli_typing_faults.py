"""A valid Chain for Chains, but not for a type checker; and one mistake that both would find."""

import truss_chains as chains


class Length(chains.ChainletBase):
    async def run_remote(self, text: str) -> int:
        return len(text)


@chains.mark_entrypoint
class Front(chains.ChainletBase):
    def __init__(
        self,
        length: Length = chains.depends(Length),
        size: int = 3,  # CH118
    ) -> None:
        self._length = length

    async def run_remote(self, number: int) -> str:
        length = await self._length.run_remote(number)  # CH130
        return length  # CH130
