"""A stream that leaves the Chain (R-26, R-27)."""

from collections.abc import Callable

import httpx
import pytest

from tests.conformance.runners import MODES, Case, Mode, Pushed, Raised, Runner, load_program

PROGRAM = ("stream_entry", "Outside")
IS_STREAM = True
TEXT = "grüße 世界 🚀"
load_program("stream_entry")

CASES = [
    Case("whole", {"how": "whole"}, TEXT),
    Case("default", {}, TEXT),
    Case("empty", {"how": "empty"}, ""),
    Case(
        "fails at once",
        {"how": "fails at once"},
        Raised("OwnStreamError", 500),
        rule="a status exists at the gateway only",
        differs={Mode.PLAIN: Raised("OwnStreamError"), Mode.STRICT: Raised("OwnStreamError")},
    ),
    Case(
        "breaks",
        {"how": "breaks"},
        Raised("ConnectionError"),
        Raised("OwnStreamError"),
        "R-27, X-13",
    ),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_streams_to_the_outside(case: Case, mode: Mode, runner: Callable[[Mode], Runner]) -> None:
    assert await runner(mode).run(case.inputs) == case.expected_in(mode)


@pytest.mark.e2e
@pytest.mark.timeout(300)
async def test_a_client_that_asks_for_json_gets_one_document(pushed: Callable[[str], Pushed]) -> None:
    """R-26."""
    deployed = pushed("stream_entry")
    async with httpx.AsyncClient(headers={**deployed.headers, "accept": "application/json"}) as client:
        whole = await client.post(deployed.url, json={})
        broken = await client.post(deployed.url, json={"how": "breaks"})
    assert whole.json() == TEXT
    assert broken.status_code == 500
