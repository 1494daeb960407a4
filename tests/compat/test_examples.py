"""Every example does what its page says, run by the command its page names."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run_local(directory: str, file: str, value: dict[str, Any], *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "chains_cli", "run-local", file, "--input", json.dumps(value), *options],
        cwd=EXAMPLES / directory,
        env={**os.environ, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("options", [(), ("--strict",)])
def test_hello(options: tuple[str, ...]) -> None:
    printed = run_local("hello_chain", "hello.py", {"names": ["Ada", "Bo"]}, *options)

    assert printed == "Hello, Ada\nHello, Bo\n"


def test_poems_with_the_model_mocked() -> None:
    printed = run_local("poems", "poems_typed.py", {"words": ["bird", "plane"]}, "--mock", "PhiLLM=auto")

    poems = json.loads(printed)
    assert len(poems) == 2
    assert all(isinstance(poem, str) for poem in poems)


@pytest.mark.parametrize("options", [(), ("--strict",)])
def test_glue_and_model_finds_the_closest_text(options: tuple[str, ...]) -> None:
    texts = ["bread and dough", "the ship lowered its sails in the storm", "a comet in the sky"]
    printed = run_local(
        "glue_and_model", "chain.py", {"question": "a storm at sea", "texts": texts, "limit": 2}, *options
    )

    matches = json.loads(printed)
    assert matches[0]["text"] == texts[1]
    assert len(matches) == 2


@pytest.mark.parametrize("options", [(), ("--strict",)])
def test_transcription_reads_morse_through_noise(options: tuple[str, ...]) -> None:
    printed = run_local(
        "transcription", "chain.py", {"message": "chains carry sound", "noise": 0.2}, *options
    )

    assert json.loads(printed) == {
        "text": "CHAINS CARRY SOUND",
        "pieces": 3,
        "seconds": pytest.approx(11, abs=3),
    }


@pytest.mark.parametrize("options", [(), ("--strict",)])
def test_streaming_tells_as_many_words_as_asked(options: tuple[str, ...]) -> None:
    printed = run_local("streaming", "chain.py", {"seed": 1, "count": 7}, *options)

    assert len(printed.split()) == 7


@pytest.mark.parametrize("options", [(), ("--strict",)])
def test_rag_answers_from_its_notes(options: tuple[str, ...]) -> None:
    printed = run_local("rag", "chain.py", {"question": "how warm is the cluster in winter?"}, *options)

    answer = json.loads(printed)
    assert answer["text"].startswith("In winter the colony forms a cluster")
    assert len(answer["sources"]) == 3


@pytest.mark.parametrize("options", [(), ("--strict",)])
def test_tiles_summarises_every_tile(options: tuple[str, ...]) -> None:
    printed = run_local("tiles", "chain.py", {"size": 64, "tile_size": 32}, *options)

    summaries = json.loads(printed)
    assert [(s["row"], s["column"]) for s in summaries] == [(0, 0), (0, 32), (32, 0), (32, 32)]
    assert all(20 <= s["max_humidity"] < 100 for s in summaries)


def test_every_example_has_a_page() -> None:
    directories = [d for d in EXAMPLES.iterdir() if d.is_dir() and d.name != "__pycache__"]

    assert [d.name for d in directories if not (d / "README.md").is_file()] == []
