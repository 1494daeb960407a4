"""What type checkers tell users about their own code."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "tests" / "programs" / "typed_by_users.py"
PACKAGES = (
    "truss_chains",
    "chains_protocol",
    "chains_analysis",
    "chains_runtime",
    "chains_platform",
    "chains_cli",
)


@dataclass
class Told:
    """What a type checker said: types and refused lines, by line number."""

    types: dict[int, str] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)


def mypy(directory: Path) -> Told:
    options = ["--strict", "--no-error-summary", "--config-file", "", "--cache-dir", str(directory / "cache")]
    done = _run(sys.executable, "-m", "mypy", *options, str(PROGRAM))
    told = Told()
    for line in done.splitlines():
        match = re.match(r".*typed_by_users\.py:(\d+): (error|note): (.*)", line)
        assert match is not None, line
        number, kind, text = int(match[1]), match[2], match[3]
        if revealed := re.fullmatch(r'Revealed type is "(.*)"', text):
            told.types[number] = re.sub(r"\b(?:\w+\.)+(?=\w)|\?", "", revealed[1])
        elif kind == "error":
            told.errors[number] = text
    return told


def pyright(directory: Path) -> Told:
    shutil.copy(PROGRAM, directory)
    config = {"include": [PROGRAM.name], "extraPaths": [str(ROOT)], "pythonPlatform": "Linux"}
    path = directory / "pyrightconfig.json"
    path.write_text(json.dumps(config))
    done = _run(
        sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(path)
    )
    told = Told()
    for item in json.loads(done)["generalDiagnostics"]:
        number = item["range"]["start"]["line"] + 1
        revealed = re.fullmatch(r'Type of ".*" is "(.*)"', item["message"], re.DOTALL)
        if revealed:
            told.types[number] = revealed[1]
        elif item["severity"] == "error":
            told.errors[number] = item["message"]
    return told


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110, cwd=ROOT)
    assert done.stdout, done.stderr
    return done.stdout


def expected(checker: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(PROGRAM.read_text("utf-8").splitlines(), 1):
        if "reveal_type(" in line:
            common, _, pyrights = line.partition("  #: ")[2].partition(", pyright ")
            assert common, line
            yield number, pyrights if pyrights and checker == "pyright" else common


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_type_checkers_know_dependencies_stubs_streams_and_local_runs(checker, tmp_path):
    told = checker(tmp_path)
    assert told.types == dict(expected(checker.__name__))
    lines = enumerate(PROGRAM.read_text("utf-8").splitlines(), 1)
    assert sorted(told.errors) == [n for n, line in lines if line.endswith("# wrong")], told.errors


@pytest.mark.parametrize("package", PACKAGES)
def test_the_packages_say_that_they_are_typed(package):
    assert (ROOT / package / "py.typed").read_bytes() == b""
