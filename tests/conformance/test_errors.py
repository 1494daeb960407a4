"""Exceptions between Chainlets: the class that a caller catches, what its text ends with, the way it came.

X-01 to X-13. The text of a plain exception is its own; over the wire the trace is in front of it.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.runners import MODES, Case, Mode, Raised, Runner, load_program

PROGRAM = ("errors", "Errors")
load_program("errors")

GENERIC = "GenericRemoteException"

KEPT = {
    "ValueError": ("ValueError", "a value"),
    "KeyError": ("KeyError", "a key"),
    "IndexError": ("IndexError", "an index"),
    "no text": ("ValueError", ""),
    "NotImplementedError": ("NotImplementedError", "later"),
    "AssertionError": ("AssertionError", "claim"),
    "FileNotFoundError": ("FileNotFoundError", "[Errno 2] No such file: 'weights.bin'"),
    "PermissionError": ("PermissionError", "denied"),
    "TimeoutError": ("TimeoutError", "the model was slow"),
    "ConnectionError": ("ConnectionError", "its own connection"),
    "RuntimeError": ("RuntimeError", "but a second line"),
    "OwnError": ("OwnError", "ours"),
    "OwnValueError": ("OwnValueError", "ours, too"),
    "elsewhere": ("ElsewhereError", "from another module"),
    "chained": ("ValueError", "effect"),
    "division": ("ZeroDivisionError", "division by zero"),
    "attribute": ("AttributeError", "'NoneType' object has no attribute 'attribute'"),
    "deep": ("ValueError", "a value"),
    "GenericRemoteException": (GENERIC, "made by hand"),
}
"""Kind -> class and last line, which stay the same over any number of hops."""

STANDS_IN = {
    "two arguments": ("TwoArgumentsError", "7 seven", "X-06: not made from one text"),
    "nested class": ("InnerError", "nested", "X-05: not an attribute of its module"),
    "local class": ("LocalError", "of a function", "X-05: not an attribute of its module"),
    "UnicodeDecodeError": (
        "UnicodeDecodeError",
        "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        "X-06: not made from one text",
    ),
    "ExceptionGroup": ("ExceptionGroup", "several (2 sub-exceptions)", "X-06: not made from one text"),
    "StopAsyncIteration": ("StopAsyncIteration", "over", "X-06: a coroutine can't raise it as it is"),
    "SystemExit": ("SystemExit", "the model ended the process", "7.8: only `Exception`s are rebuilt"),
}
"""Kind -> class and last line as raised; over the wire a `GenericRemoteException` stands for it."""


def caught(raised: str, last_line: str, *, status: int = 0) -> dict[str, Any]:
    return {"raised": raised, "last_line": last_line, "status": status}


def remote(name: str, text: str) -> str:
    """The last line of a remote trace (X-10)."""
    return f"{name}: {text}"


SECOND_LINES = {"RuntimeError": "but a second line", "KeyError": "KeyError: 'a key'"}
"""Where the remote text's last line is not `class: text`: a second line, and Python's `str(KeyError)`."""
PATHS = {"leaf": ["Leaf"], "top": ["Top", "Middle", "Leaf"]}


def kept_cases() -> list[Case]:
    cases = []
    for path in PATHS:
        for kind, (name, text) in KEPT.items():
            last = SECOND_LINES.get(kind, remote(name, text))
            cases.append(
                Case(
                    f"{kind} over {path}",
                    {"kind": kind, "path": path},
                    caught(name, last),
                    caught(name, text),
                    "X-13: no trace in plain calls",
                )
            )
    return cases


def stand_in_cases() -> list[Case]:
    return [
        Case(
            f"{kind} over {path}",
            {"kind": kind, "path": path},
            caught(GENERIC, remote(name, text)),
            caught(name, text),
            rule,
        )
        for path in PATHS
        for kind, (name, text, rule) in STANDS_IN.items()
    ]


HTTP = [
    Case(
        f"{kind} over {path}",
        {"kind": kind, "path": path},
        caught("HTTPException", remote(name, text), status=status),
        caught(name, text, status=status),
        "X-13; X-07: a subclass becomes what it is",
    )
    for path in PATHS
    for kind, name, text, status in (
        ("HTTP 404", "HTTPException", "404: not here", 404),
        ("HTTP 503", "HTTPException", "503: busy", 503),
    )
]
SPECIAL = [
    Case(
        "an HTTPException's subclass keeps its class and status",
        {"kind": "own HTTP", "path": "top"},
        caught("OwnHTTPError", "OwnHTTPError: 418: teapot", status=418),
        caught("OwnHTTPError", "418: teapot", status=418),
        "X-13",
    ),
    Case(
        "a validation error of the callee's own",
        {"kind": "pydantic", "path": "leaf"},
        caught(GENERIC, "For further information visit https://errors.pydantic.dev/{version}/v/int_parsing"),
        caught(
            "ValidationError",
            "For further information visit https://errors.pydantic.dev/{version}/v/int_parsing",
        ),
        "X-06: not made from one text",
    ),
    Case(
        "an error whose text can't be had",
        {"kind": "silent", "path": "leaf"},
        caught(
            "SilentError",
            "<no text>",
        ),
    ),
    Case(
        "a sync Chainlet's error",
        {"kind": "OwnError", "path": "sync leaf"},
        caught("OwnError", "OwnError: ours"),
        caught("OwnError", "ours"),
        "X-13",
    ),
    Case(
        "caught in the middle",
        {"kind": "OwnError", "path": "middle", "how": "catch"},
        {"value": "caught an OwnError"},
    ),
    Case(
        "a base class caught in the middle",
        {"kind": "OwnValueError", "path": "middle", "how": "catch"},
        {"value": "caught a ValueError"},
    ),
    Case(
        "HTTP caught in the middle",
        {"kind": "HTTP 404", "path": "middle", "how": "catch"},
        {"value": "caught HTTP 404"},
    ),
    Case(
        "translated in the middle",
        {"kind": "OwnError", "path": "middle", "how": "translate"},
        caught("OwnValueError", "OwnValueError: translated"),
        caught("OwnValueError", "translated"),
        "X-13",
    ),
    Case(
        "raised again in the middle",
        {"kind": "OwnError", "path": "middle", "how": "again"},
        caught("OwnError", "OwnError: ours"),
        caught("OwnError", "ours"),
        "X-13",
    ),
]
CASES = [*kept_cases(), *stand_in_cases(), *HTTP, *SPECIAL]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_caught_error(case: Case, mode: Mode, runner: Callable[[Mode], Runner]) -> None:
    from pydantic import VERSION

    found = await runner(mode).run(case.inputs)
    expected = case.expected_in(mode)
    if "last_line" in expected:
        version = ".".join(VERSION.split(".")[:2])
        expected = {**expected, "last_line": expected["last_line"].replace("{version}", version)}

    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path", PATHS)
async def test_the_way_of_an_error_is_told(path: str, mode: Mode, runner: Callable[[Mode], Runner]) -> None:
    """X-11; in plain calls the Python traceback tells it (X-13)."""
    found = await runner(mode).run({"kind": "OwnError", "path": path})
    assert found["hops"] == ([] if mode is Mode.PLAIN else PATHS[path])


OUTERMOST = {
    "ValueError": ("ValueError", 500),
    "OwnError": ("OwnError", 500),
    "HTTP 404": ("HTTPException", 404),
    "own HTTP": ("OwnHTTPError", 418),
    "HTTP 503": ("HTTPException", 503),
    "TimeoutError": ("TimeoutError", 500),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path", ["nowhere", "outside"])
@pytest.mark.parametrize("kind", OUTERMOST)
async def test_an_error_reaches_the_outside(
    kind: str, path: str, mode: Mode, runner: Callable[[Mode], Runner]
) -> None:
    """X-12, X-02: raised by the entrypoint itself, and three hops below it."""
    found = await runner(mode).run({"kind": kind, "path": path})
    name, status = OUTERMOST[kind]
    assert found == Raised(name, status if mode is Mode.PLATFORM else 0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["SystemExit", "two arguments", "pydantic"])
async def test_an_error_that_is_not_rebuilt_reaches_the_outside(
    kind: str, mode: Mode, runner: Callable[[Mode], Runner]
) -> None:
    """X-06: the entrypoint's own keeps its name in the body; one from below is generic."""
    names = {"SystemExit": "SystemExit", "two arguments": "TwoArgumentsError", "pydantic": "ValidationError"}
    status = 500 if mode is Mode.PLATFORM else 0
    own = await runner(mode).run({"kind": kind, "path": "nowhere"})
    below = await runner(mode).run({"kind": kind, "path": "outside"})
    # In strict mode the test's own call is one between Chainlets.
    assert own == Raised(GENERIC if mode is Mode.STRICT else names[kind], status)
    assert below == Raised(names[kind] if mode is Mode.PLAIN else GENERIC, status)


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "body", [{}, {"kind": 5}, {"kind": None}, [], "text"], ids=["missing", "type", "null", "list", "text"]
)
async def test_input_that_does_not_fit_is_the_clients_fault(body: Any, pushed: Callable[[str], Any]) -> None:
    """R-34: 400 and a text with the field's path."""
    import httpx

    deployed = pushed("errors")
    async with httpx.AsyncClient(headers=deployed.headers) as client:
        answer = await client.post(deployed.url, json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error.startswith("Input does not fit `Errors`:")
    assert isinstance(body, dict) == ("`kind`" in error)
