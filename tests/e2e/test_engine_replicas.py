"""The process engine with real replicas of a package written by hand."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from chains_platform.engines.engine import ReplicaHandle, StartRequest
from chains_platform.engines.process import ProcessEngine, open_engine
from chains_platform.layout import Layout
from chains_platform.net.http1 import Client, request_head
from chains_platform.replicas.client import ReplicaClient
from chains_protocol.errors import Code, DiagnosticsError
from chains_protocol.manifest import SOURCE_DIR, SPEC_FILE, EnvironmentSpec
from chains_protocol.replica import ReplicaLaunch, ReplicaState
from chains_protocol.routes import ReplicaRoutes
from chains_protocol.rpc import PREDICT_PATH
from chains_protocol.spec import ChainletSpec, EndpointSpec, ParameterSpec

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SOURCE = """
import os, sys
import truss_chains as chains

class Hello(chains.ChainletBase):
    def __init__(self) -> None:
        print("loading", file=sys.stderr)
        {init}

    async def run_remote(self, name: str) -> str:
        return {result}
"""
ADMIN, EDGE = "admin-token", "edge-token"
SPEC = ChainletSpec(
    class_name="Hello",
    display_name="Hello",
    module="hello",
    qualname="Hello",
    file="hello.py",
    endpoint=EndpointSpec(
        parameters=(ParameterSpec(name="name", annotation="str"),),
        return_annotation="str",
        input_schema={"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        output_schema={"type": "string"},
    ),
)


@dataclass
class Kit:
    """An engine with a home of its own, and the replicas it started."""

    engine: ProcessEngine
    layout: Layout
    started: list[ReplicaHandle]

    def request(self, python: Path, init: str = "pass", result: str = "name") -> StartRequest:
        package = self.layout.packages / "p"
        (package / SOURCE_DIR).mkdir(parents=True, exist_ok=True)
        (package / SPEC_FILE).write_text(SPEC.model_dump_json())
        source = SOURCE.replace("{init}", init).replace("{result}", result)
        (package / SOURCE_DIR / "hello.py").write_text(source)
        launch = ReplicaLaunch(
            replica_id="hello-1",
            deployment="abc",
            admin_token=ADMIN,
            package_digest="0" * 64,
            routes=ReplicaRoutes(accepts=(EDGE,)),
        )
        return StartRequest(
            replica_id="hello-1",
            package_dir=package,
            python=python,
            launch=launch,
            log_dir=self.layout.replica("hello-1"),
            env_variables={"MINE": "1", "PYTHONPATH": "/theirs"},
        )

    async def start(self, request: StartRequest) -> ReplicaHandle:
        handle = await self.engine.start(request)
        self.started.append(handle)
        return handle

    async def ready(self, handle: ReplicaHandle) -> None:
        client = ReplicaClient(handle.address, ADMIN, handle.replica_id)
        status = await client.wait_ready(lambda: self.engine.is_alive(handle), 60)
        assert (status.state, status.pid) == (ReplicaState.READY, handle.pid)
        await client.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
async def kit(home: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kit]:
    layout = Layout(home, tmp_path_factory.mktemp("s")).create()
    kit = Kit(open_engine(layout, {**os.environ, "A_TOKEN": "secret"}), layout, [])
    yield kit
    for handle in kit.started:
        await kit.engine.stop(handle, 0)


@pytest.fixture
async def python(kit: Kit) -> Path:
    spec = EnvironmentSpec(python_version=kit.engine.environments.pythons.own.version)
    return await kit.engine.ensure_environment(spec, lambda line: None)


async def call(handle: ReplicaHandle, name: str) -> object:
    http = Client()
    body = json.dumps({"name": name}).encode()
    head = request_head(
        "POST",
        PREDICT_PATH,
        [
            (b"host", b"localhost"),
            (b"authorization", b"Api-Key " + EDGE.encode()),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ],
    )
    answer = await http.send(handle.address, head + body)
    text = await answer.read()
    http.close()
    assert answer.status == 200, text
    return json.loads(text)


async def test_a_replica_starts_serves_and_stops(kit: Kit, python: Path) -> None:
    handle = await kit.start(kit.request(python, result='f"Hello, {name}"'))
    await kit.ready(handle)
    assert await call(handle, "you") == "Hello, you"
    assert kit.engine.is_alive(handle)
    exit_seen = asyncio.create_task(kit.engine.wait_exit(handle))
    await kit.engine.stop(handle, 20)
    await asyncio.wait_for(exit_seen, 5)
    assert not kit.engine.is_alive(handle)
    assert not Path(handle.address.removeprefix("unix:")).exists()
    assert "loading" in (kit.layout.replica("hello-1") / "stderr.log").read_text()


async def test_a_replica_sees_its_environment_and_nothing_of_the_authors(kit: Kit, python: Path) -> None:
    result = '__import__("json").dumps([dict(os.environ), os.getcwd(), sys.prefix, sys.path])'
    handle = await kit.start(kit.request(python, result=result))
    await kit.ready(handle)
    environ, cwd, prefix, path = json.loads(str(await call(handle, "")))
    assert environ["MINE"] == "1"
    assert environ["OMP_NUM_THREADS"] == "1"
    assert "A_TOKEN" not in environ
    assert environ["PYTHONPATH"].endswith(":/theirs")
    assert environ["PATH"].startswith(f"{python.parent}:")
    assert cwd == str(kit.layout.replica("hello-1"))
    assert prefix == str(python.parent.parent)
    assert path.index(str(kit.engine.runtime())) < path.index("/theirs")
    assert cwd not in path
    assert ADMIN not in json.dumps(environ)


async def test_a_failing_init_is_reported_with_its_traceback(kit: Kit, python: Path) -> None:
    request = kit.request(python, init='raise ValueError("no weights")')
    handle = await kit.start(request)
    await asyncio.wait_for(kit.engine.wait_exit(handle), 60)
    (found,) = kit.engine.failure(handle, request.log_dir)
    assert found.code is Code.INIT_FAILED
    assert "no weights" in f"{found.message}{found.detail}"


async def test_a_crash_is_reported_with_the_signal_and_the_last_output(kit: Kit, python: Path) -> None:
    request = kit.request(python, init='raise ValueError("an earlier failure")')
    first = await kit.start(request)
    await asyncio.wait_for(kit.engine.wait_exit(first), 60)
    request = kit.request(python)
    handle = await kit.start(request)
    await kit.ready(handle)
    os.kill(handle.pid, signal.SIGKILL)
    await asyncio.wait_for(kit.engine.wait_exit(handle), 20)
    (found,) = kit.engine.failure(handle, request.log_dir)
    assert found.code is Code.REPLICA_CRASHED
    assert "SIGKILL" in found.message
    assert "loading" in (found.detail or "")
    assert "earlier" not in (found.detail or "")


async def test_a_replica_of_an_earlier_control_plane_is_adopted(kit: Kit, python: Path) -> None:
    handle = await kit.start(kit.request(python))
    await kit.ready(handle)
    later = open_engine(kit.layout, os.environ)
    assert later.is_alive(handle)
    assert not later.is_alive(replace(handle, started_at=handle.started_at - 3600))
    exit_seen = asyncio.create_task(later.wait_exit(handle))
    await later.stop(handle, 20)
    await asyncio.wait_for(exit_seen, 5)


async def test_an_interpreter_that_is_not_there_is_a_diagnostic(kit: Kit) -> None:
    with pytest.raises(DiagnosticsError) as caught:
        await kit.start(kit.request(Path("/no/such/python")))
    assert caught.value.diagnostics[0].code is Code.REPLICA_CRASHED


async def test_waiting_for_a_replica_that_ends_is_over_at_once(kit: Kit, python: Path) -> None:
    handle = await kit.start(kit.request(python, init="os._exit(9)"))
    with pytest.raises(DiagnosticsError) as caught:
        await kit.ready(handle)
    assert caught.value.diagnostics[0].code is Code.REPLICA_CRASHED
    (found,) = kit.engine.failure(handle, kit.layout.replica("hello-1"))
    assert "exit code 9" in found.message


async def test_waiting_is_bounded(kit: Kit, python: Path) -> None:
    handle = await kit.start(kit.request(python, init="__import__('time').sleep(60)"))
    client = ReplicaClient(handle.address, ADMIN, "hello-1")
    with pytest.raises(DiagnosticsError) as caught:
        await client.wait_ready(lambda: kit.engine.is_alive(handle), 2)
    assert caught.value.diagnostics[0].code is Code.REPLICA_START_TIMED_OUT
    await client.close()


async def test_replicas_that_nobody_knows_are_killed(kit: Kit, python: Path) -> None:
    """What a killed control plane had just started and not yet written down."""
    request = kit.request(python)
    unseen = await kit.start(request)
    known = await kit.start(replace(request, replica_id="hello-2"))
    await kit.ready(known)

    assert await kit.engine.stop_strays([known]) == 1

    assert (kit.engine.is_alive(unseen), kit.engine.is_alive(known)) == (False, True)
    assert await kit.engine.stop_strays([known]) == 0
