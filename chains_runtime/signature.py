"""The typed method of a class, compiled once: what both ends of a call validate and write with.

Comes in: a class of the user's code. Goes out: pydantic adapters for its arguments (as one
object, R-20) and for its result or stream items. Built from the class, never from a schema,
so both ends use the types that their own source has.
"""

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, NotRequired, Optional

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from chains_protocol.spec import StreamItem


class Mode(StrEnum):
    """How a method answers."""

    ASYNC = "async"
    SYNC = "sync"
    STREAM = "stream"
    WEBSOCKET = "websocket"
    OPEN = "open"
    """Untyped: a coroutine function whose result shows whether it is a stream."""


@dataclass(frozen=True)
class CallSignature:
    """The method `name` of the class `owner`: its mode, parameters' types and result's type.

    `optional` are the parameters with a default, which stays with the callee (R-21).
    """

    owner: str
    name: str
    mode: Mode
    parameters: dict[str, Any]
    """Types as the user wrote them, which may be anything pydantic knows."""
    optional: frozenset[str]
    result: Any
    """Type of the result, or of one stream item."""
    keyword_only: frozenset[str] = frozenset()

    @cached_property
    def positional(self) -> tuple[str, ...]:
        """The parameters that may be given by position, in order."""
        return tuple(name for name in self.parameters if name not in self.keyword_only)

    @cached_property
    def arguments(self) -> TypeAdapter[dict[str, Any]]:
        """Adapter of the object whose keys are the parameters; absent optional ones stay absent."""
        fields = {
            name: NotRequired[Optional[hint]] if name in self.optional else hint  # noqa: UP045 (built at run time)
            for name, hint in self.parameters.items()
        }
        # The functional form with computed fields is beyond what a type checker follows.
        make: Any = TypedDict
        return TypeAdapter(make(f"{self.owner}Input", fields))

    @cached_property
    def answer(self) -> TypeAdapter[Any]:
        """Adapter of the result or of one stream item."""
        return TypeAdapter(self.result)

    @property
    def stream_item(self) -> StreamItem | None:
        """What an item is on the wire; None if the method does not stream."""
        if self.mode is not Mode.STREAM:
            return None
        return {bytes: StreamItem.BYTES, str: StreamItem.STR}.get(self.result, StreamItem.MODEL)

    def compile(self) -> None:
        """Build the adapters now, off the hot path; raises what pydantic raises for impossible types."""
        if self.mode is not Mode.WEBSOCKET:
            _ = self.arguments, self.answer

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Positional and keyword arguments as one object, only what was given (G-55).

        Raises:
            TypeError: worded as Python words it for a call that does not fit.
        """
        if args:
            names = self.positional
            if len(args) > len(names):
                raise TypeError(
                    f"{self.owner}.{self.name}() takes {len(names)} positional arguments "
                    f"but {len(args)} were given"
                )
            for name, value in zip(names, args, strict=False):
                if name in kwargs:
                    raise TypeError(f"{self.owner}.{self.name}() got multiple values for argument '{name}'")
                kwargs[name] = value
        if kwargs.keys() != self.parameters.keys():
            self._check_names(kwargs)
        return kwargs

    def _check_names(self, given: dict[str, Any]) -> None:
        for name in given:
            if name not in self.parameters:
                raise TypeError(f"{self.owner}.{self.name}() got an unexpected keyword argument '{name}'")
        for name in self.parameters:
            if name not in given and name not in self.optional:
                raise TypeError(f"{self.owner}.{self.name}() missing required argument: '{name}'")


def read_signature(cls: type, method_name: str, *, untyped: bool = False) -> CallSignature:
    """Read the method from the class. `untyped`, as a stand-in may be: any value where a type is missing.

    Raises:
        TypeError: there is no such method, or a type is missing.
        NameError: an annotation names something that does not exist.
    """
    method = getattr(cls, method_name, None)
    if not callable(method):
        raise TypeError(f"`{cls.__qualname__}` has no method `{method_name}`")
    function: Callable[..., Any] = inspect.unwrap(method)
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    types: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.name not in hints and not untyped:
            raise TypeError(f"parameter `{parameter.name}` of `{cls.__qualname__}.{method_name}` has no type")
        types[parameter.name] = hints.get(parameter.name, Any)
    returned = hints.get("return", Any)
    mode = _mode(function, types)
    return CallSignature(
        owner=cls.__qualname__,
        name=method_name,
        mode=mode,
        parameters=types,
        optional=frozenset(p.name for p in parameters if p.default is not p.empty),
        result=_item(returned) if mode is Mode.STREAM else returned,
        keyword_only=frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY),
    )


def _mode(function: Callable[..., Any], types: dict[str, Any]) -> Mode:
    if any(getattr(hint, "__name__", "") == "WebSocketProtocol" for hint in types.values()):
        return Mode.WEBSOCKET
    if inspect.isasyncgenfunction(function):
        return Mode.STREAM
    if inspect.iscoroutinefunction(function):
        return Mode.ASYNC
    return Mode.SYNC


def _item(returned: object) -> object:
    """The `T` of `AsyncIterator[T]`; bytes if it is not said."""
    found = typing.get_args(returned)
    return found[0] if found else bytes


__all__ = ["CallSignature", "Mode", "read_signature"]
