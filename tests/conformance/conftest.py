"""One platform for all programs, each pushed once, all at the same time."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance.runners import (
    PROGRAMS,
    SECRETS,
    GatewayRunner,
    LocalRunner,
    Mode,
    Pushed,
    Runner,
    local_entrypoint,
)
from tests.e2e.conftest import Chains

GetPushed = Callable[[str], Pushed]


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chains]:
    home = Path(tempfile.mkdtemp(prefix="chains-conform-"))
    tool = Chains(home=home, cwd=tmp_path_factory.mktemp("conformance"))
    try:
        tool.ok("platform", "up")
        for name, value in SECRETS.items():
            tool.ok("secrets", "set", name, stdin=value)
        yield tool
    finally:
        tool.run("platform", "down")
        left = tool.processes()
        for process in left:
            process.kill()
        shutil.rmtree(home, ignore_errors=True)
    assert not left, f"left running: {[p.cmdline() for p in left]}"


@pytest.fixture(scope="session")
def pushed(platform: Chains, request: pytest.FixtureRequest) -> Iterator[GetPushed]:
    """The deployment of a program; those of all selected tests are pushed at the same time."""

    def push(name: str) -> Pushed:
        done = platform.ok("push", str(PROGRAMS / f"{name}.py"), "--output", "json", timeout=280)
        token = (platform.home / "platform" / "token").read_text().strip()
        return Pushed(done.result["deployment"]["run_remote_url"], token)

    names = dict.fromkeys(name for item in request.session.items for name in _programs(item))
    with ThreadPoolExecutor(4) as pool:
        pushes = {name: pool.submit(push, name) for name in names}
        yield lambda name: pushes[name].result()


def _programs(item: pytest.Item) -> tuple[str, ...]:
    """What the test's module says that it needs: `PROGRAM = ("file", "Entrypoint")`, or `PROGRAMS`."""
    is_ours = "conformance" in item.path.parts and item.get_closest_marker("e2e") is not None
    if not isinstance(item, pytest.Function) or not is_ours:
        return ()
    module = item.module
    return getattr(module, "PROGRAMS", None) or getattr(module, "PROGRAM", ())[:1]


@pytest.fixture(scope="module")
def runner(request: pytest.FixtureRequest) -> Callable[[Mode], Runner]:
    """The program that the test's module names, `PROGRAM = ("file", "Entrypoint")`, in any mode."""
    name, entrypoint = request.module.PROGRAM
    made: dict[Mode, Runner] = {}

    def get(mode: Mode) -> Runner:
        if mode not in made:
            if mode is Mode.PLATFORM:
                deployed = request.getfixturevalue("pushed")(name)
                made[mode] = GatewayRunner(deployed, getattr(request.module, "IS_STREAM", False))
            else:
                made[mode] = LocalRunner(local_entrypoint(name, entrypoint, strict=mode is Mode.STRICT))
        return made[mode]

    return get
