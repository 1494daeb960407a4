import truss_chains as chains


@chains.mark_entrypoint("My Chain/Name")
class Alone(chains.ChainletBase):
    async def run_remote(self, x: int) -> int:
        return x
