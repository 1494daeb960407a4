"""Runs the chain in this process: `pytest`."""

import asyncio

import truss_chains as chains
from chain import HelloAll


def test_everyone_is_greeted() -> None:
    with chains.run_local():
        result = asyncio.run(HelloAll().run_remote(["Ada", "Grace"]))
    assert result == "Hello, Ada!\nHello, Grace!"


def test_a_dependency_can_be_replaced() -> None:
    class FakeHello:
        async def run_remote(self, name: str) -> str:
            return name.upper()

    with chains.run_local():
        result = asyncio.run(HelloAll(say_hello=FakeHello()).run_remote(["Ada"]))
    assert result == "ADA"
