"""W-01 for type checkers, and the types of stubs: what mypy says of a user's program."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from collections.abc import AsyncIterator

from pydantic import BaseModel

import truss_chains as chains
from truss_chains import streaming


class Item(BaseModel):
    a: int


class Head(BaseModel):
    b: int


FULL = streaming.stream_types(Item, header_type=Head, footer_type=Item)
HEAD = streaming.stream_types(Item, header_type=Head)
FOOT = streaming.stream_types(Item, footer_type=Head)
BARE = streaming.stream_types(Item)


async def read(stream: AsyncIterator[bytes]) -> None:
    full = streaming.stream_reader(FULL, stream)
    reveal_type(await full.read_header())
    async for item in full.read_items():
        reveal_type(item)
    reveal_type(await full.read_footer())
    reveal_type(await streaming.stream_reader(FOOT, stream).read_footer())
    streaming.stream_writer(HEAD).yield_header(Head(b=1))
    streaming.stream_writer(BARE).yield_item(Head(b=1))  # wrong
    streaming.stream_reader(FOOT, stream).read_header  # wrong
    streaming.stream_writer(HEAD).yield_footer  # wrong
    streaming.stream_reader(BARE, stream).read_header  # wrong


async def call(stub: chains.StubBase) -> None:
    reveal_type(await stub.predict_async({}, Item))
    reveal_type(stub.predict_sync({}))
    async for chunk in await stub.predict_async_stream({}):
        reveal_type(chunk)


class Tagger(chains.StubBase): ...


reveal_type(Tagger.from_url("http://x", "key"))
"""

ROOT = Path(__file__).parents[3]


def test_w01_type_checkers_know_what_a_stream_holds(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    revealed = [line.split('"')[1].replace("program.", "") for line in lines if "Revealed" in line]
    assert revealed == ["Head", "Item", "Item", "Head", "Item", "Any", "bytes", "Tagger"]
    wrong = [n for n, line in enumerate(PROGRAM.splitlines(), start=1) if line.endswith("# wrong")]
    found = sorted({int(line.split(":")[1]) for line in lines if ": error:" in line})
    assert found == wrong, done.stdout
