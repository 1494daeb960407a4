import truss_chains as chains


class First(chains.ChainletBase):
    async def run_remote(self, x: int) -> int:
        return x


class Second(chains.ChainletBase):
    async def run_remote(self, x: int) -> int:
        return x
