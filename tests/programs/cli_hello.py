"""Two Chainlets in one file."""

import truss_chains as chains


class SayHello(chains.ChainletBase):
    async def run_remote(self, name: str, greeting: str = "Hello") -> str:
        return f"{greeting}, {name}"


@chains.mark_entrypoint("hello")
class HelloAll(chains.ChainletBase):
    def __init__(self, say_hello: SayHello = chains.depends(SayHello)) -> None:
        self._say_hello = say_hello

    async def run_remote(self, names: list[str]) -> list[str]:
        return [await self._say_hello.run_remote(name) for name in names]
