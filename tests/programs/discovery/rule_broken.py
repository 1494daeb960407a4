import truss_chains as chains


class Broken(chains.ChainletBase):
    async def run_remote(self, x, limit: int) -> int:
        return limit


class AlsoBroken(chains.ChainletBase):
    async def run_remote(self, y: int):
        return y
