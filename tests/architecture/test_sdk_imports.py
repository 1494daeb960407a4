"""What `import truss_chains` may load: it runs in every replica and in every user's editor."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "aiohttp",
    "anyio",
    "chains_analysis",
    "chains_cli",
    "chains_platform",
    "chains_protocol.control",
    "chains_protocol.manifest",
    "chains_protocol.rpc",
    "chains_protocol.spec",
    "fastapi",
    "httpcore",
    "httpx",
    "jinja2",
    "msgpack",
    "numpy",
    "packaging",
    "platformdirs",
    "prometheus_client",
    "psutil",
    "requests",
    "rich",
    "sqlalchemy",
    "starlette",
    "torch",
    "truss_chains.config",
    "truss_chains.describe",
    "truss_chains.engine_builder",
    "truss_chains.local",
    "truss_chains.stub",
    "typer",
    "uv",
    "uvicorn",
    "watchfiles",
    "yaml",
}

DECLARE = """
import truss_chains as chains
class A(chains.ChainletBase):
    remote_config = chains.RemoteConfig(compute=chains.Compute(gpu="L4"))
    def __init__(self, context=chains.depends_context()): ...
    async def run_remote(self, x: int) -> str: return ""
@chains.mark_entrypoint
class B(chains.ChainletBase):
    def __init__(self, a=chains.depends(A)): ...
    async def run_remote(self, x: int) -> str: return ""
"""


def loaded_by(program: str) -> set[str]:
    """The modules in `sys.modules` after `program`."""
    tail = "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))\n"
    done = subprocess.run(
        [sys.executable, "-c", program + tail], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout))


def test_the_import_loads_pydantic_and_light_modules_only():
    assert loaded_by("import truss_chains") & HEAVY == set()


def test_declaring_a_chain_loads_no_more_than_the_settings():
    assert loaded_by(DECLARE) & HEAVY == {"truss_chains.config"}


def test_beyond_pydantic_the_import_loads_almost_nothing():
    """A new import that is not in the list above shows here."""
    floor = loaded_by("import asyncio, pydantic.main")
    extra = {name.partition(".")[0] for name in loaded_by("import truss_chains") - floor}
    ours = {"truss_chains", "chains_protocol"}
    assert extra <= ours | {"pydantic", "annotated_types"} | set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    "module",
    ["truss_chains.public_types", "truss_chains.utils", "truss_chains.streaming", "truss_chains.context"],
)
def test_secondary_modules_are_light_too(module):
    heavy = {"aiohttp", "fastapi", "httpx", "numpy", "starlette", "rich", "typer", "uvicorn", "chains_cli"}
    assert loaded_by(f"import {module}") & heavy == set()


@pytest.mark.parametrize(
    ("module", "use"),
    [
        ("msgpack", "codec.encode_binary(1)"),
        ("msgpack", "codec.decode_binary(bytes(1))"),
        ("numpy", "codec.load_numpy()"),
    ],
)
def test_an_optional_module_that_is_missing_is_named_with_what_needs_it(module, use):
    program = (
        f"import sys; sys.modules[{module!r}] = None\n"  # as Python marks what can't be imported
        "from truss_chains import codec, errors\n"
        f"try:\n    {use}\n"
        "except errors.ChainsRuntimeError as error:\n    print(error.code, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("CH510 ")
    assert f"`pip install {module}`" in done.stdout
