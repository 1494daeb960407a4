"""Two Chainlets: one greets a person, the other greets everyone at once."""

import asyncio

import truss_chains as chains


class SayHello(chains.ChainletBase):
    """Greets one person."""

    async def run_remote(self, name: str) -> str:
        return f"Hello, {name}!"


@chains.mark_entrypoint("hello")
class HelloAll(chains.ChainletBase):
    """Greets everyone: one call of SayHello a name, all at the same time."""

    def __init__(self, say_hello: SayHello = chains.depends(SayHello)) -> None:
        self._say_hello = say_hello

    async def run_remote(self, names: list[str]) -> str:
        greetings = await asyncio.gather(*(self._say_hello.run_remote(name) for name in names))
        return "\n".join(greetings)


if __name__ == "__main__":
    with chains.run_local():
        print(asyncio.run(HelloAll().run_remote(["Ada", "Grace"])))
