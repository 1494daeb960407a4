"""Fails where it is asked to, prints, streams and answers bytes."""

import sys
from collections.abc import AsyncIterator

import truss_chains as chains


class Worker(chains.ChainletBase):
    def __init__(self, context: chains.DeploymentContext = chains.depends_context()) -> None:
        self._secret = context.secrets.get("key", "none")

    async def run_remote(self, how: str) -> str:
        if how == "raise":
            raise ValueError("asked to fail")
        if how == "exit":
            sys.exit(7)
        return f"{how}:{self._secret}"


@chains.mark_entrypoint
class Faults(chains.ChainletBase):
    def __init__(self, worker: Worker = chains.depends(Worker)) -> None:
        self._worker = worker

    async def run_remote(self, how: str, count: int = 0) -> str:
        print(f"about to {how}")
        if how == "number":
            return 7
        return await self._worker.run_remote(how)


class FakeWorker:
    async def run_remote(self, how: str) -> str:
        return f"fake {how}"


class Broken(chains.ChainletBase):
    def __init__(self, worker: Worker = chains.depends(Worker)) -> None:
        raise RuntimeError("no weights")

    async def run_remote(self) -> str:
        return ""


class Letters(chains.ChainletBase):
    async def run_remote(self, word: str) -> AsyncIterator[bytes]:
        for letter in word:
            yield letter.encode()
