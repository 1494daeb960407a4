import truss_chains as chains


@chains.mark_entrypoint
class First(chains.ChainletBase):
    async def run_remote(self, x: int) -> int:
        return x


@chains.mark_entrypoint("Other")
class Second(chains.ChainletBase):
    async def run_remote(self, x: int) -> int:
        return x
