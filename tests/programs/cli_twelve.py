"""Twelve mistakes, each at the line that names its code."""

from collections.abc import AsyncIterator

import truss_chains as chains


class Unnamed(chains.ChainletBase):
    remote_config = chains.RemoteConfig(name="not a name")  # CH101

    async def run_remote(self) -> int:
        return 1


class Splitter(chains.ChainletBase):
    async def run_remote(
        self,
        text,  # CH104
        options: object,  # CH105
        *rest: int,  # CH110
    ) -> list[str]:
        return []

    def is_healthy(self) -> str:  # CH114
        return "yes"


class Counter(chains.ChainletBase):
    def __init__(
        self,
        splitter: Splitter = chains.depends(Splitter),
        size: int = 3,  # CH118
        other: int = chains.depends(Splitter()),  # CH119
        context: str = chains.depends_context(),  # CH117
    ) -> None:
        self._splitter = splitter

    async def run_remote(self, text: str):  # CH106
        return len(text)


class Empty(chains.ChainletBase):  # CH107
    pass


class Stream(chains.ChainletBase):
    async def run_remote(self) -> AsyncIterator[str]:  # CH111
        return "no items"


@chains.mark_entrypoint
class Front(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(
            pip_requirement=["numpy"],  # CH115
        )
    )

    async def run_remote(self) -> int:
        return 1
