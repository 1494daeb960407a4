"""The event loop that `run_local` brings to plain scripts; the published programs, word for word."""

import asyncio
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from truss_chains.local_loop import LoopForMainThread

HELLO = """
import asyncio
import truss_chains as chains


# This Chainlet does the work
class SayHello(chains.ChainletBase):

    async def run_remote(self, name: str) -> str:
        return f"Hello, {name}"


# This Chainlet orchestrates the work
@chains.mark_entrypoint
class HelloAll(chains.ChainletBase):

    def __init__(self, say_hello_chainlet=chains.depends(SayHello)) -> None:
        self._say_hello = say_hello_chainlet

    async def run_remote(self, names: list[str]) -> str:
        tasks = []
        for name in names:
            tasks.append(asyncio.ensure_future(
                self._say_hello.run_remote(name)))
        
        return "\\n".join(await asyncio.gather(*tasks))


# Test the Chain locally
if __name__ == "__main__":
    with chains.run_local():
        hello_chain = HelloAll()
        result = asyncio.get_event_loop().run_until_complete(
            hello_chain.run_remote(["Marius", "Sid", "Bola"]))
        print(result)
"""  # noqa: W293 (word for word)

POEMS = """
import asyncio
import truss_chains as chains


class PhiLLM(chains.ChainletBase):
    remote_config = chains.RemoteConfig(compute=chains.Compute(gpu="L4"))

    def __init__(self) -> None:
        raise RuntimeError("needs a GPU")

    async def run_remote(self, prompt: str) -> str:
        raise RuntimeError("needs a GPU")


@chains.mark_entrypoint
class PoemGenerator(chains.ChainletBase):
    def __init__(self, phi_llm: PhiLLM = chains.depends(PhiLLM)) -> None:
        self._phi_llm = phi_llm

    async def run_remote(self, words: list[str]) -> list[str]:
        tasks = [self._phi_llm.run_remote(f"Generate a poem about {word}") for word in words]
        return list(await asyncio.gather(*tasks))


if __name__ == "__main__":
    class FakePhiLLM:
        async def run_remote(self, prompt: str) -> str:
            return f"Here's a poem about {prompt.split(" ")[-1]}"


    with chains.run_local():
        poem_generator = PoemGenerator(phi_llm=FakePhiLLM())
        result = asyncio.get_event_loop().run_until_complete(
            poem_generator.run_remote(words=["bird", "plane", "superman"]))
        print(result)
"""


def run_program(text: str, directory: Path) -> tuple[str, str]:
    """Run it as its author would, development mode on, so that nothing unclosed stays unseen."""
    file = directory / "program.py"
    file.write_text(textwrap.dedent(text))
    done = subprocess.run(
        [sys.executable, "-X", "dev", file.name], cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_the_published_hello_program_prints_what_its_page_says(tmp_path: Path) -> None:
    assert run_program(HELLO, tmp_path) == ("Hello, Marius\nHello, Sid\nHello, Bola\n", "")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="its f-string needs the syntax of Python 3.12")
def test_the_published_poems_program_prints_what_its_page_says(tmp_path: Path) -> None:
    shown = '["Here\'s a poem about bird", "Here\'s a poem about plane", "Here\'s a poem about superman"]\n'
    assert run_program(POEMS, tmp_path) == (shown, "")


@pytest.mark.parametrize(
    "body",
    [
        # the loop goes with what runs on it
        """
        async def forever():
            try:
                await asyncio.Event().wait()
            finally:
                print("cancelled")
        with chains.run_local():
            loop = asyncio.get_event_loop()
            task = loop.create_task(forever())
            loop.run_until_complete(asyncio.sleep(0))
        assert loop.is_closed()
        """,
        # a loop of the user's own stays
        """
        mine = asyncio.new_event_loop()
        asyncio.set_event_loop(mine)
        with chains.run_local():
            assert asyncio.get_event_loop() is mine
        assert asyncio.get_event_loop() is mine
        mine.close()
        print("cancelled")
        """,
        # blocks within blocks, and `asyncio.run` in between
        """
        async def main():
            with chains.run_local():
                assert asyncio.get_event_loop() is asyncio.get_running_loop()
        with chains.run_local():
            outer = asyncio.get_event_loop()
            with chains.run_local():
                assert asyncio.get_event_loop() is outer
            assert not outer.is_closed()
            assert asyncio.get_event_loop() is outer
            asyncio.run(main())
        with chains.run_local():
            asyncio.get_event_loop().run_until_complete(main())
        print("cancelled")
        """,
        # after the block all is as if there had been none
        """
        import sys, warnings
        with chains.run_local():
            pass
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                asyncio.get_event_loop().close()
                assert sys.version_info < (3, 14)
            except RuntimeError:
                assert sys.version_info >= (3, 14)
        print("cancelled")
        """,
        # in another thread there is no loop, as without a block
        """
        import threading
        async def main():
            print("cancelled")
        def work():
            with chains.run_local():
                try:
                    asyncio.get_event_loop()
                except RuntimeError:
                    asyncio.run(main())
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        """,
    ],
    ids=["cleaned", "kept", "nested", "restored", "threads"],
)
def test_the_block_brings_a_loop_and_takes_it_away(body: str, tmp_path: Path) -> None:
    program = "import asyncio\nimport truss_chains as chains\n" + textwrap.dedent(body)
    assert run_program(program, tmp_path) == ("cancelled\n", "")


async def test_in_a_running_loop_nothing_is_brought() -> None:
    running = asyncio.get_running_loop()
    helper = LoopForMainThread()
    helper.enter()
    assert asyncio.get_event_loop() is running
    helper.leave()
    assert not running.is_closed()
