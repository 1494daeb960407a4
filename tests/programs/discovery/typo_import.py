import truss_chains as chains
import nunpy_of_a_typo


class Alone(chains.ChainletBase):
    async def run_remote(self, x: int) -> int:
        return x
