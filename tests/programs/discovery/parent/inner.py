import truss_chains as chains


class Inner(chains.ChainletBase):
    async def run_remote(self, x: int) -> int:
        return x
