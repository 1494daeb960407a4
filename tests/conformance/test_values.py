"""Values as arguments and results: types, defaults, validation (V-45, R-20 to R-25, L-08)."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.runners import MODES, Case, Mode, Runner, load_program

PROGRAM = ("values", "Values")

VALUES = load_program("values")


def outcome(seen: str = "", got: str = "", raised: str = "") -> dict[str, str]:
    return {"seen": seen, "got": got, "raised": raised}


def same(text: str) -> dict[str, str]:
    return outcome(seen=text, got=text)


NOT_JSON = ("not_a_number", "infinite")
NOT_JSON_RULE = "L-08, R-24: JSON has no such numbers; pydantic writes null, which the callee refuses"


def round_trips() -> list[Case]:
    """Each value arrives as it was sent, with its type, in both directions and encodings."""
    cases = []
    for name, value in VALUES.VALUES.items():
        for encoding in ("json", "binary"):
            inputs = {"case": f"value:{name}", "encoding": encoding}
            if name in NOT_JSON and encoding == "json":
                refused = outcome(raised="GenericRemoteException")
                told = same(VALUES.describe(value))
                cases.append(Case(f"{name} {encoding}", inputs, refused, told, NOT_JSON_RULE))
                continue
            cases.append(Case(f"{name} {encoding}", inputs, same(VALUES.describe(value))))
    return cases


def given(name: str, encoding: str, expected: Any, plain: str) -> Case:
    inputs = {"case": f"given:{name}", "encoding": encoding}
    return Case(f"{name} {encoding}", inputs, expected, same(plain), "L-08: plain calls validate nothing")


REFUSED = outcome(raised="ValidationError")
CONVERTED = [
    given("whole", "json", same("int 7"), "str '7'"),
    given("whole", "binary", same("int 7"), "str '7'"),
    given("real", "json", same("float 1.0"), "int 1"),
    given("real", "binary", same("float 1.0"), "int 1"),
    given("text", "json", REFUSED, "int 5"),
    given("positive", "json", REFUSED, "int -1"),
    given("data", "json", outcome(raised="PydanticSerializationError"), r"bytes b'\xff\xfe'"),
    given("data", "binary", same(r"bytes b'\xff\xfe'"), r"bytes b'\xff\xfe'"),
    given("point", "json", same("Point Point(x=1, y=0)"), "dict {'x': '1'}"),
    given("color", "json", same("Color <Color.RED: 'red'>"), "str 'red'"),
    given("color", "binary", same("Color <Color.RED: 'red'>"), "str 'red'"),
    given("list_of_int", "json", same("list [1, 2]"), "tuple (1, 2)"),
    given("set_of_text", "json", same("set ['a']"), "list ['a', 'a']"),
    given("choice", "json", REFUSED, "str 'z'"),
]
TOP = [
    Case(
        f"top-level {name} {encoding}",
        {"case": f"both:{name}", "encoding": encoding},
        outcome(got=VALUES.describe(value)),
    )
    for name, value in VALUES.TOP.items()
    for encoding in ("json", "binary")
]
DEFAULTS = {
    "all left out": outcome(got="a=1 b=5 items=None c='c' required=True"),
    "positional": outcome(got="a=1 b=2 items=[3] c='c' required=False"),
    "by keyword": outcome(got="a=1 b=2 items=None c='x' required=True"),
    "explicit none": outcome(got="a=1 b=None items=None c=None required=True"),
    "missing": outcome(raised="TypeError"),
    "missing keyword-only": outcome(raised="TypeError"),
    "unknown": outcome(raised="TypeError"),
    "twice": outcome(raised="TypeError"),
    "too many": outcome(raised="TypeError"),
    "keyword-only by position": outcome(raised="TypeError"),
}
SIGNATURES = [
    Case(f"defaults, {name}", {"case": f"defaults:{name}"}, expected) for name, expected in DEFAULTS.items()
]
RESULTS = [
    Case("no result", {"case": "nothing:"}, outcome(got="NoneType None")),
    Case(
        "a dict for a model",
        {"case": "wrong:dict"},
        outcome(got="Point Point(x=1, y=0)"),
        outcome(got="dict {'x': 1}"),
        "L-08",
    ),
    Case(
        "a dict that does not fit",
        {"case": "wrong:dict that does not fit"},
        outcome(raised="GenericRemoteException"),
        outcome(got="dict {'x': 'one'}"),
        "L-08, X-08",
    ),
    Case(
        "None for a model",
        {"case": "wrong:none"},
        outcome(raised="GenericRemoteException"),
        outcome(got="NoneType None"),
        "L-08, X-08",
    ),
    Case(
        "another model",
        {"case": "wrong:other model"},
        outcome(raised="GenericRemoteException"),
        outcome(got="Dog Dog(sort='dog', tricks=[])"),
        "L-08, X-08",
    ),
    Case("a result that fits", {"case": "wrong:fits"}, outcome(got="Point Point(x=1, y=0)")),
    Case(
        "the object that was sent",
        {"case": "shared:"},
        outcome(got="equal"),
        outcome(got="same"),
        "L-08: arguments are shared",
    ),
    Case(
        "nothing given",
        {"case": "both:none given"},
        outcome(got=VALUES.describe((b"", 0j, None, None, VALUES.Color.RED, 0, None, None))),
    ),
]
CASES = [*round_trips(), *CONVERTED, *TOP, *SIGNATURES, *RESULTS]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_values(case: Case, mode: Mode, runner: Callable[[Mode], Runner]) -> None:
    assert await runner(mode).run(case.inputs) == case.expected_in(mode)
