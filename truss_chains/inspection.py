"""Reading a Chainlet class: its endpoint, its dependencies, its annotations.

The rules, `run_local`, the runtime and `describe` all see a class through these functions.
They read; they never judge. On a class that breaks rules they return what is there.
"""

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from chains_protocol.kinds import ChainletKind, StreamItem
from truss_chains.chainlet import chainlet_kind, has_own_init, is_chainlet_class
from truss_chains.dependency import ContextMarker, DependencyMarker
from truss_chains.signatures import signature_of

Method = Callable[..., Any]  # user methods take and return anything
MISSING: Final = inspect.Parameter.empty
HEALTH_METHOD: Final = "is_healthy"

_STREAM_ORIGINS: Final = (
    collections.abc.AsyncIterator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncGenerator,
    collections.abc.Iterator,
    collections.abc.Iterable,
    collections.abc.Generator,
)


class UnresolvedAnnotationError(Exception):
    """A text annotation names something that does not exist (yet)."""

    def __init__(self, annotation: str, cause: Exception) -> None:
        super().__init__(str(cause))
        self.annotation = annotation


@dataclass(frozen=True)
class EndpointParameter:
    """One argument of an endpoint, with its resolved type. `default` is `MISSING` if there is none."""

    name: str
    annotation: Any  # a type form
    default: Any  # whatever the user wrote
    is_keyword_only: bool = False

    @property
    def is_optional(self) -> bool:
        return self.default is not MISSING


@dataclass(frozen=True)
class Endpoint:
    """The typed method of a Chainlet, resolved. `stream_type` is the type of one item of a stream."""

    method_name: str
    function: Method
    is_async: bool
    is_websocket: bool
    parameters: tuple[EndpointParameter, ...]
    return_type: Any  # a type form
    stream_type: Any = None  # a type form

    @property
    def stream_item(self) -> StreamItem | None:
        """What an item of the stream is on the wire; None if it is no stream."""
        if self.stream_type is None:
            return None
        known = {bytes: StreamItem.BYTES, str: StreamItem.STR}
        return known.get(self.stream_type, StreamItem.MODEL)


def method_name(cls: type) -> str:
    """The name of the endpoint's method: `predict` for a model, else `run_remote`."""
    return "predict" if chainlet_kind(cls) is ChainletKind.MODEL else "run_remote"


def class_attribute(cls: type, name: str) -> object:
    """The attribute as it is written in the class or a base, without binding it; `MISSING` if absent."""
    return inspect.getattr_static(cls, name, MISSING)


def defining_class(cls: type, name: str) -> type:
    """The class in the tree of `cls` whose body has the attribute; `cls` itself if none has."""
    return next((base for base in cls.__mro__ if name in vars(base)), cls)


def endpoint_function(cls: type) -> Method | None:
    """The endpoint's plain function; None if it is missing or something else."""
    found = class_attribute(cls, method_name(cls))
    return found if isinstance(found, types.FunctionType) else None


def is_generator(function: Method) -> bool:
    """Whether the function contains `yield`, below its decorators too."""
    candidates = (function, inspect.unwrap(function))
    return any(inspect.isgeneratorfunction(f) or inspect.isasyncgenfunction(f) for f in candidates)


def is_async(function: Method) -> bool:
    """Whether calling it gives something to await or to iterate with `async for`."""
    candidates = (function, inspect.unwrap(function))
    return any(inspect.iscoroutinefunction(f) or inspect.isasyncgenfunction(f) for f in candidates)


def parameters_of(function: Method) -> tuple[inspect.Parameter, ...]:
    """All parameters, the first (`self`) included."""
    return tuple(signature_of(function).parameters.values())


def own_init(cls: type) -> Method | None:
    """The user's `__init__` in the tree of `cls`, without our wrapper; None if there is none."""
    if not has_own_init(cls):
        return None
    init: Method = inspect.unwrap(cls.__init__)  # type: ignore[misc]  # reading it is the point
    return init


def init_parameters(cls: type) -> tuple[inspect.Parameter, ...]:
    """The parameters of the user's `__init__`, without `self`."""
    init = own_init(cls)
    return parameters_of(init)[1:] if init else ()


def dependencies_of(cls: type) -> dict[str, DependencyMarker]:
    """The declared dependencies, by parameter name, in order."""
    return {p.name: p.default for p in init_parameters(cls) if isinstance(p.default, DependencyMarker)}


def takes_context(cls: type) -> bool:
    """Whether the Chainlet declares `context=depends_context()`."""
    return any(p.name == "context" and isinstance(p.default, ContextMarker) for p in init_parameters(cls))


def resolve(annotation: Any, function: Method, owner: type) -> Any:
    """The type that an annotation of `function`, written in the body of `owner`, means.

    Names in text are looked up as Python would: in the class body, in the function around
    the class, in the module of the function.

    Raises:
        UnresolvedAnnotationError: a name does not exist, or the text is no expression.
    """
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    plain = inspect.unwrap(function)
    try:
        hints = typing.get_type_hints(
            holder,
            globalns=getattr(plain, "__globals__", {}),
            localns=_local_names(owner),
            include_extras=True,
        )
    except Exception as error:  # evaluating a user's text can raise anything
        raise UnresolvedAnnotationError(str(annotation), error) from error
    return hints["it"]


def _local_names(owner: type) -> Mapping[str, Any]:
    names: dict[str, Any] = {}
    if is_chainlet_class(owner):
        from truss_chains.chainlet import declaration_of

        names.update(declaration_of(owner).names)
    names.update(vars(owner))
    return names


def is_websocket_type(annotation: object) -> bool:
    """Whether the annotation is `WebSocketProtocol`."""
    if getattr(annotation, "__name__", None) != "WebSocketProtocol":
        return False
    from truss_chains.websocket import WebSocketProtocol

    return annotation is WebSocketProtocol


def has_websocket(cls: type, *, skip_unresolved: bool = False) -> bool:
    """Whether the endpoint takes a websocket.

    Args:
        cls: a Chainlet class.
        skip_unresolved: take an annotation that can't be resolved for something else.

    Raises:
        UnresolvedAnnotationError: a text annotation names something that does not exist.
    """
    function = endpoint_function(cls)
    if function is None or chainlet_kind(cls) is ChainletKind.ENGINE_BUILDER:
        return False
    owner = defining_class(cls, method_name(cls))
    for parameter in parameters_of(function)[1:]:
        try:
            if parameter.annotation is not MISSING and is_websocket_type(
                resolve(parameter.annotation, function, owner)
            ):
                return True
        except UnresolvedAnnotationError:
            if not skip_unresolved:
                raise
    return False


def stream_parts(annotation: object) -> tuple[bool, Any]:
    """Whether a return annotation is an iterator, and the type of its items (`MISSING` if not given)."""
    origin = typing.get_origin(annotation) or annotation
    if origin not in _STREAM_ORIGINS:
        return False, MISSING
    arguments = typing.get_args(annotation)
    return True, arguments[0] if arguments else MISSING


def endpoint_of(cls: type) -> Endpoint:
    """The endpoint of a valid Chainlet, with all types resolved.

    Raises:
        UnresolvedAnnotationError: a text annotation names something that does not exist.
        LookupError: there is no endpoint, as in a `TrussChainlet`.
    """
    function = endpoint_function(cls)
    name = method_name(cls)
    if function is None:
        raise LookupError(f"`{cls.__name__}` has no method `{name}`")
    owner = defining_class(cls, name)
    parameters = tuple(
        EndpointParameter(p.name, resolve(p.annotation, function, owner), p.default, p.kind is p.KEYWORD_ONLY)
        for p in parameters_of(function)[1:]
    )
    raw_return = signature_of(function).return_annotation
    return_type = resolve(raw_return, function, owner)
    is_stream, item = stream_parts(return_type)
    return Endpoint(
        method_name=name,
        function=function,
        is_async=is_async(function),
        is_websocket=any(is_websocket_type(p.annotation) for p in parameters),
        parameters=parameters,
        return_type=return_type,
        stream_type=item if is_stream and is_generator(function) else None,
    )


__all__ = [
    "HEALTH_METHOD",
    "MISSING",
    "Endpoint",
    "EndpointParameter",
    "UnresolvedAnnotationError",
    "class_attribute",
    "defining_class",
    "dependencies_of",
    "endpoint_function",
    "endpoint_of",
    "has_websocket",
    "init_parameters",
    "is_async",
    "is_generator",
    "is_websocket_type",
    "method_name",
    "own_init",
    "parameters_of",
    "resolve",
    "stream_parts",
    "takes_context",
]
