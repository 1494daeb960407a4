"""Every kind of type that may cross between Chainlets, as argument and as result."""

import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, NamedTuple, Optional, TypeVar, Union

from pydantic import BaseModel, Field, JsonValue, RootModel
from typing_extensions import NotRequired, TypedDict

import truss_chains as chains
from truss_chains.pydantic_numpy import NumpyArrayField

ItemT = TypeVar("ItemT")
CONFIG = chains.RemoteConfig(docker_image=chains.DockerImage(pip_requirements=["numpy"]))


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Query(BaseModel):
    text: str
    limit: int = Field(default=3, ge=1)


class Page(BaseModel, Generic[ItemT]):
    items: list[ItemT]


class Names(RootModel[list[str]]):
    pass


class Matrix(BaseModel):
    values: NumpyArrayField


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class Pair(NamedTuple):
    left: int
    right: str


class Row(TypedDict):
    name: str
    note: NotRequired[str]


class Plain(chains.ChainletBase):
    remote_config = CONFIG

    async def run_remote(
        self, a: int, b: float, c: complex, d: bool, e: str, f: bytes, g: None
    ) -> tuple[int, float, complex, bool, str, bytes, None]:
        return a, b, c, d, e, f, g


class Standard(chains.ChainletBase):
    remote_config = CONFIG

    async def run_remote(
        self,
        a: datetime.datetime,
        b: datetime.date,
        c: datetime.time,
        d: datetime.timedelta,
        e: decimal.Decimal,
        f: uuid.UUID,
        g: pathlib.Path,
        h: Colour,
        i: Level,
        j: Literal["x", 1],
    ) -> dict[str, datetime.date]:
        return {}


class Models(chains.ChainletBase):
    remote_config = CONFIG

    async def run_remote(
        self, a: Query, b: Page[int], c: Names, d: Matrix, e: Point, f: Row, g: Pair, h: BaseModel | None = None
    ) -> Page[Query]:
        return Page[Query](items=[a])


class Containers(chains.ChainletBase):
    remote_config = CONFIG

    async def run_remote(
        self,
        a: list[int],
        b: dict[str, float],
        c: list[list[int]],
        d: dict[str, list[Query]],
        e: set[str],
        f: frozenset[int],
        g: tuple[int, ...],
        h: tuple[int, str],
        i: list,
        j: dict,
        k: Sequence[Mapping[str, int]],
        l: dict[str, Any],
        m: dict[int, str],
        n: dict[Colour, int],
    ) -> list[dict[str, tuple[int, str]]]:
        return []


class Unions(chains.ChainletBase):
    remote_config = CONFIG

    async def run_remote(
        self,
        a: int | None,
        b: Optional[str],
        c: Union[int, str],
        d: Query | Point | None,
        e: Annotated[int, Field(ge=0)],
        f: "list[Query]",
        g: JsonValue = 3,
        *,
        h: list[int | str] = [],
    ) -> Query | None:
        return None


class Text(chains.ChainletBase):
    remote_config = CONFIG

    async def run_remote(self) -> AsyncIterator[str]:
        yield "a"


class Bytes(chains.ChainletBase):
    remote_config = CONFIG

    async def run_remote(self) -> AsyncIterator[bytes]:
        yield b"a"


class Items(chains.ChainletBase):
    remote_config = CONFIG

    async def run_remote(self) -> AsyncIterator[Query]:
        yield Query(text="a")


class Nothing(chains.ChainletBase):
    remote_config = CONFIG

    async def run_remote(self) -> None:
        return None

    async def is_healthy(self) -> bool:
        return True


@chains.mark_entrypoint
class Socket(chains.ChainletBase):
    remote_config = CONFIG

    def __init__(
        self,
        plain: Plain = chains.depends(Plain),
        standard: Standard = chains.depends(Standard),
        models: Models = chains.depends(Models),
        containers: Containers = chains.depends(Containers),
        unions: Unions = chains.depends(Unions),
        text: Text = chains.depends(Text),
        data: Bytes = chains.depends(Bytes),
        items: Items = chains.depends(Items),
        nothing: Nothing = chains.depends(Nothing),
        context: chains.DeploymentContext = chains.depends_context(),
    ) -> None:
        self._plain = plain

    async def run_remote(self, socket: chains.WebSocketProtocol) -> None:
        await socket.close()
