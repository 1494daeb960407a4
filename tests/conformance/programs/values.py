"""Values of every kind as arguments and as results, as JSON and as msgpack.

`Values` is asked for a case by name; it calls the echo with the value of that name and tells what the
echo saw and what came back. `describe` is how both are told.
"""

import collections
import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel
from typing_extensions import TypedDict

import truss_chains as chains

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Name(enum.StrEnum):
    ADA = "ada"


class Point(BaseModel):
    x: int
    y: int = 0


class Labelled(BaseModel):
    """Its field has another name on the wire."""

    model_config = ConfigDict(populate_by_name=True)
    kind: str = Field(alias="type")
    at: Point


class Cat(BaseModel):
    sort: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    sort: Literal["dog"] = "dog"
    tricks: list[str]


class Tree(BaseModel):
    value: int
    children: "list[Tree]" = []


class Box(BaseModel, Generic[T]):
    content: T


class Words(RootModel[list[str]]):
    pass


class Table(RootModel[dict[str, Point]]):
    pass


@dataclass
class Pair:
    left: int
    right: str | None = None
    more: list[Point] = field(default_factory=list)


class Config(TypedDict):
    host: str
    port: NotRequired[int]


class Size(NamedTuple):
    width: int
    height: float


UserId = NewType("UserId", int)
Positive = Annotated[int, Field(gt=0)]
Pet = Annotated[Cat | Dog, Field(discriminator="sort")]

VALUES: dict[str, Any] = {
    "whole": 7,
    "big": 2**62,
    "negative": -3,
    "real": 0.1,
    "truth": True,
    "text": "grüße, 世界 🚀",
    "empty_text": "",
    "data": b"plain bytes",
    "number": 3 + 4j,
    "nothing": None,
    "maybe": None,
    "maybe_there": 5,
    "either_int": 5,
    "either_text": "5",
    "either_none": None,
    "truth_or_number": True,
    "number_or_truth": 1,
    "choice": "b",
    "choice_number": 2,
    "color": Color.BLUE,
    "level": Level.HIGH,
    "name": Name.ADA,
    "at": datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    "at_offset": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))),
    "at_naive": datetime(2026, 1, 2, 3, 4, 5),
    "day": date(2026, 1, 2),
    "clock": time(3, 4, 5),
    "span": timedelta(days=1, seconds=2, microseconds=3),
    "price": Decimal("0.10"),
    "key": uuid.UUID("00000000-0000-4000-8000-000000000001"),
    "file": Path("a/b.txt"),
    "list_of_int": [1, 2, 3],
    "list_of_lists": [[1], [], [2, 3]],
    "list_of_maybe": [1, None],
    "sequence": [1, 2],
    "mapping_of_lists": {"a": [1, 2], "b": []},
    "mapping_by_int": {1: "one", 2: "two"},
    "mapping_by_day": {date(2026, 1, 2): 1},
    "abstract_mapping": {"a": 1},
    "set_of_text": {"b", "a"},
    "frozen": frozenset({1, 2}),
    "pair_of": (1, "a"),
    "many_of": (1, 2, 3),
    "deep": {"a": [{"b": (1, Point(x=1))}]},
    "queue": collections.deque([1, 2]),
    "point": Point(x=1, y=2),
    "point_default": Point(x=1),
    "labelled": Labelled(kind="k", at=Point(x=1)),
    "pet_cat": Cat(lives=9),
    "pet_dog": Dog(tricks=["sit"]),
    "untagged": Dog(tricks=[]),
    "points": [Point(x=1), Point(x=2)],
    "points_by_name": {"a": Point(x=1)},
    "tree": Tree(value=1, children=[Tree(value=2)]),
    "box": Box[int](content=1),
    "box_of_points": Box[list[Point]](content=[Point(x=1)]),
    "words": Words(["a", "b"]),
    "table": Table({"a": Point(x=1)}),
    "pair": Pair(1, "r", [Point(x=3)]),
    "config": {"host": "h"},
    "config_full": {"host": "h", "port": 1},
    "size": Size(1, 2.5),
    "user": UserId(4),
    "positive": 3,
    "document": {"a": [1, "x", None, {"b": 2.5}]},
    "bare_list": [1, "a", None],
    "bare_dict": {"a": [1]},
    "not_a_number": float("nan"),
    "infinite": float("-inf"),
}
"""By case. The field of `Given` is the name of the case, without the part behind what is there."""


class Given(TypedDict, total=False):
    """One field a kind of value: in it, the type stands as it would for a parameter of its own."""

    whole: int
    big: int
    negative: int
    real: float
    truth: bool
    text: str
    empty_text: str
    data: bytes
    number: complex
    nothing: None
    maybe: int | None
    maybe_there: int | None
    either_int: int | str | None
    either_text: int | str | None
    either_none: int | str | None
    truth_or_number: bool | int
    number_or_truth: bool | int
    choice: Literal["a", "b"]
    choice_number: Literal[1, 2]
    color: Color
    level: Level
    name: Name
    at: datetime
    at_offset: datetime
    at_naive: datetime
    day: date
    clock: time
    span: timedelta
    price: Decimal
    key: uuid.UUID
    file: Path
    list_of_int: list[int]
    list_of_lists: list[list[int]]
    list_of_maybe: list[int | None]
    sequence: Sequence[int]
    mapping_of_lists: dict[str, list[int]]
    mapping_by_int: dict[int, str]
    mapping_by_day: dict[date, int]
    abstract_mapping: Mapping[str, int]
    set_of_text: set[str]
    frozen: frozenset[int]
    pair_of: tuple[int, str]
    many_of: tuple[int, ...]
    deep: dict[str, list[dict[str, tuple[int, Point]]]]
    queue: collections.deque[int]
    point: Point
    point_default: Point
    labelled: Labelled
    pet_cat: Pet
    pet_dog: Pet
    untagged: Cat | Dog
    points: list[Point]
    points_by_name: dict[str, Point]
    tree: Tree
    box: Box[int]
    box_of_points: Box[list[Point]]
    words: Words
    table: Table
    pair: Pair
    config: Config
    config_full: Config
    size: Size
    user: UserId
    positive: Positive
    document: JsonValue
    bare_list: list[Any]
    bare_dict: dict[str, Any]
    not_a_number: float
    infinite: float


class Echoed(TypedDict):
    seen: str
    value: Given


class Outcome(BaseModel):
    """What the callee saw and what the caller got; or the class of what was raised."""

    seen: str = ""
    got: str = ""
    raised: str = ""


def describe(value: object) -> str:
    """Type and content, the same in every process."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__} {sorted(value)!r}"
    if isinstance(value, datetime):  # the class of a time zone is no matter
        return f"{type(value).__name__} {value.isoformat()}"
    return f"{type(value).__name__} {value!r}"


class Echo(chains.ChainletBase):
    """Tells what it got and gives it back."""

    async def run_remote(self, given: Given) -> Echoed:
        (value,) = given.values()
        return {"seen": describe(value), "value": given}


class BinaryEcho(Echo):
    """The same, to be called with msgpack."""


class Both(chains.ChainletBase):
    """One parameter and one result of each form that is treated apart at the top of a signature."""

    async def run_remote(
        self,
        data: bytes = b"",
        number: complex = 0j,
        point: Point | None = None,
        words: Words | None = None,
        color: Color = Color.RED,
        either: int | str = 0,
        pair: Pair | None = None,
        at: datetime | None = None,
    ) -> tuple[bytes, complex, Point | None, Words | None, Color, int | str, Pair | None, datetime | None]:
        return data, number, point, words, color, either, pair, at


class BinaryBoth(Both):
    pass


class Defaults(chains.ChainletBase):
    """Optional, keyword-only and explicit None."""

    async def run_remote(
        self, a: int, b: int = 5, items: list[int] | None = None, *, c: str = "c", required: bool
    ) -> str:
        return f"a={a!r} b={b!r} items={items!r} c={c!r} required={required!r}"


class Nothing(chains.ChainletBase):
    async def run_remote(self) -> None:
        return None


class Wrong(chains.ChainletBase):
    """Its result fits the annotation only if asked so."""

    async def run_remote(self, how: str) -> Point:
        wrong: Any = {
            "dict": {"x": 1},
            "dict that does not fit": {"x": "one"},
            "none": None,
            "other model": Dog(tricks=[]),
            "fits": Point(x=1),
        }
        return wrong[how]


@chains.mark_entrypoint("conformance-values")
class Values(chains.ChainletBase):
    """Runs one case."""

    def __init__(
        self,
        echo: Echo = chains.depends(Echo),
        binary_echo: BinaryEcho = chains.depends(BinaryEcho, use_binary=True),
        both: Both = chains.depends(Both),
        binary_both: BinaryBoth = chains.depends(BinaryBoth, use_binary=True),
        defaults: Defaults = chains.depends(Defaults),
        nothing: Nothing = chains.depends(Nothing),
        wrong: Wrong = chains.depends(Wrong),
    ) -> None:
        self._echo = {"json": echo, "binary": binary_echo}
        self._both = {"json": both, "binary": binary_both}
        self._defaults: Any = defaults
        self._nothing = nothing
        self._wrong = wrong

    async def run_remote(self, case: str, encoding: str = "json") -> Outcome:
        group, _, name = case.partition(":")
        try:
            return await getattr(self, f"_{group}_case")(name, encoding)
        except Exception as error:
            return Outcome(raised=type(error).__name__)

    async def _value_case(self, name: str, encoding: str) -> Outcome:
        given: Any = {name: VALUES[name]}
        echoed = await self._echo[encoding].run_remote(given)
        got: Any = echoed["value"]
        return Outcome(seen=echoed["seen"], got=describe(got[name]))

    async def _given_case(self, name: str, encoding: str) -> Outcome:
        """A value that is not of its field's type, or that one encoding can't carry."""
        value: Any = {
            "whole": "7",
            "real": 1,
            "text": 5,
            "positive": -1,
            "data": b"\xff\xfe",
            "point": {"x": "1"},
            "color": "red",
            "list_of_int": (1, 2),
            "set_of_text": ["a", "a"],
            "choice": "z",
            "big": 2**70,
        }[name]
        given: Any = {name: value}
        echoed = await self._echo[encoding].run_remote(given)
        got: Any = echoed["value"]
        return Outcome(seen=echoed["seen"], got=describe(got[name]))

    async def _both_case(self, name: str, encoding: str) -> Outcome:
        given: Any = {} if name == "none given" else {name: TOP[name]}
        result = await self._both[encoding].run_remote(**given)
        if not given:
            return Outcome(got=describe(result))
        return Outcome(got=describe(result[list(TOP).index(name)]))

    async def _defaults_case(self, name: str, encoding: str) -> Outcome:
        args, kwargs = CALLS[name]
        return Outcome(got=await self._defaults.run_remote(*args, **kwargs))

    async def _nothing_case(self, name: str, encoding: str) -> Outcome:
        return Outcome(got=describe(await self._nothing.run_remote()))

    async def _wrong_case(self, name: str, encoding: str) -> Outcome:
        return Outcome(got=describe(await self._wrong.run_remote(name)))

    async def _shared_case(self, name: str, encoding: str) -> Outcome:
        """Whether the result is the very object that was sent."""
        words = Words(["a"])
        result = await self._both[encoding].run_remote(words=words)
        return Outcome(got="same" if result[3] is words else "equal" if result[3] == words else "different")


TOP: dict[str, Any] = {
    "data": b"bytes",
    "number": 1j,
    "point": Point(x=1),
    "words": Words(["a"]),
    "color": Color.BLUE,
    "either": "5",
    "pair": Pair(1),
    "at": datetime(2026, 1, 2, tzinfo=UTC),
}

CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "all left out": ((1,), {"required": True}),
    "positional": ((1, 2, [3]), {"required": False}),
    "by keyword": ((), {"a": 1, "b": 2, "c": "x", "required": True}),
    "explicit none": ((1,), {"b": None, "items": None, "c": None, "required": True}),
    "missing": ((), {"required": True}),
    "missing keyword-only": ((1,), {}),
    "unknown": ((1,), {"required": True, "d": 1}),
    "twice": ((1,), {"a": 1, "required": True}),
    "too many": ((1, 2, [3], "c", True), {}),
    "keyword-only by position": ((1, 2, [], "c"), {"required": True}),
}
