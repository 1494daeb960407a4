"""A Chainlet inside a Truss server (G-56, G-57, R-31, R-32)."""

import asyncio
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chains_protocol.rpc import PREDICT_PATH
from chains_runtime.endpoint import BadInput
from chains_runtime.http_server import HttpServer
from chains_runtime.server import ReplicaApp
from chains_runtime.serving import bind_tcp
from chains_runtime.truss_model import ChainletModel
from tests.unit.chains_runtime.conftest import Start
from tests.unit.chains_runtime.packages import write_package
from truss_chains.context import CHAIN_API_KEY_SECRET
from truss_chains.validation import scope

pytestmark = pytest.mark.filterwarnings("ignore:.*run_remote.*:DeprecationWarning")  # V-53
REQUEST = SimpleNamespace(headers={"Content-Type": "application/json", "traceparent": "00-aa-bb-01"})

SOURCE = """
    from collections.abc import AsyncIterator
    import truss_chains as chains
    from pydantic import BaseModel
    from truss_chains.calling import CURRENT_REQUEST

    class Out(BaseModel):
        text: str

    class TrussLeaf(chains.ChainletBase):
        async def run_remote(self, text: str, n: int = 2) -> Out:
            if n < 0:
                raise ValueError("negative")
            return Out(text=text * n)

    class TrussFront(chains.ChainletBase):
        def __init__(
            self,
            leaf: TrussLeaf = chains.depends(TrussLeaf),
            context: chains.DeploymentContext = chains.depends_context(),
        ):
            self.leaf, self.context = leaf, context
        async def run_remote(self, text: str, n: int = 3) -> Out:
            return await self.leaf.run_remote(text, n)
        def is_healthy(self) -> bool:
            return self.context.environment.name == "staging"

    class TrussSync(chains.ChainletBase):
        def run_remote(self) -> str:
            return CURRENT_REQUEST.get().traceparent

    class TrussStream(chains.ChainletBase):
        async def run_remote(self, n: int) -> AsyncIterator[str]:
            for i in range(n):
                yield str(i)

    class TrussStandIn:
        async def run_remote(self, text):
            return text.upper()
"""


class Secrets(dict[str, str]):
    """A store with the manners of the server's."""

    def __contains__(self, name: object) -> bool:
        raise NotImplementedError


Make = Callable[..., ChainletModel]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Models of classes of one module of the test's own."""
    name = f"truss_{abs(hash(str(tmp_path)))}"
    write_package(tmp_path, {f"{name}.py": SOURCE}, "TrussFront", module=name)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))

    def model(class_name: str, **arguments: Any) -> ChainletModel:
        named = type("Model", (ChainletModel,), {"module": name, "qualname": class_name})
        with scope():
            made: ChainletModel = named(config=arguments.pop("config", {}), **arguments)
        return made

    return model


async def test_predict_is_of_the_kind_of_the_method(make: Make) -> None:
    """G-57."""
    assert inspect.iscoroutinefunction(make("TrussLeaf").predict)
    assert inspect.isasyncgenfunction(make("TrussStream").predict)
    sync = make("TrussSync")
    sync.load()
    assert await asyncio.to_thread(sync.predict, {}, REQUEST) == "00-aa-bb-01"
    assert not hasattr(sync, "websocket")
    assert not hasattr(sync, "is_healthy")


async def test_inputs_are_validated_and_results_are_plain(make: Make) -> None:
    leaf = make("TrussLeaf")
    leaf.load()
    assert await leaf.predict({"text": "ab"}, REQUEST) == {"text": "abab"}
    with pytest.raises(BadInput, match="`text`: Field required"):
        await leaf.predict({}, REQUEST)
    with pytest.raises(ValueError, match="negative"):
        await leaf.predict({"text": "a", "n": -1}, REQUEST)


async def test_a_stand_in_may_be_a_plain_class(make: Make) -> None:
    """What `--mock NAME=FILE:CLASS` names need not be a Chainlet, nor say its types."""
    model = make("TrussStandIn")
    model.load()
    assert await model.predict({"text": "a"}, REQUEST) == "A"


async def test_streams_yield_bytes(make: Make) -> None:
    stream = make("TrussStream")
    stream.load()
    assert [chunk async for chunk in stream.predict({"n": 2}, REQUEST)] == [b"0", b"1"]


async def test_a_dependency_is_reached_at_the_mounted_address(
    make: Make, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-32, S-01; health is None before the Chainlet exists (R-12)."""
    leaf = await start(write_package(tmp_path / "leaf", {"chain.py": SOURCE}, "TrussLeaf"))
    listener = bind_tcp("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server = HttpServer(ReplicaApp(leaf.replica, leaf.patcher), lambda transport, request: transport.close())
    await server.listen(listener, 10)
    urls = {"TrussLeaf": {"predict_url": f"http://127.0.0.1:{port}{PREDICT_PATH}"}}
    config_file = tmp_path / "dynamic.json"
    config_file.write_text(json.dumps(urls))
    monkeypatch.setenv("CHAINS_DYNAMIC_CHAINLET_CONFIG", str(config_file))
    options = {"retries": 1, "timeout_sec": 10.0, "use_binary": False, "concurrency_limit": 3}
    service = {"name": "TrussLeaf", "display_name": "TrussLeaf", "options": options}
    config = {"model_metadata": {"chains_metadata": {"chainlet_to_service": {"TrussLeaf": service}}}}
    secrets = Secrets({CHAIN_API_KEY_SECRET: "edge-token"})
    front = make("TrussFront", config=config, data_dir=None, secrets=secrets, environment={"name": "staging"})
    assert await front.is_healthy() is None
    front.load()
    try:
        assert await front.is_healthy() is True
        assert await front.predict({"text": "ab"}, REQUEST) == {"text": "ababab"}
        with pytest.raises(ValueError, match="negative"):
            await front.predict({"text": "a", "n": -1}, REQUEST)
    finally:
        await front._chainlet.leaf._stub.aclose()
        await server.close(1)


def test_secrets_behave_like_a_mapping(make: Make) -> None:
    """R-31, WP-21."""
    model = make("TrussLeaf", secrets=Secrets({"a": "1", "b": "***"}))
    secrets = model._context.secrets
    assert (secrets["a"], "a" in secrets, "b" in secrets, secrets.get("c", "none")) == (
        "1",
        True,
        False,
        "none",
    )  # type: ignore[attr-defined]
    with pytest.raises(KeyError, match="`b` is missing"):
        _ = secrets["b"]
