"""`run_local`: a Chain in this process.

Within the block, calling a Chainlet class makes an instance whose dependencies are local
instances too. Calls are plain Python calls; with `strict=True` they behave as over the network
(`truss_chains.strict`), with `record=` they are told (`truss_chains.recording`).
"""

import threading
from collections.abc import Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from chains_protocol.errors import Code
from chains_protocol.kinds import ChainletKind
from truss_chains import validation
from truss_chains.chainlet import chainlet_kind
from truss_chains.construction import CONSTRUCTION, Init, Strategy, guard_construction
from truss_chains.dependency import DependencyMarker
from truss_chains.entrypoint import registry
from truss_chains.errors import ChainsRuntimeError, ChainsUsageError
from truss_chains.inspection import dependencies_of, init_parameters, takes_context
from truss_chains.local_loop import LoopForMainThread
from truss_chains.local_places import refuse_inside_chainlets

if TYPE_CHECKING:
    from truss_chains.context import DeployedServiceDescriptor, DeploymentContext
    from truss_chains.mocks import Mock
    from truss_chains.recording import Record

_BUILDING: Final[ContextVar[type | None]] = ContextVar("chains_building", default=None)
"""The Chainlet whose `__init__` runs; `_Framework` while Chains itself makes a dependency."""


class _Framework:
    """Stands in `_BUILDING` for ourselves."""


@dataclass(frozen=True)
class LocalSettings:
    """What `run_local` was given."""

    secrets: Mapping[str, str]
    data_dir: Path | None
    chainlet_to_service: "Mapping[str, DeployedServiceDescriptor]"
    strict: bool
    mocks: "Mapping[type, Mock]"
    record: "Record | None"


def run_local(
    secrets: Mapping[str, str] | None = None,
    data_dir: Path | str | None = None,
    chainlet_to_service: "Mapping[str, DeployedServiceDescriptor] | None" = None,
    *,
    strict: bool = False,
    mocks: Mapping[type | str, Any] | None = None,
    record: "Record | None" = None,
) -> "LocalRun":
    """A block in which Chainlets are made by calling their classes, without arguments.

    A keyword argument of such a call replaces the dependency of that name, for that instance.

    Args:
        secrets: all Chainlets find them in `context.secrets`.
        data_dir: `context.data_dir`.
        chainlet_to_service: services that `context.get_service_descriptor` knows.
        strict: copy, validate, retry, time out and limit calls as the network would.
        mocks: Chainlet class (or its name) -> a class or an object that stands in for it everywhere,
            or `"auto"` for one that answers with values made from the return type.
        record: told each call between Chainlets when it ends.

    Raises:
        ChainsUsageError: a definition breaks a rule (L-01), or a mock does not fit (CH127).

    Example:
        with run_local(mocks={PhiLLM: "auto"}):
            poems = asyncio.run(PoemGenerator().run_remote(["sea"]))
    """
    validation.raise_if_any()
    resolved: Mapping[type, Mock] = {}
    if mocks:
        from truss_chains.mocks import resolve_mocks

        resolved = resolve_mocks(mocks, registry)
    return LocalRun(
        LocalSettings(
            secrets=dict(secrets or {}),
            data_dir=None if data_dir is None else Path(data_dir),
            chainlet_to_service=dict(chainlet_to_service or {}),
            strict=strict,
            mocks=resolved,
            record=record,
        )
    )


@dataclass(frozen=True)
class _Shape:
    """What an `__init__` takes."""

    dependencies: Mapping[str, DependencyMarker]
    takes_context: bool
    names: frozenset[str] | None
    """Keywords it accepts; None for any."""

    @classmethod
    def of(cls, chainlet: type) -> "_Shape":
        parameters = init_parameters(chainlet)
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
        return cls(
            dependencies=dependencies_of(chainlet),
            takes_context=takes_context(chainlet),
            names=None if open_ended else frozenset(p.name for p in parameters),
        )


class LocalRun:
    """The context manager of `run_local`. One object is one block; enter it once."""

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self._defined_before = frozenset(registry)
        self._pool: dict[type, Any] = {}
        self._shapes: dict[type, _Shape] = {}
        # Threads that inherit the block's context may need the same dependency at once.
        self._lock = threading.RLock()
        self._loop = LoopForMainThread()
        self._token: Token[Strategy] | None = None
        self._outer: Strategy = guard_construction
        self._is_open = False

    def __enter__(self) -> Self:
        if self._token is not None:
            raise ChainsRuntimeError("this `run_local` block was entered already: call `run_local()` again")
        self._outer = CONSTRUCTION.get()
        self._token = CONSTRUCTION.set(self._construct)
        self._is_open = True
        self._loop.enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_open = False
        self._loop.leave()
        if self._token is None:
            return
        try:
            CONSTRUCTION.reset(self._token)
        except ValueError:  # left in another task or thread than entered, as by async fixtures
            CONSTRUCTION.set(self._outer)

    # --- construction ------------------------------------------------------------------------------

    def _construct(self, instance: Any, init: Init, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """The strategy: fill what the caller left open."""
        cls = type(instance)
        if not self._is_open:  # a task or thread that outlived the block
            self._outer(instance, init, args, kwargs)
            return
        made_by_us = _BUILDING.get() is _Framework
        if not made_by_us:
            refuse_inside_chainlets(cls, _BUILDING.get())
            if cls not in self._defined_before and registry.get(cls.__name__) is cls:
                _construct_foreign(instance, init, args, kwargs)
                return
        filled = self._filled(cls, args, kwargs)
        token = _BUILDING.set(cls)
        try:
            init(instance, **filled)
        finally:
            _BUILDING.reset(token)
        if self._settings.strict and not made_by_us:
            self._make_entry_strict(instance, cls)

    def _filled(self, cls: type, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        shape = self._shape(cls)
        if args:
            raise TypeError(f"{cls.__name__}() takes keyword arguments only, {len(args)} positional given")
        unknown = [] if shape.names is None else [name for name in kwargs if name not in shape.names]
        if unknown:
            raise TypeError(f"{cls.__name__}() got an unexpected keyword argument '{unknown[0]}'")
        filled = dict(kwargs)
        for parameter, marker in shape.dependencies.items():
            given = filled.get(parameter, marker)
            if given is marker:
                given = self._dependency(cls, parameter, marker)
            filled[parameter] = self._connected(cls, marker, given)
        if shape.takes_context and "context" not in filled:
            filled["context"] = self._context
        return filled

    def _shape(self, cls: type) -> _Shape:
        shape = self._shapes.get(cls)
        if shape is None:
            shape = self._shapes[cls] = _Shape.of(cls)
        return shape

    @cached_property
    def _context(self) -> "DeploymentContext":
        from truss_chains.context import DeploymentContext

        return DeploymentContext(
            secrets=self._settings.secrets,
            data_dir=self._settings.data_dir,
            chainlet_to_service=self._settings.chainlet_to_service,
            environment=None,
        )

    def _make_entry_strict(self, instance: Any, cls: type) -> None:
        """Calls of what the user made go the way of an outside caller's."""
        if chainlet_kind(cls) is ChainletKind.TRUSS:
            return
        from truss_chains.config import RPCOptions
        from truss_chains.endpoint_wire import wire_of
        from truss_chains.strict import StrictStub

        wire = wire_of(cls)
        if not wire.endpoint.is_websocket:
            name = wire.endpoint.method_name
            object.__setattr__(instance, name, getattr(StrictStub(instance, wire, RPCOptions()), name))

    # --- dependencies ------------------------------------------------------------------------------

    def _dependency(self, owner: type, parameter: str, marker: DependencyMarker) -> Any:
        """The shared instance of a dependency class, made on first need (L-03)."""
        cls: Any = marker.chainlet_class  # checked when the owner was defined
        if cls not in self._pool:
            with self._lock:
                for needed in self._missing(owner, parameter, cls):
                    self._pool[needed] = self._made(needed)
        return self._pool[cls]

    def _missing(self, owner: type, parameter: str, cls: type) -> list[type]:
        """What has to be made for `cls`, dependencies first, depth first, in parameter order.

        Iterative: a Chain may be deeper than Python's recursion limit.
        """
        ordered: list[type] = []
        unfinished: set[type] = set()
        todo: list[tuple[type, str, type, bool]] = [(owner, parameter, cls, False)]
        while todo:
            user, name, wanted, is_ready = todo.pop()
            if is_ready:
                unfinished.remove(wanted)
                ordered.append(wanted)
            elif wanted in unfinished:
                raise ChainsUsageError(
                    f"`{user.__name__}` stands in for `{wanted.__name__}` and depends on it as well.",
                    code=Code.BAD_MOCK,
                )
            elif wanted not in ordered and wanted not in self._pool:
                self._refuse_truss(user, name, wanted)
                unfinished.add(wanted)
                todo.append((user, name, wanted, True))
                todo += reversed(self._needs(wanted))
        return ordered

    def _needs(self, cls: type) -> list[tuple[type, str, type, bool]]:
        """The dependencies of what serves `cls`; a plain mock has none."""
        implementation = self._implementation(cls)
        if implementation is None:
            return []
        markers: Any = self._shape(implementation).dependencies  # their classes were checked at definition
        return [(implementation, name, marker.chainlet_class, False) for name, marker in markers.items()]

    def _implementation(self, cls: type) -> type | None:
        """The Chainlet class that serves `cls`: itself or a mock; None if the mock is no Chainlet."""
        mock = self._settings.mocks.get(cls)
        if mock is None:
            return cls
        return mock.stand_in if mock.is_chainlet else None

    def _made(self, cls: type) -> Any:
        implementation = self._implementation(cls)
        if implementation is None:
            return self._settings.mocks[cls].make()
        token = _BUILDING.set(_Framework)
        try:
            return implementation()
        finally:
            _BUILDING.reset(token)

    def _refuse_truss(self, owner: type, parameter: str, cls: type) -> None:
        if chainlet_kind(cls) is ChainletKind.TRUSS and cls not in self._settings.mocks:
            raise ChainsUsageError(
                f"`{owner.__name__}` depends on `{cls.__name__}`, which wraps a Truss and can't run in this "
                f"process. Pass a stand-in: `{owner.__name__}({parameter}=...)`, or "
                f"`run_local(mocks={{{cls.__name__}: ...}})`.",
                code=Code.NAIVE_INSTANTIATION,
            )

    def _connected(self, owner: type, marker: DependencyMarker, target: Any) -> Any:
        """`target` as `owner` gets it: itself, unless calls are to be strict or recorded."""
        settings = self._settings
        cls: Any = marker.chainlet_class  # checked when the owner was defined
        if not (settings.strict or settings.record) or chainlet_kind(cls) is ChainletKind.TRUSS:
            return target
        from truss_chains.endpoint_wire import wire_of
        from truss_chains.recording import RecordingStub
        from truss_chains.strict import StrictStub

        wire = wire_of(cls)
        if not callable(getattr(target, wire.endpoint.method_name, None)):
            return target  # nothing that could be called: the owner's business
        connected = StrictStub(target, wire, marker.options) if settings.strict else target
        if settings.record is None:
            return connected
        return RecordingStub(connected, wire, owner.__name__, settings.record)


def _construct_foreign(instance: Any, init: Init, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """A class that was defined inside the block is not managed by it (L-11)."""
    try:
        guard_construction(instance, init, args, kwargs)
    except ChainsRuntimeError as error:
        error.add_note(
            f"`{type(instance).__name__}` was defined inside the `run_local` block, which manages only "
            "Chainlets that were defined before it: move the class statement in front of the block."
        )
        raise


__all__ = ["LocalRun", "LocalSettings", "run_local"]
