"""How calls behave (L-05, L-08, L-09, R-07, R-12, R-30, S-05 to S-08)."""

import asyncio
from collections.abc import Callable

import httpx
import psutil
import pytest

from tests.conformance.runners import MODES, Case, Mode, Runner, load_program, local_entrypoint
from tests.e2e.conftest import Chains

PROGRAM = ("behaviour", "Behaviour")
load_program("behaviour")

NO_RETRIES = "L-08: plain calls have no retries"
NO_LIMITS = "L-08: plain calls have no limits"


def told(value: object = "", raised: str = "") -> dict[str, str]:
    return {"value": str(value), "raised": raised}


def case(name: str, expected: object, plain: object = None, rule: str = "") -> Case:
    return Case(name, {"case": name}, expected, plain, rule)


def local(name: str, expected: object, in_process: object, rule: str) -> Case:
    """One that differs in both local modes."""
    differs = {Mode.PLAIN: in_process, Mode.STRICT: in_process}
    return Case(name, {"case": name}, expected, rule=rule, differs=differs)


CASES = [
    case("sync from async", told("ABC")),
    case("sync in a thread", told("ABC")),
    case("sync calls sync", told(["ABC", "ABC", "ABC"])),
    local("sync runs in a thread", told(False), told(True), "L-09: a local sync call is direct; R-07"),
    case("flaky twice", told("call 3, 3 made"), told("RuntimeError, 1 made"), NO_RETRIES),
    case("flaky too often", told("RuntimeError, 3 made"), told("RuntimeError, 1 made"), NO_RETRIES),
    case("flaky with one attempt", told("RuntimeError, 1 made")),
    Case(
        "flaky http",
        {"case": "flaky http"},
        told("HTTPException, 1 made"),
        rule="X-05, X-07: a caller that has not loaded the class gets one that keeps its status",
        differs={Mode.PLATFORM: told("RemoteHTTPError, 1 made")},
    ),
    case("sync flaky case", told(2), told(raised="RuntimeError"), NO_RETRIES),
    case("fast enough", told("slept")),
    case("too slow", told(raised="TimeoutError"), told("slept"), NO_LIMITS),
    case("too slow is cancelled", told("timeout, cancelled"), told("no timeout"), NO_LIMITS),
    case("sync too slow", told(raised="TimeoutError"), told("slept"), NO_LIMITS),
    case("limit of the caller", told("timeout, cancelled"), told("no timeout"), NO_LIMITS),
    case("cancelled by the caller", told("cancelled")),
    case("limit of two", told(2), told(6), NO_LIMITS),
    local("one at a time", told(1), told(4), "R-30 is about a replica"),
    case("state is kept", told(1)),
    case("argument is changed", told([1]), told([1, 99]), "L-08: arguments are shared"),
    case("other attribute", told(raised="AttributeError"), told(True), "L-08: a plain call has the object"),
    case("secret", told("s3cret")),
    local("other secret", told(raised="SecretNotFound"), told(raised="KeyError"), "L-05: a plain mapping"),
    case("environment", told(None)),
    local(
        "context variable",
        told("none"),
        told("set by the caller"),
        "R-22: headers cross, context variables do not; a local call is in its caller's context",
    ),
    case("good", told("good")),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_behaviour(case: Case, mode: Mode, runner: Callable[[Mode], Runner]) -> None:
    assert await runner(mode).run(case.inputs) == case.expected_in(mode)


@pytest.mark.parametrize("mood", ["good", "bad", "raises"])
def test_is_healthy_in_this_process(mood: str) -> None:
    """R-12 is about replicas; a local instance has the method as written."""
    moody = local_entrypoint("behaviour", "Moody", strict=False)
    asyncio.run(moody.run_remote(mood))
    if mood == "raises":
        with pytest.raises(RuntimeError, match="do not ask"):
            moody.is_healthy()
    else:
        assert moody.is_healthy() is (mood == "good")


@pytest.mark.e2e
@pytest.mark.timeout(300)
async def test_a_replicas_health_is_what_is_healthy_says(
    runner: Callable[[Mode], Runner], platform: Chains
) -> None:
    """R-12: False and an exception are 503 and `unhealthy`; calls go on being served, so it can recover."""
    behaviour = runner(Mode.PLATFORM)
    for mood, status in (("bad", 503), ("raises", 503), ("good", 200)):
        assert await behaviour.run({"case": mood}) == told(mood)
        assert await _readiness(platform, "Moody") == status


async def _readiness(platform: Chains, display_name: str) -> int:
    """What the replica's own health endpoint answers."""
    info = platform.ok("status", "conformance-behaviour", "--output", "json").result
    (found,) = [
        chainlet
        for chainlet in info["chains"][0]["deployments"][0]["chainlets"]
        if chainlet["display_name"] == display_name
    ]
    (replica,) = found["replicas"]
    # The process itself tells where it listens.
    open_sockets = psutil.Process(replica["pid"]).net_connections("unix")
    socket = next(str(c.laddr) for c in open_sockets if str(c.laddr).endswith(".sock"))
    transport = httpx.AsyncHTTPTransport(uds=socket)
    async with httpx.AsyncClient(transport=transport) as client:
        return (await client.get("http://replica/v1/models/model")).status_code
