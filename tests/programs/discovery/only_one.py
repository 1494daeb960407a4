import truss_chains as chains
from truss_chains import ChainletBase


class Alone(ChainletBase):
    async def run_remote(self, x: int) -> int:
        return x
