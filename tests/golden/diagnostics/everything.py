"""One Chainlet for most rules; what is said about them is in `everything.txt`."""

from collections.abc import AsyncIterator, Callable

import truss_chains as chains


class Wrapped(chains.TrussChainlet):
    pass


class Engine(chains.EngineBuilderLLMChainlet):
    engine_builder_config = {"build": {}}
    remote_config = chains.RemoteConfig(docker_image=chains.DockerImage(apt_requirements=["git"]))


class Types(chains.ChainletBase):
    remote_config = chains.RemoteConfig(name="no spaces please")

    async def run_remote(
        self,
        missing,
        anything: object,
        code: Callable[[int], int],
        keys: dict[tuple[int, int], str],
        *rest: int,
        later: "Nowhere" = None,
    ) -> list[type]:
        return []

    def is_healthy(self) -> int:
        return 1


class Socket(chains.ChainletBase):
    async def run_remote(self, socket: chains.WebSocketProtocol, text: str) -> int:
        return 1


class Stream(chains.ChainletBase):
    async def run_remote(self) -> AsyncIterator:
        yield 1


@chains.mark_entrypoint
class Front(chains.ChainletBase):
    remote_config = {"name": "front"}

    def __init__(
        this,
        context,
        number: int = 3,
        socket=chains.depends(Socket),
        types: int = chains.depends(Types),
        again=chains.depends(Types),
        base=chains.depends(chains.ChainletBase),
        ctx=chains.depends_context(),
    ): ...

    async def run_remote(this) -> int:
        return 1


class Empty(chains.ChainletBase):
    pass


chains.mark_entrypoint(Wrapped)
chains.mark_entrypoint(int)
