"""Streams between Chainlets (R-26 to R-28, S-11, W-01 to W-11)."""

from collections.abc import Callable

import pytest

from tests.conformance.runners import MODES, Case, Mode, Runner, load_program

PROGRAM = ("streams", "Streams")
TEXT = "grüße 世界 🚀"
load_program("streams")


def read(*items: str, raised: str = "", note: str = "") -> dict[str, object]:
    return {"items": list(items), "raised": raised, "note": note}


BROKEN = "R-27, X-13: a broken stream is a ConnectionError; in plain calls the error arrives as raised"
TOKENS = ("Token(text='a\\nb', score=1.0)", "Token(text='世', score=0.5)")
FITTING = "L-08: plain calls validate nothing"


def case(source: str, how: str, expected: object, plain: object = None, rule: str = "") -> Case:
    return Case(f"{source}, {how}", {"source": source, "how": how}, expected, plain, rule)


def data_cases() -> list[Case]:
    return [
        case("data", "whole", read("b'0'", "b'1'", "b'2'")),
        case("data", "empty", read()),
        case("data", "fails at once", read(raised="LookupError")),
        case(
            "data",
            "breaks",
            read("b'0'", "b'1'", "b'2'", raised="ConnectionError"),
            read("b'0'", "b'1'", "b'2'", raised="LookupError"),
            BROKEN,
        ),
        case("data", "large", read("bytes 300000", "bytes 300000", "bytes 300000")),
        case(
            "data",
            "holes",
            read("b'a'", "b'b'"),
            read("b''", "b'a'", "b''", "b'b'"),
            "R-26: an empty chunk has no form on the wire",
        ),
        case("data", "text instead", read("b'text'"), read("'text'"), FITTING),
        case("joined data", "cut characters", read(TEXT)),
    ]


def text_cases() -> list[Case]:
    return [
        case("texts", "characters", read(*map(repr, TEXT))),
        case("texts", "empty", read()),
        case("texts", "holes", read("'a'"), read("''", "'a'", "''"), "R-26: an empty chunk has no form"),
        case("texts", "fails at once", read(raised="LookupError")),
        case(
            "texts",
            "breaks",
            read("'one'", raised="ConnectionError"),
            read("'one'", raised="LookupError"),
            BROKEN,
        ),
        case("texts", "bytes instead", read(raised="GenericRemoteException"), read("b'bytes'"), FITTING),
    ]


def token_cases() -> list[Case]:
    found = []
    for source in ("tokens", "binary tokens"):
        found += [
            case(source, "whole", read(*TOKENS)),
            case(source, "empty", read()),
            case(source, "fails at once", read(raised="LookupError")),
            case(
                source,
                "breaks",
                read(*TOKENS, raised="ConnectionError"),
                read(*TOKENS, raised="LookupError"),
                BROKEN,
            ),
            case(
                source,
                "first does not fit",
                read(raised="GenericRemoteException"),
                read("{'p': 'x'}", *TOKENS),
                FITTING,
            ),
            case(
                source,
                "later does not fit",
                read(*TOKENS, raised="ConnectionError"),
                read(*TOKENS, "{'p': 'x'}"),
                FITTING,
            ),
        ]
    return found


RELAYED = [
    case("relay tokens", "whole", read("<a\nb>", "<世>")),
    case("relay tokens", "empty", read()),
    case("relay tokens", "fails at once", read(raised="LookupError")),
    case(
        "relay tokens",
        "breaks",
        read("<a\nb>", "<世>", raised="ConnectionError"),
        read("<a\nb>", "<世>", raised="LookupError"),
        BROKEN,
    ),
    case("relay texts", "characters", read(*TEXT)),
    case(
        "relay texts",
        "breaks",
        read("one", raised="ConnectionError"),
        read("one", raised="LookupError"),
        BROKEN,
    ),
]
OTHERS = [
    case("numbers", "3", read("None", "1", "2")),
    case("numbers", "0", read()),
    case("left early", "", read("b'0'", note="the producer was closed")),
    case(
        "frames",
        "",
        read(
            "Meta(model='m')",
            "Token(text='0', score=0.0)",
            "Token(text='1', score=1.0)",
            "Token(text='2', score=2.0)",
            "Usage(tokens=3)",
        ),
    ),
    case("at the same time", "", read(*(str(n + 2) for n in range(20)))),
    case("as they come", "", read("b'1'", "b'2'", note="early")),
]
CASES = [*data_cases(), *text_cases(), *token_cases(), *RELAYED, *OTHERS]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_streams(case: Case, mode: Mode, runner: Callable[[Mode], Runner]) -> None:
    assert await runner(mode).run(case.inputs) == case.expected_in(mode)
