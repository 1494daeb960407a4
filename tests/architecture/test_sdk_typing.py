"""What a type checker tells users about their own code."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
from collections.abc import AsyncIterator
from typing import Protocol

import truss_chains as chains
from truss_chains.remote_chainlet.truss_chainlet import TrussHandle


class Speaks(Protocol):
    async def run_remote(self, text: str) -> int: ...


class Back(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        compute=chains.Compute(gpu="L4", predict_concurrency="cpu_count"),
        options=chains.ChainletOptions(env_variables={"A": "1"}),
        autoscaling=chains.Autoscaling(max_replicas=3),
    )

    async def run_remote(self, text: str) -> int:
        return len(text)


class Wrapped(chains.TrussChainlet):
    truss_dir = "./truss"


@chains.mark_entrypoint("A name")
class Front(chains.ChainletBase):
    def __init__(
        self,
        back: Back = chains.depends(Back, retries=2),
        spoken: Speaks = chains.depends(Back),
        wrapped: TrussHandle = chains.depends(Wrapped),
        context: chains.DeploymentContext = chains.depends_context(),
    ) -> None:
        self.back = back
        reveal_type(chains.depends(Back))
        reveal_type(chains.depends(Wrapped))
        reveal_type(context.secrets["key"])

    async def run_remote(self, text: str) -> AsyncIterator[str]:
        reveal_type(await self.back.run_remote(text))
        yield text


@chains.mark_entrypoint
class Other(chains.ChainletBase):
    async def run_remote(self) -> None: ...


reveal_type(Front)
reveal_type(Other)
reveal_type(Front.name)
reveal_type(Front().display_name)
reveal_type(Front.remote_config)
reveal_type(Front.meta_data.is_entrypoint)
with chains.run_local():
    reveal_type(Front())
wrong: Back = chains.depends(Other)
chains.depends(Back, retries="3")
"""

REVEALED = [
    "program.Back",
    "truss_chains.remote_chainlet.truss_chainlet.TrussHandle",
    "str",
    "int",
    "def (",
    "def (",
    "str",
    "str",
    "truss_chains.config.RemoteConfig",
    "bool",
    "program.Front",
]


def test_mypy_sees_dependencies_as_instances_of_their_class(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    options = ["--strict", "--no-error-summary", "--config-file", "", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        cwd=ROOT,
    )
    lines = [line.removeprefix(f"{program}:") for line in done.stdout.splitlines()]
    revealed = [line.partition('type is "')[2].rstrip('"') for line in lines if "Revealed type" in line]
    assert len(revealed) == len(REVEALED), done.stdout + done.stderr
    for got, wanted in zip(revealed, REVEALED, strict=True):
        assert got.removeprefix("builtins.").startswith(wanted), (got, wanted)
    errors = [line.partition(": error: ")[2] for line in lines if ": error: " in line]
    assert len(errors) == 2, done.stdout
    assert 'expression has type "Other", variable has type "Back"' in errors[0]
    assert '"retries"' in errors[1] or "depends" in errors[1]


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "truss_chains" / "py.typed").is_file()
