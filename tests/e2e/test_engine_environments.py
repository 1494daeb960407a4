"""Building environments: concurrent, interrupted and failing builds with a scripted uv, one with the real."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from chains_platform.engines.environments import Environments
from chains_platform.engines.indexes import default_pip_files, installer_environment
from chains_platform.engines.process import find_uv
from chains_platform.engines.pythons import Interpreter, Pythons, own_interpreter, uv_runner
from chains_protocol.errors import Code, DiagnosticsError
from chains_protocol.manifest import EnvironmentSpec

pytestmark = pytest.mark.e2e

SPEC = EnvironmentSpec(python_version="3.12", requirements=("poem-lib==1",))

SCRIPT = f"""#!{sys.executable}
import os, pathlib, sys, time
root = pathlib.Path(__file__).parent
with (root / "calls").open("a") as calls:
    calls.write(sys.argv[1] + "\\n")
if sys.argv[1] == "venv":
    (pathlib.Path(sys.argv[-1]) / "bin").mkdir(parents=True)
    (pathlib.Path(sys.argv[-1]) / "bin" / "python").touch()
else:
    print("Resolved 1 package", flush=True)
    while (root / "hold").exists():
        time.sleep(0.005)
    if (root / "fail").exists():
        print((root / "fail").read_text(), file=sys.stderr)
        sys.exit(1)
"""


class Scripted:
    """`Environments` over a uv that a test directs with files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.uv = directory / "uv"
        self.uv.write_text(SCRIPT)
        self.uv.chmod(0o755)
        self.root = directory / "envs"
        self.root.mkdir()
        self.lines: list[str] = []
        self.environments = self.another()

    def another(self) -> Environments:
        """What a second control plane has: the same directory, nothing else in common."""
        own = Interpreter(sys.executable, "3.12")
        pythons = Pythons(lambda arguments: "", own, self.root / "pythons.json")
        return Environments(self.root, str(self.uv), pythons, dict(os.environ))

    async def ensure(self) -> Path:
        return await self.environments.ensure(SPEC, self.lines.append)

    def calls(self) -> list[str]:
        path = self.directory / "calls"
        return path.read_text().split() if path.exists() else []

    async def reached(self, call: str) -> None:
        async with asyncio.timeout(20):
            while call not in self.calls():  # noqa: ASYNC110 (a file has no event)
                await asyncio.sleep(0.005)

    def directories(self) -> list[Path]:
        return [path for path in self.root.iterdir() if path.is_dir()]


@pytest.fixture
def scripted(tmp_path: Path) -> Scripted:
    return Scripted(tmp_path)


async def test_an_environment_is_built_once_and_its_output_reported(scripted: Scripted) -> None:
    first = await scripted.ensure()
    assert first.exists()
    assert scripted.lines == ["Resolved 1 package"]
    assert await scripted.ensure() == scripted.environments.ready(SPEC) == first
    assert scripted.calls() == ["venv", "pip"]


async def test_two_who_want_it_at_once_share_one_build(scripted: Scripted) -> None:
    found = await asyncio.gather(scripted.ensure(), scripted.ensure(), scripted.ensure())
    assert len(set(found)) == 1
    assert scripted.calls() == ["venv", "pip"]


async def test_another_process_waits_for_the_build_and_says_so(scripted: Scripted) -> None:
    (scripted.directory / "hold").touch()
    first = asyncio.create_task(scripted.ensure())
    await scripted.reached("pip")
    told = asyncio.Event()
    second = asyncio.create_task(scripted.another().ensure(SPEC, lambda line: told.set()))
    await asyncio.wait_for(told.wait(), 20)
    (scripted.directory / "hold").unlink()
    assert await second == await first
    assert scripted.calls() == ["venv", "pip"]


async def test_a_failed_build_says_why_and_leaves_nothing(scripted: Scripted) -> None:
    reason = "Because there is no version of poem-lib==1, your requirements are unsatisfiable."
    (scripted.directory / "fail").write_text(reason)
    with pytest.raises(DiagnosticsError) as caught:
        await scripted.ensure()
    (found,) = caught.value.diagnostics
    assert found.code is Code.ENVIRONMENT_BUILD_FAILED
    assert reason in (found.detail or "")
    assert "`poem-lib==1`" in (found.help or "")
    assert scripted.directories() == []
    (scripted.directory / "fail").unlink()
    assert (await scripted.ensure()).exists()


async def test_a_full_disk_is_named(scripted: Scripted) -> None:
    (scripted.directory / "fail").write_text("failed to write: No space left on device (os error 28)")
    with pytest.raises(DiagnosticsError) as caught:
        await scripted.ensure()
    assert [d.code for d in caught.value.diagnostics] == [Code.DISK_FULL]


async def test_a_cancelled_build_leaves_nothing(scripted: Scripted) -> None:
    (scripted.directory / "hold").touch()
    building = asyncio.create_task(scripted.ensure())
    await scripted.reached("pip")
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert scripted.directories() == []
    assert scripted.environments.ready(SPEC) is None


async def test_what_an_interrupted_build_left_is_removed(scripted: Scripted) -> None:
    directory = scripted.environments.directory(SPEC, Interpreter(sys.executable, "3.12"))
    (directory / "lib").mkdir(parents=True)
    (directory / "lib" / "half.py").touch()
    await scripted.ensure()
    assert not (directory / "lib").exists()


@pytest.mark.timeout(300)
async def test_the_real_uv_builds_what_the_runtime_needs(tmp_path: Path) -> None:
    uv = find_uv(os.environ)
    environ = installer_environment(os.environ, default_pip_files(os.environ))
    root = tmp_path / "envs"
    root.mkdir()
    own = own_interpreter()
    environments = Environments(
        root, uv, Pythons(uv_runner(uv, environ, tmp_path), own, root / "pythons.json"), environ
    )
    spec = EnvironmentSpec(python_version=own.version)
    python = await environments.ensure(spec, lambda line: None)
    program = "import pydantic, httpx, httptools, uvicorn, websockets, msgpack; print('ok')"
    process = await asyncio.create_subprocess_exec(str(python), "-c", program, stdout=asyncio.subprocess.PIPE)
    assert (await process.communicate())[0] == b"ok\n"

    await _heeds_constraints_and_hashes(environments, own.version)

    broken = EnvironmentSpec(python_version=own.version, requirements=("./no/such/directory",))
    with pytest.raises(DiagnosticsError) as caught:
        await environments.ensure(broken, lambda line: None)
    assert caught.value.diagnostics[0].code is Code.ENVIRONMENT_BUILD_FAILED
    assert "no/such/directory" in (caught.value.diagnostics[0].detail or "")


async def _heeds_constraints_and_hashes(environments: Environments, version: str) -> None:
    """Constraints bind what is brought along; a file that has not the hash it should have is refused."""
    line = "idna==3.7 --hash=sha256:82fee1fc78add43492d3a1898bfa6d8a904cc97d8427f683ed8e798d07761aa0"
    bound = EnvironmentSpec(python_version=version, requirements=("anyio", line), constraints=("sniffio<2",))
    assert (await environments.ensure(bound, lambda line: None)).exists()
    older = EnvironmentSpec(python_version=version, requirements=("anyio",), constraints=("idna==3.7",))
    python = await environments.ensure(older, lambda line: None)
    assert list(python.parent.parent.glob("lib/*/site-packages/idna-3.7.dist-info")) != []

    forged = bound.model_copy(update={"requirements": ("anyio", line.replace("82fe", "0000"))})
    with pytest.raises(DiagnosticsError) as caught:
        await environments.ensure(forged, lambda line: None)
    assert "sha256:0000" in (caught.value.diagnostics[0].detail or "")
    assert environments.ready(forged) is None
