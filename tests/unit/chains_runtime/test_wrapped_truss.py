"""A replica that serves a wrapped Truss, and a Chainlet that calls it (G-60, R-31 to R-33)."""

import asyncio
import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from chains_protocol.errors import Code, DiagnosticsError
from chains_protocol.kinds import ChainletKind
from chains_protocol.replica import ReplicaState
from chains_protocol.routes import Callee, DeploymentRoutes, ReplicaRoutes, ReplicaSet
from chains_protocol.rpc import BINARY_TYPE
from chains_protocol.spec import ChainletSpec, ComputeSpec
from chains_runtime.package import open_package
from chains_runtime.relay import Head, inner_path
from tests.unit.chains_runtime.conftest import TOKEN, Running, Start, loaded
from tests.unit.chains_runtime.packages import dependency, write_package
from truss_chains.codec import decode, encode

CONFIG = {
    "model_module_dir": "model",
    "model_class_filename": "model.py",
    "model_class_name": "Model",
    "bundled_packages_dir": "packages",
    "data_dir": "data",
    "model_metadata": {"scale": 3},
}


def write_truss(root: Path, model: str, files: Mapping[str, str] | None = None, **config: Any) -> Path:
    """A package that wraps a Truss, as the tool makes it."""
    spec = ChainletSpec(
        class_name="Wrapped",
        display_name="My Truss",
        kind=ChainletKind.TRUSS,
        module="chain",
        qualname="Wrapped",
        file="chain.py",
        compute=ComputeSpec(predict_concurrency=4),
    )
    written = {
        "model/model.py": textwrap.dedent(model),
        "chains.json": spec.model_dump_json(),
        "truss.json": json.dumps({"config": {**CONFIG, **config}, "directory": "theirs"}),
        **(files or {}),
    }
    for path, text in written.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return root


FULL = """
    import asyncio, os
    from helper_of_theirs import twice
    from .beside import SUFFIX

    class Model:
        loads = 0

        def __init__(self, config, data_dir, secrets, environment, lazy_data_resolver, **kwargs):
            lazy_data_resolver.block_until_download_complete()
            self.scale = config["model_metadata"]["scale"]
            self.words = (data_dir / "words.txt").read_text()
            self.key = secrets["key"]
            self.environment = environment
            self.set_up = None

        def setup_environment(self, environment):
            self.set_up = environment["name"]

        async def load(self):
            Model.loads += 1
            self.loop = asyncio.get_running_loop()

        async def preprocess(self, inputs):
            return inputs["n"]

        def predict(self, n):
            return twice(n) * self.scale

        def postprocess(self, value):
            facts = [self.words, self.key, self.environment, self.set_up, Model.loads]
            return {"value": value, "facts": facts, "suffix": SUFFIX}
"""


async def test_a_model_is_made_loaded_once_and_called_in_steps(start: Start, tmp_path: Path) -> None:
    """The arguments it names, `load` once, then the three steps, sync or async, for every call."""
    files = {
        "model/beside.py": "SUFFIX = '!'\n",
        "packages/helper_of_theirs.py": "def twice(n):\n    return 2 * n\n",
        "data/words.txt": "w",
    }
    app = await start(write_truss(tmp_path, FULL, files), secrets={"key": "k"}, environment="production")
    expected = {
        "value": 30,
        "facts": ["w", "k", {"name": "production"}, "production", 1],
        "suffix": "!",
    }
    assert await app.value({"n": 5}) == expected
    assert await app.value({"n": 5}) == expected
    assert (app.socket.parent / "data" / "words.txt").read_text() == "w"  # the working directory (G-45)


KINDS = """
    import asyncio
    import numpy as np

    class Model:
        def predict(self, inputs):
            kind = inputs["kind"]
            if kind == "value":
                return inputs["given"]
            if kind == "array":
                return {"doubled": np.asarray(inputs["array"]) * 2}
            if kind == "object":
                return object()
            if kind == "fail":
                raise ValueError("no luck")
            if kind == "sync":
                return (f"part {n};" for n in range(inputs["count"]))
            return self.later(inputs["count"])

        async def later(self, count):
            for n in range(count):
                await asyncio.sleep(0)
                yield f"part {n};".encode()
            if count > 5:
                raise RuntimeError("broke")
"""


@pytest.mark.parametrize("given", [[1, {"a": None}], "text", 7, None, {"deep": [[]]}])
async def test_any_json_goes_in_and_comes_out(start: Start, tmp_path: Path, given: object) -> None:
    app = await start(write_truss(tmp_path, KINDS))
    assert await app.value({"kind": "value", "given": given}) == given


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_generator_of_either_kind_is_a_stream(start: Start, tmp_path: Path, kind: str) -> None:
    """R-26; and its slot is free again afterwards."""
    app = await start(write_truss(tmp_path, KINDS))
    for _ in range(6):
        answer = await app.call({"kind": kind, "count": 3})
        assert answer.content == b"part 0;part 1;part 2;"
        assert answer.headers["content-type"] == BINARY_TYPE


async def test_a_stream_that_fails_breaks_off(start: Start, tmp_path: Path) -> None:
    """R-27."""
    app = await start(write_truss(tmp_path, KINDS))
    with pytest.raises(httpx.RemoteProtocolError):
        await app.call({"kind": "async", "count": 6})


async def test_arrays_are_lists_in_json_and_arrays_in_msgpack(start: Start, tmp_path: Path) -> None:
    app = await start(write_truss(tmp_path, KINDS))
    assert await app.value({"kind": "array", "array": [1, 2]}) == {"doubled": [2, 4]}
    headers = {"authorization": f"Api-Key {TOKEN}", "content-type": BINARY_TYPE}
    body = encode({"kind": "array", "array": np.arange(3, dtype=np.float32)}, binary=True)
    answer = await app.http.post("/v1/models/model:predict", content=body, headers=headers)
    assert (decode(answer.content, binary=True)["doubled"] == [0, 2, 4]).all()


async def test_errors_of_the_model_and_of_the_caller_are_told_apart(start: Start, tmp_path: Path) -> None:
    """R-34."""
    app = await start(write_truss(tmp_path, KINDS), user_root="/home/author")
    failed = await app.call({"kind": "fail"})
    detail = failed.json()["error"]
    assert (failed.status_code, detail["exception_cls_name"]) == (500, "ValueError")
    assert detail["user_stack_trace"][-1]["filename"] == "/home/author/theirs/model/model.py"
    odd = await app.call({"kind": "object"})
    assert odd.status_code == 500 and "can't be written" in odd.json()["error"]
    headers = {"authorization": f"Api-Key {TOKEN}"}
    unread = await app.http.post("/v1/models/model:predict", content=b"{", headers=headers)
    assert unread.status_code == 400


REQUESTS = """
    from starlette.requests import Request
    from starlette.responses import JSONResponse

    class Model:
        def predict(self, inputs, request: Request):
            return JSONResponse({"got": inputs, "trace": request.headers["traceparent"]}, status_code=202)
"""


async def test_a_request_comes_in_and_a_response_goes_out(start: Start, tmp_path: Path) -> None:
    app = await start(write_truss(tmp_path, REQUESTS))
    answer = await app.call({"a": 1}, headers={"traceparent": "00-x"})
    assert (answer.status_code, answer.json()) == (202, {"got": {"a": 1}, "trace": "00-x"})


BLOCKING = """
    import threading

    class Model:
        began, go_on = threading.Event(), threading.Event()

        def predict(self, inputs):
            if inputs:
                Model.began.set()
                Model.go_on.wait(20)
            return 1
"""


async def test_sync_code_keeps_its_slot_until_it_has_ended(start: Start, tmp_path: Path) -> None:
    """R-30: a thread goes on after its caller has gone."""
    app = await start(write_truss(tmp_path, BLOCKING))
    model = type(app.replica.newest.instance)
    caller = asyncio.create_task(app.call({"x": 1}))
    await asyncio.to_thread(model.began.wait, 10)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert app.replica.in_flight == 1
    model.go_on.set()
    assert (await app.http.post("/v1/models/model:predict", content=b"null", headers=AUTH)).json() == 1


AUTH = {"authorization": f"Api-Key {TOKEN}"}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("class Model:\n    def load(self):\n        raise ValueError('no weights')\n", "no weights"),
        ("class Other: pass\n", "Model"),
        ("class Model: pass\n", "has no method `predict`"),
        ("import nothing_like_it\n", "nothing_like_it"),
    ],
)
async def test_a_model_that_cannot_be_loaded_is_told(
    start: Start, tmp_path: Path, model: str, said: str
) -> None:
    """CH501."""
    app = await start(write_truss(tmp_path, model), wait=False)
    await loaded(app.replica)
    assert app.replica.state is ReplicaState.FAILED
    (found,) = app.replica.diagnostics
    assert found.code is Code.INIT_FAILED and said in found.message


def test_a_package_without_its_model_is_refused(tmp_path: Path) -> None:
    root = write_truss(tmp_path, "")
    (root / "model" / "model.py").unlink()
    with pytest.raises(DiagnosticsError, match=r"model/model\.py"):
        open_package(root)


# --- calling it


CALLER = """
    import asyncio
    import httpx
    import truss_chains as chains
    from truss_chains.remote_chainlet.truss_chainlet import get_service_urls

    class Wrapped(chains.TrussChainlet):
        truss_dir = "."

    class Caller(chains.ChainletBase):
        def __init__(self, wrapped: Wrapped = chains.depends(Wrapped), context=chains.depends_context()):
            self.wrapped, self.context = wrapped, context

        async def run_remote(self, way: str) -> object:
            call = self.wrapped.http_call_args()
            body = {"kind": "value", "given": way}
            if way == "blocking":
                post = lambda: httpx.post(call.url, headers=dict(call.headers), json=body, trust_env=False)
                return (await asyncio.to_thread(post)).json()
            if way == "stub":
                url = get_service_urls("My Truss").predict_url
                stub = chains.StubBase.from_url(url, self.context)
                return await stub.predict_async(body)
            async with httpx.AsyncClient(trust_env=False) as client:
                if way == "stream":
                    args = {"kind": "sync", "count": 3}
                    found = []
                    async with client.stream("POST", call.url, headers=call.headers, json=args) as answer:
                        async for text in answer.aiter_text():
                            found.append(text)
                    return "".join(found)
                if way == "path":
                    args = self.wrapped.http_call_args(sync_path="v1/models/model/loaded")
                    return (await client.get(args.url, headers=args.headers)).status_code
                if way == "no key":
                    return (await client.post(call.url, json=body)).status_code
                if way == "other":
                    url = call.url.replace("My%20Truss", "X")
                    return (await client.post(url, headers=call.headers)).status_code
                headers = [name for name in call.headers]
                return [(await client.post(call.url, headers=call.headers, json=body)).json(), headers]
"""


@pytest.fixture
async def caller(start: Start, tmp_path: Path) -> Running:
    truss = await start(write_truss(tmp_path / "truss", KINDS))
    callee = Callee(
        class_name="Wrapped",
        display_name="My Truss",
        sets=(ReplicaSet(addresses=(truss.address,), token=TOKEN),),
    )
    edge = dependency("Wrapped", "wrapped").model_copy(update={"display_name": "My Truss"})
    package = write_package(
        tmp_path / "caller", {"chain.py": CALLER}, "Caller", dependencies=(edge,), takes_context=True
    )
    routes = ReplicaRoutes(
        deployments=(DeploymentRoutes(deployment="d", callees=(callee,)),), accepts=(TOKEN,)
    )
    return await start(package, routes=routes)


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("plain", ["plain", ["Authorization", "x-chains-revision"]]),
        ("blocking", "blocking"),
        ("stub", "stub"),
        ("stream", "part 0;part 1;part 2;"),
        ("path", 200),
        ("no key", 401),
        ("other", 404),
    ],
)
async def test_a_chainlet_calls_it_with_the_client_of_its_choice(
    caller: Running, way: str, expected: object
) -> None:
    """1.11, R-33: also a blocking one, and a stub made from the address."""
    assert await caller.value({"way": way}, version=1) == expected


async def test_a_call_without_a_replica_to_answer_is_503(caller: Running) -> None:
    caller.replica.set_routes(ReplicaRoutes(accepts=(TOKEN,)))
    failed = await caller.call({"way": "plain"})
    assert failed.status_code == 500 and "JSONDecodeError" in failed.text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/chainlet/A/run_remote", ("A", "/v1/models/model:predict")),
        ("/chainlet/A%2Fb/websocket?x=1", ("A/b", "/v1/websocket?x=1")),
        ("/chainlet/A/sync/v1/embeddings", ("A", "/v1/embeddings")),
        ("/chainlet/A", None),
        ("/chainlet/A/other", None),
        ("/v1/models/model:predict", None),
    ],
)
def test_addresses_of_siblings(path: str, expected: tuple[str, str] | None) -> None:
    assert inner_path(path) == expected


@pytest.mark.parametrize(
    "text", ["GET /\r\n\r\n", "GET x HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n"]
)
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Head.parse(text.encode())


WEBSOCKET = """
    class Model:
        async def websocket(self, websocket):
            await websocket.send_text((await websocket.receive_text()).upper())
"""


async def test_a_websocket_model_is_served_and_reached(start: Start, tmp_path: Path) -> None:
    """R-40; the class of its socket is starlette's, once that is loaded."""
    from websockets.asyncio.client import unix_connect

    app = await start(write_truss(tmp_path, WEBSOCKET))
    async with unix_connect(str(app.socket), "ws://replica/v1/websocket", additional_headers=AUTH) as socket:
        await socket.send("hello")
        assert await socket.recv() == "HELLO"
