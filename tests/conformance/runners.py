"""The three ways to run a case: plain Python calls, strict calls, and replicas behind the gateway."""

import importlib
import json
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol

import httpx
import pytest
from pydantic_core import to_jsonable_python

from truss_chains import validation
from truss_chains.local import run_local

PROGRAMS: Final = Path(__file__).parent / "programs"
SECRETS: Final = {"own-secret": "s3cret"}


class Mode(StrEnum):
    PLAIN = "plain"
    STRICT = "strict"
    PLATFORM = "platform"


MODES: Final = (
    Mode.PLAIN,
    Mode.STRICT,
    pytest.param(Mode.PLATFORM, marks=[pytest.mark.e2e, pytest.mark.timeout(300)]),
)


@dataclass(frozen=True)
class Raised:
    """What the caller of the entrypoint gets instead of a result; `status` only from a gateway."""

    name: str
    status: int = 0


@dataclass(frozen=True)
class Case:
    """One call of a program's entrypoint.

    Args:
        inputs: arguments of `run_remote`.
        expected: what it gives, as JSON, wherever it runs.
        plain: what it gives with plain Python calls, if the rule says that this must differ.
        rule: the rule that lets it differ.
        differs: the same by mode, where another one than the plain mode is special.
    """

    name: str
    inputs: Mapping[str, Any]
    expected: Any
    plain: Any = None
    rule: str = ""
    differs: Mapping[Mode, Any] = field(default_factory=dict)

    def expected_in(self, mode: Mode) -> Any:
        """What it must give in `mode`."""
        if mode in self.differs:
            return self.differs[mode]
        return self.plain if mode is Mode.PLAIN and self.rule and not self.differs else self.expected

    def __post_init__(self) -> None:
        assert bool(self.rule) == (self.plain is not None or bool(self.differs)), "a difference needs a rule"


class Runner(Protocol):
    """Runs cases of one program."""

    async def run(self, inputs: Mapping[str, Any]) -> Any: ...


def load_program(name: str) -> ModuleType:
    """The module of `programs`, imported once; its definitions stay out of sight of other tests."""
    if str(PROGRAMS) not in sys.path:
        sys.path.insert(0, str(PROGRAMS))
    with validation.scope(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".* is not `async`")  # V-53
        return importlib.import_module(name)


def local_entrypoint(name: str, entrypoint: str, *, strict: bool) -> Any:
    """An instance of the program's entrypoint in this process."""
    with validation.scope():  # definitions of other tests are no concern of this one
        cls = getattr(load_program(name), entrypoint)
        with run_local(secrets=SECRETS, strict=strict):
            return cls()


@dataclass(frozen=True)
class LocalRunner:
    """Calls an entrypoint of this process."""

    instance: Any

    async def run(self, inputs: Mapping[str, Any]) -> Any:
        try:
            result = self.instance.run_remote(**inputs)
            if hasattr(result, "__aiter__"):
                return "".join([item async for item in result])
            return to_jsonable_python(await result)
        except BaseException as error:  # a case may end the process, too
            return Raised(type(error).__name__)


@dataclass(frozen=True)
class Pushed:
    """A deployed program."""

    url: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Api-Key {self.token}"}


@dataclass(frozen=True)
class GatewayRunner:
    """Calls a deployed entrypoint as any client does."""

    pushed: Pushed
    is_stream: bool = False

    async def run(self, inputs: Mapping[str, Any]) -> Any:
        async with httpx.AsyncClient(headers=self.pushed.headers, timeout=60) as client:
            try:
                answer = await client.post(self.pushed.url, json=dict(inputs))
            except httpx.RemoteProtocolError:
                return Raised("ConnectionError")
        if answer.is_success:
            return answer.text if self.is_stream else answer.json()
        error = json.loads(answer.content)["error"]
        name = error["exception_cls_name"] if isinstance(error, dict) else "text"
        return Raised(name, answer.status_code)


MakeRunner = Callable[[Mode], Runner]

__all__ = [
    "MODES",
    "PROGRAMS",
    "SECRETS",
    "Case",
    "GatewayRunner",
    "LocalRunner",
    "MakeRunner",
    "Mode",
    "Pushed",
    "Raised",
    "Runner",
    "load_program",
    "local_entrypoint",
]
