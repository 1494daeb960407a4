"""A user's own tests: a file beside the chain, run by pytest without any configuration."""

import pytest

pytest_plugins = ["pytester"]

CHAIN = """
from collections.abc import AsyncIterator

import truss_chains as chains


class Model(chains.ChainletBase):
    def __init__(self) -> None:
        raise RuntimeError("there is no GPU here")

    async def run_remote(self, prompt: str, limit: int = 10) -> str:
        return prompt


class Words(chains.ChainletBase):
    async def run_remote(self, text: str) -> AsyncIterator[str]:
        for word in text.split():
            yield word


@chains.mark_entrypoint
class Poems(chains.ChainletBase):
    def __init__(self, words: Words = chains.depends(Words), model: Model = chains.depends(Model)) -> None:
        self._words = words
        self._model = model

    async def run_remote(self, text: str) -> list[str]:
        return [await self._model.run_remote(f"about {word}") async for word in self._words.run_remote(text)]
"""
TESTS = """
import asyncio

import pytest

from poems import Model, Poems, Words


class FakeModel:
    async def run_remote(self, prompt: str, limit: int = 10) -> str:
        return prompt.upper()


class BadModel:
    async def run_remote(self, prompt: str, limit: int = 10) -> str:
        return 7


def test_calls_are_told(chain):
    poems = chain(Poems, mocks={Model: FakeModel})
    assert asyncio.run(poems.run_remote("sea sky")) == ["ABOUT SEA", "ABOUT SKY"]
    chain.calls.assert_called(Model, times=2)
    chain.calls.assert_called(Model, prompt="about sky", caller=Poems)
    chain.calls.assert_called("Words", times=1)
    chain.calls.assert_not_called(Model, prompt="about land")
    assert [call.output for call in chain.calls.of(Words)] == [["sea", "sky"]]


def test_auto_mocks(chain):
    poems = chain(Poems, mocks={"Model": "auto"})
    assert len(asyncio.run(poems.run_remote("one two three"))) == 3


@pytest.mark.parametrize("text", ["a", "b c"])
def test_stand_ins_by_parameter(strict_chain, text):
    poems = strict_chain(Poems, model=FakeModel())
    assert asyncio.run(poems.run_remote(text)) == [f"ABOUT {word.upper()}" for word in text.split()]


def test_strict_finds_what_plain_does_not(strict_chain):
    poems = strict_chain(Poems, mocks={Model: BadModel})
    with pytest.raises(Exception, match="does not match its return annotation"):
        asyncio.run(poems.run_remote("sea"))


def test_each_test_has_calls_of_its_own(chain):
    assert len(chain.calls) == 0


def test_a_failed_assertion_shows_the_calls(chain):
    poems = chain(Poems, mocks={Model: FakeModel})
    asyncio.run(poems.run_remote("sea"))
    chain.calls.assert_called(Model, times=5)
"""


def test_fixtures_work_without_configuration(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(poems=CHAIN, test_poems=TESTS)

    done = pytester.runpytest_subprocess("-q", "-p", "no:asyncio", "-p", "no:cacheprovider", "-W", "error")

    done.assert_outcomes(passed=6, failed=1)
    done.stdout.fnmatch_lines(
        [
            "*AssertionError: expected 5 calls of `Model`, found 1",
            "*Poems -> Model.run_remote(prompt='about sea') -> 'ABOUT SEA'",
        ]
    )


def test_fixtures_are_described(pytester: pytest.Pytester) -> None:
    done = pytester.runpytest_subprocess("--fixtures", "-p", "no:cacheprovider")
    done.stdout.fnmatch_lines(
        ["chain -- *", "*plain Python calls.", "strict_chain -- *", "*as over the network*"]
    )


def test_tests_without_chains_load_no_client_and_no_server(pytester: pytest.Pytester) -> None:
    """The plugin is in every project's pytest; it must cost next to nothing there."""
    pytester.makepyfile(
        "import sys\n\n"
        "def test_nothing():\n"
        "    assert not {'httpx', 'numpy', 'msgpack', 'starlette'} & set(sys.modules)\n"
    )
    done = pytester.runpytest_subprocess(
        "-q", "-p", "no:asyncio", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"
    )
    done.assert_outcomes(passed=1)
