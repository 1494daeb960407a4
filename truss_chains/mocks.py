"""Stand-ins for dependencies: `run_local(mocks={PhiLLM: FakePhiLLM})`, and `auto` ones made from types.

Comes in: what the user gave, by class or name. Goes out: one `Mock` per dependency class, or a
`ChainsUsageError` (CH127) that shows both signatures where a mock's method does not fit.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter

from chains_protocol.errors import Code
from truss_chains.chainlet import is_chainlet_class
from truss_chains.endpoint_wire import wire_of
from truss_chains.errors import ChainsUsageError
from truss_chains.inspection import Endpoint, endpoint_of, is_async, is_generator
from truss_chains.schema_values import NoValueError, auto_value

AUTO: Final = "auto"
AUTO_STREAM_ITEMS: Final = 2


@dataclass(frozen=True)
class Mock:
    """What stands in for the Chainlet class `real`: an instance, or a class that is called once."""

    real: type
    stand_in: Any  # anything with the right method

    @property
    def is_chainlet(self) -> bool:
        """A class that has its own dependencies filled as any Chainlet."""
        return is_chainlet_class(self.stand_in)

    def make(self) -> Any:
        """The instance; of a plain class, made without arguments."""
        return self.stand_in() if isinstance(self.stand_in, type) else self.stand_in


def resolve_mocks(given: Mapping[type | str, Any], known: Iterable[type]) -> dict[type, Mock]:
    """Check what the user gave and find the classes that names mean.

    Args:
        given: Chainlet class, class name or display name -> a class, an instance or "auto".
        known: the declared Chainlet classes.

    Raises:
        ChainsUsageError: CH127, a key that is no Chainlet, or a mock whose method does not fit.
    """
    declared = tuple(known)
    mocks: dict[type, Mock] = {}
    for key, stand_in in given.items():
        real = _find(key, declared)
        if isinstance(stand_in, str):
            if stand_in != AUTO:
                raise _unusable(
                    f"the mock of `{real.__name__}` is {stand_in!r}: give a class, an object or {AUTO!r}"
                )
            mocks[real] = Mock(real, AutoMock(real))
        else:
            check_fit(real, stand_in)
            mocks[real] = Mock(real, stand_in)
    return mocks


def _find(key: type | str, declared: tuple[type, ...]) -> type:
    if isinstance(key, type) and is_chainlet_class(key):
        return key
    for cls in declared:
        if key in (cls.__name__, getattr(cls, "display_name", None)):
            return cls
    names = ", ".join(f"`{cls.__name__}`" for cls in declared) or "none"
    raise _unusable(
        f"`{getattr(key, '__name__', key)}` is no Chainlet that could be mocked; known are {names}"
    )


def _unusable(message: str) -> ChainsUsageError:
    return ChainsUsageError(message, code=Code.BAD_MOCK)


# --- does it fit ---------------------------------------------------------------------------------------


def check_fit(real: type, stand_in: object) -> None:
    """Refuse a stand-in that callers of `real` could not use. Types of values are not compared.

    Raises:
        ChainsUsageError: CH127 with both signatures.
    """
    try:
        endpoint = endpoint_of(real)
    except LookupError:
        return  # a wrapped Truss: its callers use a handle, whose use is not known here
    method = getattr(stand_in, endpoint.method_name, None)
    name = getattr(stand_in, "__name__", type(stand_in).__name__)
    if not callable(method):
        raise _unusable(
            f"`{name}` has no method `{endpoint.method_name}`, so it can't stand in for `{real.__name__}`. "
            f"Give it one:\n  {_written(real.__name__, endpoint.method_name, endpoint.function)}"
        )
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):
        return  # built-in or made by a mocking library: takes what it takes
    parameters = tuple(signature.parameters.values())
    if isinstance(stand_in, type) and inspect.isfunction(
        inspect.getattr_static(stand_in, endpoint.method_name)
    ):
        parameters = parameters[1:]
    problem = _misfit(endpoint, parameters) or _other_kind(endpoint, method)
    if problem:
        raise _unusable(
            f"`{name}` does not fit `{real.__name__}`: {problem}.\n"
            f"  real: {_written(real.__name__, endpoint.method_name, endpoint.function)}\n"
            f"  mock: {_written(name, endpoint.method_name, method)}"
        )


def _misfit(endpoint: Endpoint, parameters: tuple[inspect.Parameter, ...]) -> str | None:
    """Why a call that fits the real method would not fit these parameters."""
    kinds = {p.kind for p in parameters}
    takes_any_name = inspect.Parameter.VAR_KEYWORD in kinds
    takes_any_order = inspect.Parameter.VAR_POSITIONAL in kinds
    by_order = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    names = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for number, wanted in enumerate(endpoint.parameters):
        found = names.pop(wanted.name, None)
        if found is None:
            if not takes_any_name:
                return f"the mock has no parameter `{wanted.name}`"
            continue
        if wanted.is_optional and found.default is found.empty:
            return f"`{wanted.name}` may be left out of a call, but the mock requires it"
        position = by_order.index(found) if found in by_order else None
        if position != number and not (wanted.is_keyword_only or takes_any_order):
            return f"`{wanted.name}` is at another position"
    extra = next((p.name for p in names.values() if p.default is p.empty), None)
    return f"the mock requires `{extra}`, which no caller passes" if extra else None


def _other_kind(endpoint: Endpoint, method: Callable[..., Any]) -> str | None:
    """Why the mock would have to be called in another way: `await`, `async for` or neither."""
    function = getattr(method, "__func__", method)
    if not inspect.isfunction(function):
        return None
    if endpoint.stream_type is not None:
        # A plain function may return an iterator; a coroutine function can't be iterated.
        awaits = is_async(function) and not is_generator(function)
        return "the real one is an async generator, the mock has to be awaited" if awaits else None
    if is_generator(function):
        return "the mock is a generator, the real one is not"
    if endpoint.is_async and not is_async(function) and not _may_return_awaitable(function):
        return "the real one is `async`, the mock is not"
    if not endpoint.is_async and is_async(function):
        return "the mock is `async`, the real one is not"
    return None


def _may_return_awaitable(function: Callable[..., Any]) -> bool:
    """A function without return annotation may hand on somebody else's coroutine, as `lambda` mocks do."""
    return getattr(function, "__name__", "") == "<lambda>"


def _written(owner: str, name: str, function: Callable[..., Any]) -> str:
    """`async def Owner.name(...) -> ...` as text."""
    plain = getattr(function, "__func__", function)
    prefix = "async def" if inspect.isfunction(plain) and is_async(plain) else "def"
    return f"{prefix} {owner}.{name}{inspect.signature(plain)}"


# --- auto ----------------------------------------------------------------------------------------------


class AutoMock:
    """Stands in for a Chainlet: its method takes the same arguments and gives values made from its types.

    Raises:
        ChainsUsageError: CH127, no value can be made up for the return type, or there is no typed method.
    """

    def __init__(self, real: type) -> None:
        try:
            wire = wire_of(real)
        except LookupError:
            raise _unusable(
                f"`{real.__name__}` wraps a Truss and has no typed method: pass a stand-in"
            ) from None
        endpoint = wire.endpoint
        self._bind = wire.bind
        self._make = _maker(real, endpoint)
        if wire.is_streaming:
            method: Callable[..., Any] = self._stream
        elif endpoint.is_async:
            method = self._call
        else:
            method = self._call_blocking
        setattr(self, endpoint.method_name, method)

    async def _call(self, *args: Any, **kwargs: Any) -> Any:
        return self._call_blocking(*args, **kwargs)

    def _call_blocking(self, *args: Any, **kwargs: Any) -> Any:
        self._bind(args, kwargs)
        return self._make()

    async def _stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        self._bind(args, kwargs)
        for _ in range(AUTO_STREAM_ITEMS):
            yield self._make()


def _maker(real: type, endpoint: Endpoint) -> Callable[[], Any]:
    """A function that makes a fresh value of the endpoint's result or item type."""
    form = endpoint.return_type if endpoint.stream_type is None else endpoint.stream_type
    adapter: TypeAdapter[Any] = TypeAdapter(form)
    try:
        value = auto_value(adapter.json_schema(), name=real.__name__)
        adapter.validate_python(value)
    except (NoValueError, ValueError) as error:
        raise _unusable(
            f"no value can be made up for the result of `{real.__name__}.{endpoint.method_name}`: {error}"
        ) from error
    return lambda: adapter.validate_python(value)


__all__ = ["AUTO", "AutoMock", "Mock", "NoValueError", "auto_value", "check_fit", "resolve_mocks"]
