"""numpy arrays between Chainlets (N-01 to N-08, R-25)."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.runners import MODES, Case, Mode, Runner, load_program

PROGRAM = ("arrays", "ArrayCases")
ARRAYS = load_program("arrays")


def seen(text: str, *, writable: bool = True, raised: str = "") -> dict[str, Any]:
    if raised:
        return {"seen": "", "got": "", "writable": [], "raised": raised}
    return {"seen": text, "got": text, "writable": [writable, writable], "raised": ""}


CASES = [
    Case(
        f"{name} {encoding}",
        {"case": name, "encoding": encoding},
        seen(ARRAYS.describe(array)) if name != "objects" else seen("", raised="ValidationError"),
    )
    for name, array in ARRAYS.ARRAYS.items()
    for encoding in ("json", "binary")
]
CHANGED = Case(
    "changed by the callee",
    {"case": "changed by the callee"},
    {
        "seen": "[('', '<i8')] (3,) [1, 2, 3]",
        "got": "[('', '<i8')] (3,) [0, 1, 2]",
        "writable": [],
        "raised": "",
    },
    {
        "seen": "[('', '<i8')] (3,) [1, 2, 3]",
        "got": "[('', '<i8')] (3,) [1, 2, 3]",
        "writable": [],
        "raised": "",
    },
    "L-08: arguments are shared",
)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", [*CASES, CHANGED], ids=lambda case: case.name)
async def test_arrays(case: Case, mode: Mode, runner: Callable[[Mode], Runner]) -> None:
    assert await runner(mode).run(case.inputs) == case.expected_in(mode)
