"""What a call between Chainlets costs in `run_local`, as ratios to a plain Python call.

Run: `python benchmarks/local_calls.py`. Prints medians of one process; the bounds are stated beside.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

import truss_chains as chains

CALLS = 2_000
ROUNDS = 9
PLAIN_BOUND_US = 5.0
STRICT_BOUND_US = 60.0


class Query(BaseModel):
    text: str
    limit: int = 3


class Score(BaseModel):
    value: float
    words: list[str]


class Leaf(chains.ChainletBase):
    async def run_remote(self, query: Query) -> Score:
        return SCORE


class Entry(chains.ChainletBase):
    def __init__(self, leaf: Leaf = chains.depends(Leaf)) -> None:
        self.leaf = leaf

    async def run_remote(self, query: Query) -> Score:
        return await self.leaf.run_remote(query)


class PlainLeaf:
    async def run_remote(self, query: Query) -> Score:
        return SCORE


SCORE = Score(value=0.5, words=["a", "b"])
QUERY = Query(text="hello")


async def microseconds(call: Callable[[Query], Awaitable[Any]], short: bool = False) -> float:
    """Median time of one call."""
    rounds = []
    count = 1 if short else CALLS
    for _ in range(1 if short else ROUNDS):
        started = time.perf_counter()
        for _ in range(count):
            await call(QUERY)
        rounds.append((time.perf_counter() - started) / count * 1e6)
    return statistics.median(rounds)


def dependency(**settings: Any) -> Any:
    """The dependency as the entrypoint's code has it."""
    with chains.run_local(**settings):
        return Entry().leaf


async def main(short: bool = False) -> None:
    """Print what a call adds; fail above the bounds."""
    floor = await microseconds(PlainLeaf().run_remote, short)
    bounds = {"plain": PLAIN_BOUND_US, "strict": STRICT_BOUND_US}
    measured = {
        "plain": await microseconds(dependency().run_remote, short),
        "recorded": await microseconds(dependency(record=lambda call: None).run_remote, short),
        "strict": await microseconds(dependency(strict=True).run_remote, short),
        "strict, binary": await microseconds(_binary(), short),
    }
    print(f"{'call of a dependency':<22}{'adds, us':>10}{'ratio':>9}{'bound, us':>11}")
    print(f"{'plain Python object':<22}{'0.00':>10}{'1.0':>9}")
    for name, cost in measured.items():
        bound = bounds.get(name)
        print(f"{name:<22}{cost - floor:>10.2f}{cost / floor:>9.1f}{bound or '':>11}")
        assert short or bound is None or cost - floor <= bound, f"{name} adds more than {bound} us"


def _binary() -> Callable[[Query], Awaitable[Any]]:
    from truss_chains.config import RPCOptions
    from truss_chains.endpoint_wire import wire_of
    from truss_chains.strict import StrictStub

    stub: Any = StrictStub(Leaf(), wire_of(Leaf), RPCOptions(use_binary=True))
    call: Callable[[Query], Awaitable[Any]] = stub.run_remote
    return call


if __name__ == "__main__":
    asyncio.run(main())
