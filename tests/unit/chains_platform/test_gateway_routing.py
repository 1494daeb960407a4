"""The gateway's decisions: which replicas, which first, what is in flight, who may ask."""

import asyncio

import pytest

from chains_platform.gateway.access import Access, token_matches
from chains_platform.gateway.calls import Refusal, Router
from chains_platform.gateway.flight import Balance, Flights
from chains_platform.gateway.forward import forwarded_headers
from chains_platform.gateway.table import Table
from chains_platform.replicas.client import has_open
from chains_protocol.routes import GatewayRoute, GatewayRoutes, GatewayTarget, ReplicaSet
from chains_protocol.rpc import Revision


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def table(*routes: tuple[str, str], sets: tuple[ReplicaSet, ...] = ()) -> Table:
    target = GatewayTarget(deployment="d", version=2, entrypoint="E", sets=sets)
    listed = tuple(GatewayRoute(chain=c, selector=s, deployment="d") for c, s in routes)
    return Table.of(GatewayRoutes(serial=1, targets=(target,), routes=listed))


# table


@pytest.mark.parametrize("declared", ["production", "environments/production"])
@pytest.mark.parametrize("asked", ["production", "environments/production"])
def test_production_has_two_spellings(declared: str, asked: str) -> None:
    found = table(("c", declared)).find("c", asked)
    assert found is not None
    assert found.deployment == "d"


def test_what_is_not_listed_is_not_found() -> None:
    known = table(("c", "development"))
    assert known.find("c", "production") is None
    assert known.find("other", "development") is None
    assert known.chains == {"c"}


def test_a_route_to_a_deployment_without_target_leads_nowhere() -> None:
    route = GatewayRoute(chain="c", selector="development", deployment="gone")
    assert Table.of(GatewayRoutes(serial=1, routes=(route,))).find("c", "development") is None


@pytest.mark.parametrize(
    ("version", "address"), [(1, "unix:/a"), (2, "unix:/a"), (3, "unix:/b"), (9, "unix:/b")]
)
def test_a_version_is_served_by_the_latest_set_not_after_it(version: int, address: str) -> None:
    sets = (
        ReplicaSet(since=3, addresses=("unix:/b",), token="t"),
        ReplicaSet(since=1, addresses=("unix:/a",), token="t"),
    )
    found = table(("c", "production"), sets=sets).replicas("d", version)
    assert found is not None
    assert found.addresses == (address,)
    assert table(sets=sets).replicas("unknown", version) is None


def test_a_deployment_without_replicas_is_not_a_deployment_that_is_gone() -> None:
    found = table().replicas("d", 1)
    assert found is not None
    assert found.addresses == ()


# balance


def test_the_least_loaded_replica_is_chosen_and_equals_take_turns() -> None:
    balance = Balance(Clock())
    assert {balance.pick(("a", "b", "c")) for _ in range(3)} == {"a", "b", "c"}
    balance.enter("a")
    balance.enter("b")
    assert {balance.pick(("a", "b", "c")) for _ in range(3)} == {"c"}
    balance.leave("a")
    assert {balance.pick(("a", "b")) for _ in range(3)} == {"a"}


def test_no_address_no_choice() -> None:
    assert Balance(Clock()).pick(()) is None


def test_a_replica_that_failed_is_tried_last_for_a_moment() -> None:
    clock = Clock()
    balance = Balance(clock)
    balance.enter("b")
    balance.failed("a")
    assert {balance.pick(("a", "b")) for _ in range(3)} == {"b"}
    assert balance.is_suspect("a")
    clock.now += 1
    assert {balance.pick(("a", "b")) for _ in range(3)} == {"a"}


# flights


async def test_requests_are_counted_by_revision() -> None:
    flights = Flights()
    for revision in (Revision("d", 1), Revision("d", 1), Revision("d", 2)):
        flights.enter(revision)
    assert flights.counts() == {"d.1": 2, "d.2": 1}
    flights.leave(Revision("d", 1))
    flights.leave(Revision("d", 2))
    assert flights.counts() == {"d.1": 1}


async def test_a_wait_ends_with_the_last_older_request_of_that_deployment() -> None:
    flights = Flights()
    for revision in (Revision("d", 1), Revision("d", 2), Revision("d", 3), Revision("other", 1)):
        flights.enter(revision)
    waiting = asyncio.create_task(flights.wait_drained("d", 3, 60))
    for revision in (Revision("d", 2), Revision("d", 1)):
        await asyncio.sleep(0)
        assert not waiting.done()
        flights.leave(revision)
    await asyncio.wait_for(waiting, 5)
    assert flights.counts() == {"d.3": 1, "other.1": 1}


async def test_a_wait_ends_after_its_time() -> None:
    flights = Flights()
    flights.enter(Revision("d", 1))
    await flights.wait_drained("d", 2, 0.001)
    assert flights.counts() == {"d.1": 1}


@pytest.mark.parametrize(
    ("open_now", "expected"),
    [({}, False), ({"d.1": 1}, True), ({"d.2": 1}, False), ({"d.x.1": 1}, False), ({"d.1": 0}, False)],
)
def test_has_open_reads_a_status(open_now: dict[str, int], expected: bool) -> None:
    assert has_open(open_now, "d", 2) is expected


# router


async def test_a_table_change_wakes_a_request_that_waits() -> None:
    router = Router(table(sets=(ReplicaSet(token="t"),)), Clock(), wait_s=60)
    call = router.call(Revision("d", 2), None, router.clock())
    choosing = asyncio.create_task(router.choose(call))
    await asyncio.sleep(0)
    router.replace(table(sets=(ReplicaSet(addresses=("unix:/a",), token="t"),)))
    chosen = await asyncio.wait_for(choosing, 5)
    assert (chosen.address, chosen.token) == ("unix:/a", "t")


async def test_the_wait_is_bounded_by_the_clock() -> None:
    clock = Clock()
    router = Router(table(sets=(ReplicaSet(token="t"),)), clock, wait_s=10)
    call = router.call(Revision("d", 2), None, router.clock())
    clock.now += 11
    with pytest.raises(Refusal) as caught:
        await router.choose(call)
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})


@pytest.mark.parametrize(
    ("header", "deadline"),
    [("5", 5.0), ("0.25", 0.25), ("-1", 0.0), ("nan", None), ("inf", None), ("x", None)],
)
def test_only_a_sensible_deadline_counts(header: str, deadline: float | None) -> None:
    call = Router(table(), Clock(), wait_s=10).call(Revision("d", 1), header, 99.0)
    assert call.deadline_s == deadline
    assert call.until == (110.0 if deadline is None else 99.0 + deadline)


# access


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("localhost", True),
        ("localhost:80", True),
        ("LOCALHOST:80", True),
        ("app.localhost:80", True),
        ("127.0.0.1:8080", True),
        ("127.8.9.1", True),
        ("[::1]:80", True),
        ("chains.example:443", True),
        ("", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.1", False),
        ("[::2]", False),
    ],
)
def test_only_loopback_and_configured_hosts(host: str, is_allowed: bool) -> None:
    access = Access(hosts=frozenset(["chains.example"]))
    assert [access.host_allowed(host), access.host_allowed(host)] == [is_allowed] * 2


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        (None, True),
        ("http://localhost:80", True),
        ("http://localhost:81", False),
        ("https://ui.example", True),
        ("null", False),
        ("", False),
    ],
)
def test_only_our_own_and_configured_origins(origin: str | None, is_allowed: bool) -> None:
    access = Access(origins=frozenset(["https://ui.example"]))
    assert access.origin_allowed(origin, "localhost:80") is is_allowed


@pytest.mark.parametrize(
    ("header", "is_right"),
    [
        ("Api-Key t", True),
        ("Bearer t", True),
        ("bearer  t ", True),
        ("Basic t", False),
        ("t", False),
        ("", False),
        ("Bearer é", False),
    ],
)
def test_both_schemes_carry_the_token(header: str, is_right: bool) -> None:
    assert token_matches(header, b"t") is is_right


def test_hop_by_hop_headers_and_what_connection_names_are_not_forwarded() -> None:
    given = [
        (b"host", b"h"),
        (b"authorization", b"Bearer t"),
        (b"connection", b"close, X-A"),
        (b"connection", b"x-b"),
        (b"transfer-encoding", b"chunked"),
        (b"te", b"trailers"),
        (b"x-chains-revision", b"d.1"),
        (b"x-a", b"1"),
        (b"x-b", b"2"),
        (b"x-c", b"3"),
        (b"content-type", b"application/json"),
    ]
    assert forwarded_headers(given) == [(b"x-c", b"3"), (b"content-type", b"application/json")]
