"""1.6: `truss_chains.push`, against the remote in memory."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import truss_chains as chains
from chains_cli.remotes.memory import MemoryRemote
from chains_cli.settings import load_settings
from chains_protocol.control import DeploymentState
from chains_protocol.errors import Code, Diagnostic
from truss_chains import validation
from truss_chains.deploy import generate, push, push_to
from truss_chains.errors import ChainsDeploymentError, ChainsUsageError

SOURCE = """
import truss_chains as chains

class Greeter(chains.ChainletBase):
    async def run_remote(self, name: str) -> str:
        return f"Hello, {name}"
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[ModuleType]:
    path = tmp_path / "greeting.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("greeting", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with validation.scope():
        spec.loader.exec_module(module)
        yield module


def environ(tmp_path: Path) -> dict[str, str]:
    return {"CHAINS_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}


def deploy(program: ModuleType, tmp_path: Path, remote: MemoryRemote, **fields):
    return push_to(
        remote,
        Path(program.__file__),
        "Greeter",
        "greeting",
        load_settings(environ=environ(tmp_path)),
        **{"environment": "production", "publish": True, "environ": environ(tmp_path), **fields},
    )


def test_a_push_returns_a_service_that_can_be_called(program, tmp_path):
    remote = MemoryRemote()
    service = deploy(program, tmp_path, remote)
    assert service.name == "greeting"
    assert service.deployment.state is DeploymentState.ACTIVE
    assert service.deployment.environments == ("production",)
    assert service.run_remote({"name": "you"}) == {"name": "you"}
    assert [c.status for c in service.get_info()] == ["ACTIVE"]


def test_unpublished_is_the_development_deployment_and_an_environment_implies_published(program, tmp_path):
    draft = deploy(program, tmp_path, MemoryRemote(), environment=None, publish=False)
    assert draft.deployment.kind == "development"
    staged = deploy(program, tmp_path, MemoryRemote(), environment="staging", publish=False)
    assert (staged.deployment.kind, staged.deployment.environments) == ("published", ("staging",))


def test_a_failed_deployment_raises(program, tmp_path):
    reason = Diagnostic(code=Code.INIT_FAILED, message="it broke")
    remote = MemoryRemote(settle=lambda manifest: (DeploymentState.FAILED, (reason,)))
    with pytest.raises(ChainsDeploymentError, match="CH501: it broke"):
        deploy(program, tmp_path, remote)


def test_a_chain_that_is_not_valid_any_more_raises_usage_errors(program, tmp_path):
    Path(program.__file__).write_text(SOURCE.replace("name: str", "name"))
    with pytest.raises(ChainsUsageError, match="CH104"):
        deploy(program, tmp_path, MemoryRemote())


def test_e05_collected_errors_come_first(program):
    class Broken(chains.ChainletBase):
        pass

    with pytest.raises(ChainsUsageError, match="CH107"):
        push(program.Greeter, "greeting")


def test_the_entrypoint_is_a_chainlet_of_a_file(program):
    with pytest.raises(ChainsUsageError, match="CH123"):
        push(int, "greeting")


def test_wp40_only_the_packages(program, tmp_path):
    out = generate(
        Path(program.__file__),
        "Greeter",
        " My Chain//Name ",
        load_settings(environ=environ(tmp_path)),
        below=tmp_path,
        environ=environ(tmp_path),
    )
    assert out == tmp_path / ".chains_generated" / "My_Chain_Name"
    assert (out / "chainlet_Greeter" / "model" / "model.py").is_file()
