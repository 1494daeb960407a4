"""Requests and answers of a replica (spec 7.3 and 7.5)."""

import asyncio
import json
from pathlib import Path

import msgpack
import pytest

from chains_protocol.replica import ReplicaState
from chains_runtime.package import open_package
from tests.unit.chains_runtime.conftest import ADMIN, TOKEN, Start, until
from tests.unit.chains_runtime.packages import write_package

ECHO = """
    import asyncio
    import truss_chains as chains
    from pydantic import BaseModel

    class Item(BaseModel):
        text: str
        n: int = 1

    class Odd(Exception):
        pass

    class Echo(chains.ChainletBase):
        def __init__(self):
            self.cancelled = asyncio.Event()

        async def run_remote(self, item: Item, note: str = "none", mode: str = "") -> tuple[Item, str]:
            if mode == "fail":
                raise Odd("no")
            if mode == "exit":
                raise SystemExit(3)
            if mode == "bad":
                return "nothing like it"
            if mode == "slow":
                try:
                    await asyncio.sleep(30)
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise
            return Item(text=item.text * item.n, n=item.n), repr(note)
"""
ITEM = {"text": "ab", "n": 2}
DONE = {"text": "abab", "n": 2}
AUTH = {"authorization": f"Api-Key {TOKEN}"}


async def test_values_are_bare_and_absent_parameters_keep_the_callees_default(
    start: Start, tmp_path: Path
) -> None:
    """R-20, R-21, R-24."""
    echo = await start(write_package(tmp_path, {"chain.py": ECHO}, "Echo"))
    assert await echo.value({"item": ITEM}) == [DONE, "'none'"]
    assert await echo.value({"item": ITEM, "note": None, "unknown": 1}) == [DONE, "None"]


async def test_bad_input_is_400_with_a_line_per_problem(start: Start, tmp_path: Path) -> None:
    """R-34."""
    echo = await start(write_package(tmp_path, {"chain.py": ECHO}, "Echo"))
    answer = await echo.call({"item": {"n": "x"}})
    assert answer.status_code == 400
    assert answer.json()["error"].splitlines() == [
        "Input does not fit `Echo`:",
        "  `item.text`: Field required",
        "  `item.n`: Input should be a valid integer, unable to parse string as an integer",
    ]
    assert (answer.headers["X-BASETEN-ERROR-SOURCE"], answer.headers["X-BASETEN-ERROR-CODE"]) == ("04", "700")
    answer = await echo.http.post("/v1/models/model:predict", content=b"{", headers=AUTH)
    assert (answer.status_code, "Invalid JSON" in answer.json()["error"]) == (400, True)


async def test_msgpack_in_is_msgpack_out(start: Start, tmp_path: Path) -> None:
    """R-23, R-25: the encoding follows `Content-Type`, whatever its case and parameters."""
    echo = await start(write_package(tmp_path, {"chain.py": ECHO}, "Echo"))
    headers = {**AUTH, "content-type": "Application/Octet-Stream; x=y"}
    answer = await echo.http.post(
        "/v1/models/any:predict_binary", content=msgpack.packb({"item": ITEM}), headers=headers
    )
    assert answer.headers["content-type"] == "application/octet-stream"
    assert msgpack.unpackb(answer.content) == [DONE, "'none'"]
    answer = await echo.http.post("/v1/models/any:predict", content=b"\xc1", headers=headers)
    assert (answer.status_code, answer.headers["x-baseten-error-code"]) == (400, "700")


async def test_an_exception_becomes_a_detail_with_user_frames_and_the_authors_paths(
    start: Start, tmp_path: Path
) -> None:
    """R-34, X-01, X-02."""
    echo = await start(write_package(tmp_path, {"chain.py": ECHO}, "Echo"), user_root="/home/me/proj")
    answer = await echo.call({"item": ITEM, "mode": "fail"})
    assert (answer.status_code, answer.headers["x-baseten-error-code"]) == (500, "600")
    detail = answer.json()["error"]
    assert (detail["exception_cls_name"], detail["exception_module_name"]) == ("Odd", "chain")
    (frame,) = detail["user_stack_trace"]
    assert frame["filename"] == "/home/me/proj/chain.py"
    assert (frame["name"], frame["line"]) == ("run_remote", 'raise Odd("no")')
    assert echo.replica.errors_total == 1


sync_is_allowed = pytest.mark.filterwarnings("ignore:.*run_remote.*:DeprecationWarning")  # V-53

PICKING = """
    import truss_chains as chains

    class Sync(chains.ChainletBase):
        def run_remote(self, text: str) -> str:
            return self.pick({}, text)

        def pick(self, found, text):
            return found[text]
"""


@sync_is_allowed
async def test_an_exception_of_a_sync_method_shows_the_users_frames(start: Start, tmp_path: Path) -> None:
    """X-01: not those of the pool of threads."""
    sync = await start(write_package(tmp_path, {"chain.py": PICKING}, "Sync"))
    detail = (await sync.call({"text": "x"})).json()["error"]
    assert [frame["name"] for frame in detail["user_stack_trace"]] == ["run_remote", "pick"]


async def test_system_exit_of_user_code_ends_the_call_not_the_replica(start: Start, tmp_path: Path) -> None:
    echo = await start(write_package(tmp_path, {"chain.py": ECHO}, "Echo"))
    answer = await echo.call({"item": ITEM, "mode": "exit"})
    assert (answer.status_code, answer.json()["error"]["exception_cls_name"]) == (500, "SystemExit")
    assert await echo.value({"item": ITEM})


async def test_a_result_that_does_not_fit_is_500_and_says_how(start: Start, tmp_path: Path) -> None:
    """R-34, WP-11."""
    echo = await start(write_package(tmp_path, {"chain.py": ECHO}, "Echo"))
    answer = await echo.call({"item": ITEM, "mode": "bad"})
    assert (answer.status_code, answer.headers["x-baseten-error-code"]) == (500, "600")
    assert answer.json()["error"].startswith(
        "Internal error in model/chainlet: the result of `Echo.run_remote`"
    )


async def test_tokens_open_exactly_their_routes(start: Start, tmp_path: Path) -> None:
    echo = await start(write_package(tmp_path, {"chain.py": ECHO}, "Echo"))
    http = echo.http
    for header in ({}, {"authorization": "Api-Key wrong"}, {"authorization": f"Bearer {ADMIN}"}):
        assert (await http.post("/v1/models/model:predict", json={}, headers=header)).status_code == 401
    assert (await http.get("/_chains/status", headers=AUTH)).status_code == 401
    status = await http.get("/_chains/status", headers={"authorization": f"Bearer {ADMIN}"})
    assert status.json()["state"] == "ready"
    assert (await http.get("/")).json() is True
    assert (await http.get("/v1/models/whatever")).json() == {}


async def test_every_admin_route_refuses_callers(start: Start, tmp_path: Path) -> None:
    echo = await start(write_package(tmp_path, {"chain.py": ECHO}, "Echo"))
    routes = [("GET", "status"), ("PUT", "routes")]
    routes += [("POST", name) for name in ("prepare", "commit", "abort", "retire", "drain")]
    for method, name in routes:
        answer = await echo.http.request(method, f"/_chains/{name}", json={}, headers=AUTH)
        assert answer.status_code == 401, name


async def test_unknown_paths_and_methods(start: Start, tmp_path: Path) -> None:
    """R-10, R-11."""
    echo = await start(write_package(tmp_path, {"chain.py": ECHO}, "Echo"))
    answer = await echo.http.get("/nothing")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
    assert (await echo.http.get("/v1/models/model:predict")).status_code == 405
    answer = await echo.http.post("/v1/chat/completions", json={})
    assert (answer.status_code, answer.headers["x-baseten-error-code"]) == (404, "700")


async def test_a_deadline_ends_the_call(start: Start, tmp_path: Path) -> None:
    echo = await start(write_package(tmp_path, {"chain.py": ECHO}, "Echo"))
    answer = await echo.call({"item": ITEM, "mode": "slow"}, headers={"x-chains-deadline": "0.05"})
    assert answer.status_code == 504
    assert echo.replica.newest.instance.cancelled.is_set()


async def test_a_call_without_time_left_is_not_executed(start: Start, tmp_path: Path) -> None:
    echo = await start(write_package(tmp_path, {"chain.py": ECHO}, "Echo"))
    answer = await echo.call({"item": ITEM}, headers={"x-chains-deadline": "0"})
    assert answer.status_code == 504
    assert echo.replica.slots.busy == 0


async def test_a_client_that_leaves_cancels_its_call(start: Start, tmp_path: Path) -> None:
    """R-29."""
    echo = await start(write_package(tmp_path, {"chain.py": ECHO}, "Echo"))
    call = asyncio.create_task(echo.call({"item": ITEM, "mode": "slow"}))
    async with asyncio.timeout(5):
        await until(lambda: echo.replica.in_flight)
        call.cancel()
        await echo.replica.newest.instance.cancelled.wait()
        await until(lambda: not echo.replica.in_flight)
    assert echo.replica.slots.busy == 0


async def test_a_full_queue_answers_503_with_retry_after(start: Start, tmp_path: Path) -> None:
    """R-30."""
    package = write_package(tmp_path, {"chain.py": ECHO}, "Echo", concurrency=1)
    echo = await start(package, queue_limit=1)
    first = [asyncio.create_task(echo.call({"item": ITEM, "mode": "slow"})) for _ in range(2)]
    await until(lambda: not (echo.replica.slots.queued < 1))
    answer = await echo.call({"item": ITEM})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert (echo.replica.slots.busy, echo.replica.slots.queued) == (1, 1)
    for call in first:
        call.cancel()


SYNC = """
    import threading, time
    import truss_chains as chains
    from truss_chains.calling import CURRENT_REQUEST

    class Slow(chains.ChainletBase):
        def __init__(self):
            self.gate = threading.Event()
        def run_remote(self, wait: bool = False) -> str:
            if wait:
                self.gate.wait(20)
            return CURRENT_REQUEST.get().forwarded.get("x-baseten-request-id", "none")
"""


@sync_is_allowed
async def test_sync_methods_run_in_threads_with_the_requests_context(start: Start, tmp_path: Path) -> None:
    """R-07, R-22, R-30."""
    slow = await start(write_package(tmp_path, {"chain.py": SYNC}, "Slow", concurrency=1))
    waiting = asyncio.create_task(slow.call({"wait": True}, headers={"x-baseten-request-id": "a1"}))
    await until(lambda: slow.replica.slots.busy)
    assert (await slow.http.get("/v1/models/model")).status_code == 200  # the loop is free
    slow.replica.newest.instance.gate.set()
    assert (await waiting).json() == "a1"
    assert await slow.value({}) == "none"


@sync_is_allowed
async def test_a_sync_call_keeps_its_slot_after_its_client_left(start: Start, tmp_path: Path) -> None:
    """Its thread still works, so another call beside it would be one too many."""
    slow = await start(write_package(tmp_path, {"chain.py": SYNC}, "Slow", concurrency=1))
    waiting = asyncio.create_task(slow.call({"wait": True}))
    async with asyncio.timeout(5):
        await until(lambda: slow.replica.slots.busy)
        waiting.cancel()
        await asyncio.wait([waiting])
        next_one = asyncio.create_task(slow.call({}))
        await until(lambda: slow.replica.slots.queued)
        assert slow.replica.slots.busy == 1
        slow.replica.newest.instance.gate.set()
        assert (await next_one).json() == "none"
        await until(lambda: not slow.replica.in_flight)


HEALTH = """
    import truss_chains as chains
    class Moody(chains.ChainletBase):
        def __init__(self):
            self.mood = True
        def is_healthy(self) -> bool:
            if self.mood is None:
                raise ValueError("no idea")
            return self.mood
        async def run_remote(self) -> int:
            return 7
"""


async def test_readiness_asks_the_chainlet(start: Start, tmp_path: Path) -> None:
    """R-12."""
    moody = await start(write_package(tmp_path, {"chain.py": HEALTH}, "Moody"))
    found = []
    for mood in (True, False, None):
        moody.replica.newest.instance.mood = mood
        found.append((await moody.http.get("/v1/models/model")).status_code)
    assert found == [200, 503, 503]
    assert moody.replica.state is ReplicaState.UNHEALTHY
    assert (await moody.http.get("/v1/models/model/loaded")).status_code == 200
    assert await moody.value({}) == 7


async def test_schema_and_metrics(start: Start, tmp_path: Path) -> None:
    moody = await start(write_package(tmp_path, {"chain.py": HEALTH}, "Moody"))
    schema = (await moody.http.get("/v1/models/model/schema", headers=AUTH)).json()
    assert schema == {"input_schema": {}, "output_schema": None, "supports_streaming": False}
    await moody.value({})
    assert "chainlet_requests_total 1\n" in (await moody.http.get("/metrics")).text


CONTEXT = """
    import truss_chains as chains
    class Ctx(chains.ChainletBase):
        def __init__(self, context: chains.DeploymentContext = chains.depends_context()):
            self.context = context
        async def run_remote(self) -> dict[str, str]:
            s = self.context.secrets
            try:
                s["gone"]
            except Exception as error:
                problem = str(error)
            return {
                "key": s["key"], "in": str("key" in s), "absent": str("gone" in s), "get": str(s.get("gone")),
                "problem": problem, "env": self.context.environment.name,
                "data": (self.context.data_dir / "a.txt").read_text(),
            }
"""


async def test_the_context_holds_what_was_handed_over(start: Start, tmp_path: Path) -> None:
    """R-05, R-31."""
    package = write_package(
        tmp_path,
        {"chain.py": CONTEXT},
        "Ctx",
        takes_context=True,
        secret_keys=["key", "gone"],
        data={"a.txt": "from data"},
    )
    ctx = await start(package, secrets={"key": "v1", "gone": "***"}, environment="staging")
    found = await ctx.value({})
    assert "`gone`" in found.pop("problem")
    assert found == {
        "key": "v1",
        "in": "True",
        "absent": "False",
        "get": "None",
        "env": "staging",
        "data": "from data",
    }


async def test_an_auto_mock_runs_no_user_code(start: Start, tmp_path: Path) -> None:
    from chains_protocol.spec import EndpointSpec, MockSpec, ParameterSpec

    endpoint = EndpointSpec(
        parameters=(ParameterSpec(name="x", annotation="int"),), output_schema={"type": "integer"}
    )
    package = write_package(
        tmp_path, {"chain.py": "raise SystemExit"}, "Any", endpoint=endpoint, mock=MockSpec(kind="auto")
    )
    assert open_package(package).is_auto_mock
    mock = await start(package)
    assert isinstance(await mock.value({"x": 1}), int)
    assert (await mock.call({})).status_code == 400
    assert json.loads(mock.replica.status().model_dump_json())["load_count"] == 0
