"""Mappings by other keys than text in binary calls (R-25)."""

import enum
import uuid
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import pytest
from pydantic import BaseModel, JsonValue, RootModel, TypeAdapter

from truss_chains.codec import decode_binary
from truss_chains.text_keys import dump_binary, has_other_keys, with_text_keys


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Scores(BaseModel):
    by_day: dict[date, list[dict[int, str]]]


class Tree(BaseModel):
    by_number: "dict[int, Tree]" = {}


class Field(BaseModel):
    type: str
    names: list[str]


class Root(RootModel[dict[uuid.UUID, int]]):
    pass


VALUES: list[tuple[Any, Any]] = [
    (dict[int, str], {1: "a", -2: "b"}),
    (dict[float, int], {1.5: 1}),
    (dict[bool, int], {True: 1}),
    (dict[Color, int], {Color.RED: 1}),
    (dict[Level, int], {Level.LOW: 1}),
    (dict[Decimal, int], {Decimal("1.10"): 1}),
    (Scores, Scores(by_day={date(2026, 1, 2): [{1: "a"}]})),
    (Tree, Tree(by_number={1: Tree(by_number={2: Tree()})})),
    (Root, Root({uuid.UUID(int=1): 1})),
    (tuple[dict[int, int], ...], ({1: 1}, {2: 2})),
]


@pytest.mark.parametrize(("form", "value"), VALUES, ids=str)
def test_r25_keys_that_are_no_text_come_back(form: Any, value: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(form)
    assert adapter.validate_python(decode_binary(dump_binary(adapter, value))) == value


def test_r25_below_any_keys_are_as_in_json() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(dict[str, Any])
    assert decode_binary(dump_binary(adapter, {"a": [{1: "x"}]})) == {"a": [{"1": "x"}]}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (list[float], False),
        (dict[str, list[int]], False),
        (Field, False),
        (dict[Literal["a"], int], True),
        (Tree, True),
        (dict, True),
        (JsonValue, False),
    ],
    ids=str,
)
def test_only_types_that_may_need_it_are_looked_into(form: Any, expected: bool) -> None:
    assert has_other_keys(TypeAdapter(form)) is expected


def test_text_and_bytes_stay_keys() -> None:
    assert with_text_keys({"a": 1, b"b": (1, {2: 3})}) == {"a": 1, b"b": [1, {"2": 3}]}
