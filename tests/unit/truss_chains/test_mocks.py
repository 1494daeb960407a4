"""Stand-ins for dependencies: by class, by name, made up from types."""

import asyncio
import enum
import json
import re
from collections.abc import AsyncIterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import pytest
from annotated_types import Len
from pydantic import AnyUrl, BaseModel, Field, PositiveInt, RootModel, TypeAdapter
from typing_extensions import TypedDict

import truss_chains as chains
from truss_chains.errors import ChainsUsageError
from truss_chains.mocks import AutoMock, NoValueError, auto_value, check_fit
from truss_chains.pydantic_numpy import NumpyArrayField
from truss_chains.schemas import QuietJsonSchema


class MockedPhi(chains.ChainletBase):
    def __init__(self) -> None:
        raise RuntimeError("needs a GPU")

    async def run_remote(self, prompt: str, temperature: float = 1.0) -> str:
        return prompt


class MockedMiddle(chains.ChainletBase):
    def __init__(self, phi: MockedPhi = chains.depends(MockedPhi)) -> None:
        self.phi = phi

    async def run_remote(self, prompt: str) -> str:
        return await self.phi.run_remote(prompt)


class MockedEntry(chains.ChainletBase):
    remote_config = chains.RemoteConfig(name="front")

    def __init__(
        self, middle: MockedMiddle = chains.depends(MockedMiddle), phi: MockedPhi = chains.depends(MockedPhi)
    ) -> None:
        self.middle = middle
        self.phi = phi

    async def run_remote(self, prompt: str) -> str:
        return f"{await self.middle.run_remote(prompt)} {await self.phi.run_remote(prompt, 0.5)}"


class FakePhi:
    made = 0

    def __init__(self) -> None:
        FakePhi.made += 1

    async def run_remote(self, prompt: str, temperature: float = 0.0) -> str:
        return f"fake {prompt}"


class MockedStreams(chains.ChainletBase):
    async def run_remote(self, n: int) -> AsyncIterator[str]:
        yield str(n)


class MockedStreamUser(chains.ChainletBase):
    def __init__(self, streams: MockedStreams = chains.depends(MockedStreams)) -> None:
        self.streams = streams

    async def run_remote(self) -> list[str]:
        return [item async for item in self.streams.run_remote(1)]


with pytest.warns(DeprecationWarning):

    class MockedBlocking(chains.ChainletBase):
        def run_remote(self, n: int) -> int:
            return n


class MockedWrapped(chains.TrussChainlet):
    truss_dir = "x"


class Color(enum.Enum):
    RED = "red"


class Node(BaseModel):
    name: str
    children: list["Node"]
    parent: Optional["Node"] = None


class Tree(BaseModel):
    left: "Tree | int"


class Infinite(BaseModel):
    inner: "Infinite"


class Options(TypedDict, total=False):
    depth: int


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]


class Big(BaseModel):
    text: str
    short: Annotated[str, Field(max_length=2)]
    long: Annotated[str, Field(min_length=40)]
    code: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    count: PositiveInt
    even: Annotated[int, Field(multiple_of=2, ge=7, lt=11)]
    negative: Annotated[int, Field(lt=-3)]
    share: Annotated[float, Field(gt=0, lt=1)]
    below: Annotated[float, Field(le=-2.5)]
    step: Annotated[float, Field(multiple_of=0.5, gt=3)]
    at: datetime
    day: date
    clock: time
    span: timedelta
    id: UUID
    color: Color
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    maybe: int | None
    pair: tuple[int, str]
    many: Annotated[list[int], Len(3, 5)]
    few: set[str]
    distinct: Annotated[set[int], Len(3)]
    names: Annotated[set[str], Len(2)]
    flags: frozenset[bool]
    table: dict[str, float]
    filled: Annotated[dict[str, int], Len(2)]
    raw: bytes
    path: Path
    url: AnyUrl
    address: IPv4Address
    options: Options
    array: NumpyArrayField
    anything: Any
    defaulted: int = 12
    alias: int = Field(alias="otherName")


TYPES: list[Any] = [
    int,
    float,
    bool,
    str,
    None,
    bytes,
    list[int],
    dict[str, list[int]],
    tuple[int, ...],
    Big,
    Node,
    Tree,
    Cat | Dog,
    RootModel[list[Cat]],
    Literal["x", "y"],
    Options,
]


def run(awaitable: Any) -> Any:
    return asyncio.run(awaitable)


# --- values from schemas -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", TYPES, ids=str)
@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_auto_values_conform_to_their_type_and_are_always_the_same(form: Any, mode: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(form)
    schema = adapter.json_schema(mode=mode)
    value = auto_value(schema)
    adapter.validate_python(value)
    assert value == auto_value(schema)


def test_auto_values_of_decimals_come_from_what_is_accepted() -> None:
    assert auto_value(TypeAdapter(Decimal).json_schema()) == 1.0


@pytest.mark.parametrize("mode", ["validation", "serialization"])
@pytest.mark.parametrize(
    "form", [complex, Decimal, list[complex], Decimal | None, tuple[Decimal, complex]], ids=str
)
def test_auto_values_of_numbers_that_are_text_in_json(form: Any, mode: Any) -> None:
    """The schemas of endpoints say what the text stands for."""
    adapter: TypeAdapter[Any] = TypeAdapter(form)
    value = auto_value(adapter.json_schema(mode=mode, schema_generator=QuietJsonSchema))
    adapter.validate_json(json.dumps(value))


def test_auto_values_use_what_the_schema_says() -> None:
    assert auto_value({"type": "string", "examples": ["hey"]}) == "hey"
    assert auto_value({"type": "string", "default": "d"}) == "d"
    assert auto_value({"const": 3}) == 3
    assert auto_value({"enum": ["x"]}) == "x"
    assert auto_value({"type": "string"}, name="title") == "title"
    assert auto_value({"allOf": [{"type": "integer"}, {"minimum": 5}]}) == 5
    assert auto_value({"type": ["null", "integer"]}) == 1
    assert auto_value({}) is None


def test_recursive_types_end() -> None:
    assert auto_value(TypeAdapter(Node).json_schema()) == {"name": "name", "children": [], "parent": None}


@pytest.mark.parametrize(
    "schema",
    [
        Infinite.model_json_schema(),
        {"type": "string", "pattern": "^q{7}x$"},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 4},
        {"type": "number", "exclusiveMinimum": 3, "maximum": 3},
        {"type": "array", "minItems": 3, "uniqueItems": True, "items": {"type": "boolean"}},
        {"$ref": "#/$defs/absent"},
        {"type": "array", "minItems": 1, "items": {"not": {}, "type": "strange"}},
    ],
)
def test_what_has_no_simple_value_is_said(schema: dict[str, Any]) -> None:
    with pytest.raises(NoValueError, match=r"."):
        auto_value(schema)


# --- in run_local --------------------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("key", [MockedPhi, "MockedPhi"])
def test_mocks_stand_in_at_any_depth_and_are_made_once(key: Any, strict: bool) -> None:
    before = FakePhi.made
    with chains.run_local(mocks={key: FakePhi}, strict=strict):
        assert run(MockedEntry().run_remote("p")) == "fake p fake p"
        MockedEntry()
    assert FakePhi.made == before + 1


def test_an_object_is_used_as_it_is_and_names_may_be_display_names() -> None:
    fake = FakePhi()
    with chains.run_local(mocks={"MockedPhi": fake}):
        assert MockedEntry().phi is fake
    with chains.run_local(mocks={"front": MockedEntry}):  # known by its display name; nothing depends on it
        pass


def test_a_keyword_wins_over_a_mock() -> None:
    fake = FakePhi()
    with chains.run_local(mocks={MockedPhi: "auto"}):
        assert MockedMiddle(phi=fake).phi is fake  # type: ignore[arg-type]


def test_a_chainlet_as_mock_gets_its_own_dependencies() -> None:
    class SmallPhi(chains.ChainletBase):
        def __init__(self, streams: MockedStreams = chains.depends(MockedStreams)) -> None:
            self.streams = streams

        async def run_remote(self, prompt: str, temperature: float = 1.0) -> str:
            return "".join([item async for item in self.streams.run_remote(3)])

    with chains.run_local(mocks={MockedPhi: SmallPhi}):
        assert run(MockedEntry().run_remote("p")) == "3 3"


def test_a_mock_that_needs_what_it_replaces_is_refused() -> None:
    class Around(chains.ChainletBase):
        def __init__(self, phi: MockedPhi = chains.depends(MockedPhi)) -> None: ...

        async def run_remote(self, prompt: str, temperature: float = 1.0) -> str:
            return prompt

    with (
        chains.run_local(mocks={MockedPhi: Around}),
        pytest.raises(ChainsUsageError, match=r"CH127.*`Around`.*`MockedPhi`"),
    ):
        MockedEntry()


@pytest.mark.parametrize("strict", [False, True])
def test_auto_mocks_answer_by_type(strict: bool) -> None:
    with chains.run_local(mocks={MockedPhi: "auto", MockedStreams: "auto"}, strict=strict):
        assert run(MockedEntry().run_remote("p")) == "MockedPhi MockedPhi"
        assert run(MockedStreamUser().run_remote()) == ["MockedStreams", "MockedStreams"]


def test_auto_mocks_take_the_arguments_of_the_real_one() -> None:
    mock: Any = AutoMock(MockedBlocking)
    assert mock.run_remote(n=1) == 1
    with pytest.raises(TypeError, match="nonsense"):
        mock.run_remote(1, nonsense=1)


def test_auto_mocks_give_fresh_values() -> None:
    class Lists(chains.ChainletBase):
        async def run_remote(self) -> list[int]:
            return []

    mock: Any = AutoMock(Lists)
    run(mock.run_remote()).append(5)
    assert run(mock.run_remote()) == [1]


# --- refused -------------------------------------------------------------------------------------------


def refused(**mocks: Any) -> str:
    with pytest.raises(ChainsUsageError) as caught:
        chains.run_local(mocks=mocks)
    assert str(caught.value).startswith("CH127: ")
    return str(caught.value)


def test_unknown_names_and_wrong_values_are_refused() -> None:
    assert "`Nobody` is no Chainlet" in refused(Nobody=FakePhi)
    assert "'automatic'" in refused(MockedPhi="automatic")
    with pytest.raises(ChainsUsageError, match="`int` is no Chainlet"):
        chains.run_local(mocks={int: FakePhi})
    assert "stand-in" in refused(MockedWrapped="auto")


def test_a_misfit_shows_both_signatures() -> None:
    class Old:
        async def run_remote(self, text: str) -> str:
            return text

    assert refused(MockedPhi=Old) == (
        "CH127: `Old` does not fit `MockedPhi`: the mock has no parameter `prompt`.\n"
        "  real: async def MockedPhi.run_remote(self, prompt: str, temperature: float = 1.0) -> str\n"
        "  mock: async def Old.run_remote(self, text: str) -> str"
    )


class NoMethod: ...


class Fewer:
    async def run_remote(self, prompt: str) -> str: ...  # type: ignore[empty-body]


class RequiresOptional:
    async def run_remote(self, prompt: str, temperature: float) -> str: ...  # type: ignore[empty-body]


class RequiresMore:
    async def run_remote(self, prompt: str, temperature: float = 1, *, seed: int) -> str: ...  # type: ignore[empty-body]


class Swapped:
    async def run_remote(self, temperature: float = 1, prompt: str = "") -> str: ...  # type: ignore[empty-body]


class KeywordOnly:
    async def run_remote(self, *, prompt: str, temperature: float = 1) -> str: ...  # type: ignore[empty-body]


class NotAsync:
    def run_remote(self, prompt: str, temperature: float = 1) -> str: ...  # type: ignore[empty-body]


class Generates:
    async def run_remote(self, prompt: str, temperature: float = 1) -> AsyncIterator[str]:
        yield ""


@pytest.mark.parametrize(
    ("mock", "reason"),
    [
        (NoMethod, "has no method `run_remote`"),
        (Fewer, "no parameter `temperature`"),
        (RequiresOptional, "may be left out"),
        (RequiresMore, "requires `seed`"),
        (Swapped, "`prompt` is at another position"),
        (KeywordOnly, "another position"),
        (NotAsync, "the mock is not"),
        (Generates, "is a generator"),
    ],
)
def test_mocks_that_callers_could_not_call_are_refused(mock: type, reason: str) -> None:
    assert reason in refused(MockedPhi=mock)
    assert reason in refused(MockedPhi=mock())


def test_kinds_have_to_match() -> None:
    class Awaits:
        async def run_remote(self, n: int) -> int:
            return n

    assert "has to be awaited" in refused(MockedStreams=Awaits)
    assert "the real one is not" in refused(MockedBlocking=Awaits)


class Anything:
    async def run_remote(self, *args: Any, **kwargs: Any) -> Any:
        return 1


class ReturnsStream:
    def run_remote(self, n: int) -> AsyncIterator[str]:
        return MockedStreams.run_remote(MockedStreams(), n)


class CallableAttribute:
    def __init__(self) -> None:
        self.run_remote = Anything().run_remote


class MoreOptional:
    async def run_remote(self, prompt: str, temperature: float = 1, seed: int = 0) -> str: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("real", "mock"),
    [
        (MockedPhi, FakePhi),
        (MockedPhi, Anything),
        (MockedPhi, MoreOptional()),
        (MockedPhi, CallableAttribute()),
        (MockedStreams, ReturnsStream),
        (MockedWrapped, object()),
    ],
)
def test_duck_typed_mocks_are_fine(real: type, mock: object) -> None:
    check_fit(real, mock)


def test_an_impossible_auto_value_says_what_helps() -> None:
    class Strange(BaseModel):
        text: Annotated[str, Field(pattern="^q{7}x$")]

    class Answers(chains.ChainletBase):
        async def run_remote(self) -> Strange: ...  # type: ignore[empty-body]

    text = refused(Answers="auto")
    assert re.search(r"`Answers\.run_remote`.*`text`.*`examples`", text)
