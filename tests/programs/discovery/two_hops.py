import truss_chains as chains

print("reading two_hops")


class Say(chains.ChainletBase):
    async def run_remote(self, name: str, loud: bool = False) -> str:
        return f"hello {name}{'!' if loud else ''}"


@chains.mark_entrypoint
class Greet(chains.ChainletBase):
    def __init__(self, say: Say = chains.depends(Say, retries=2)) -> None:
        self._say = say

    async def run_remote(self, name: str) -> str:
        return await self._say.run_remote(name)
