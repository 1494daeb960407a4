"""V-45, extended: what may cross between Chainlets, and why the rest may not."""

import asyncio
import collections
import collections.abc as cabc
import dataclasses
import datetime
import decimal
import enum
import typing
import uuid
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union

import numpy
import pydantic
import pytest
import typing_extensions

from tests.ids import stable_id
from truss_chains.chainlet import ChainletBase
from truss_chains.inspection import UnresolvedAnnotationError
from truss_chains.validation.types import refusal
from truss_chains.websocket import WebSocketProtocol


class Model(pydantic.BaseModel):
    anything: Any = None


class Roots(pydantic.RootModel[list[int]]):
    pass


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Number(enum.Enum):
    ONE = 1


@dataclasses.dataclass
class Point:
    x: int
    y: "Point | None" = None


@dataclasses.dataclass
class HoldsCode:
    call: typing.Callable[[int], int]


class Movie(typing_extensions.TypedDict):
    name: str
    year: typing_extensions.NotRequired[int]


class Pair(NamedTuple):
    a: int
    b: str


class Plain:
    pass


class Custom:
    """A class that tells pydantic how it is written."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: pydantic.GetCoreSchemaHandler) -> Any:
        return handler(str)


class Broken:
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: pydantic.GetCoreSchemaHandler) -> Any:
        raise RuntimeError("out of order")


UserId = typing.NewType("UserId", int)
Weird = typing.NewType("Weird", Plain)
Alias = typing_extensions.TypeAliasType("Alias", list[int])
T = typing.TypeVar("T")

ACCEPTED = [
    int, float, complex, bool, str, bytes, None, type(None),
    Model, Roots, pydantic.BaseModel, Color, Point, Movie, Pair, Custom,
    datetime.datetime, datetime.date, datetime.timedelta, decimal.Decimal, uuid.UUID, Path,
    list, dict, set, tuple, frozenset, typing.List, typing.Dict, typing.Tuple,  # noqa: UP006 (old spellings)
    list[int], list[list[int]], dict[str, list[Model]], dict[int, str], dict[Color, int],
    dict[str, Any], list[Any], dict[Level, int], list[Number],
    tuple[int, ...], tuple[int, str], set[str], collections.deque[int],
    cabc.Sequence[int], cabc.Mapping[str, int],
    typing.List[int], typing.Dict[str, int],  # noqa: UP006 (old spellings)
    int | None, Optional[Model], Union[int, str], list[int | None], Literal["a", 1, None],  # noqa: UP007, UP045
    Annotated[int, pydantic.Field(gt=0)], UserId, dict[UserId, int], Alias, pydantic.JsonValue,
    dict[Literal["a"], int], dict[str | int, int], dict[Annotated[str, 1], int],
    Annotated[Plain | None, pydantic.GetPydanticSchema(lambda s, h: h(int))],
]  # fmt: skip


@pytest.mark.parametrize("form", ACCEPTED, ids=stable_id)
def test_v45_accepted(form):
    assert refusal(form) is None


REFUSED = [
    (object, "does not say"),
    (Any, "does not say"),
    (Any | None, "does not say"),
    (Annotated[Any, 1], "does not say"),
    (T, "does not say"),
    (list[object], "does not say"),
    (list[T], "does not say"),
    (Plain, "pydantic does not know"),
    (list[Plain], "pydantic does not know"),
    (Weird, "pydantic does not know"),
    (Plain | None, "pydantic does not know"),
    (asyncio.Lock, "pydantic does not know"),
    (HoldsCode, "no form in JSON"),
    (typing.Callable, "code"),
    (typing.Callable[[int], int], "code"),
    (cabc.Awaitable[int], "code"),
    (type, "a class can't"),
    (type[int], "a class can't"),
    (cabc.Iterator[int], "iterator"),
    (cabc.AsyncIterator[str], "iterator"),
    (list[cabc.Iterator[int]], "iterator"),
    (dict[tuple[int, int], str], "key"),
    (dict[Model, str], "key"),
    (dict[bytes, str], "key"),
    (dict[Number, str], "key"),
    (dict[Literal[1, "a"], str], "key"),
    (dict[str | tuple[int], str], "key"),
    (WebSocketProtocol, "websocket"),
    (list[WebSocketProtocol], "websocket"),
    (ChainletBase, "Chainlet"),
    (numpy.ndarray, "dtype"),
    (3, "a value"),
    ([int], "a value"),
    (Broken, "pydantic refuses"),
    (typing_extensions.TypedDict("Old", {"call": typing.Callable}), "no form in JSON"),
]


@pytest.mark.parametrize(("form", "reason"), REFUSED, ids=stable_id)
def test_v45_refused_with_the_reason(form, reason):
    found = refusal(form)
    assert found is not None
    assert reason in found.reason
    assert found.remedy


def test_v44_a_dataclass_with_an_unknown_part_is_unresolved():
    @dataclasses.dataclass
    class Holds:
        part: "NotThereYet"  # noqa: F821 (the point of the test)

    with pytest.raises(UnresolvedAnnotationError):
        refusal(Holds)


def test_v45_the_error_tells_parameter_annotation_and_what_is_supported(define):
    error = define(
        "class A(chains.ChainletBase):\n    async def run_remote(self, x: int, fn: object) -> int: ...\n"
    ).only
    assert (error.code, error.kind) == ("CH105", "IO_TYPE_ERROR")
    assert "parameter `fn` of `A.run_remote`" in error.message and "`object`" in error.message
    assert "pydantic models" in error.help


def test_v45_the_result_is_checked_like_a_parameter(define):
    found = define(
        "class A(chains.ChainletBase):\n    async def run_remote(self) -> tuple[int, object]: ...\n"
    )
    assert found.only.message.startswith("the result of `A.run_remote` has the type `tuple[int, object]`")
    assert found.only.location.column == len("    async def run_remote(self) -> ") + 1
