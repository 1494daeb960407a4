"""The base classes that users subclass.

Making a subclass declares it: the class is put into the registry, its `__init__` is hooked
and its definition is checked. A broken definition raises nothing (E-01): what is wrong is
collected, see `truss_chains.validation`.

How instances come to be is the business of `truss_chains.construction`: its `CONSTRUCTION`
variable holds the strategy that the outermost `__init__` is handed to. Outside `run_local`
that is a guard; `run_local` sets its own.
"""

import abc
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar, final

import truss_chains  # only for the text annotation of our own method
from chains_protocol.kinds import ChainletKind
from truss_chains.construction import hook_init, is_hooked
from truss_chains.entrypoint import registry
from truss_chains.registry import Declaration
from truss_chains.signatures import has_text_annotation

if TYPE_CHECKING:
    from truss_chains.config import RemoteConfig

ValueT = TypeVar("ValueT")
_DECLARATION: Final = "__chains_declaration__"
_KIND: Final = "__chains_kind__"


@dataclass
class ChainletMetadata:
    """Marks of one class; never shared with its bases or subclasses."""

    is_entrypoint: bool = False
    chain_name: str | None = None


class _ClassProperty(Generic[ValueT]):
    """A property of the class, readable on instances too."""

    def __init__(self, read: Callable[[Any], ValueT]) -> None:
        self._read = read
        self.__doc__ = read.__doc__

    def __get__(self, instance: object, owner: type) -> ValueT:
        return self._read(owner)


def _class_name(cls: type) -> str:
    """The class name; keys stubs and service maps."""
    return cls.__name__


def _display_name(cls: "type[AbstractChainlet]") -> str:
    """What users and remotes see: `remote_config.name`, else the class name."""
    # Without the getattr, a `remote_config` of a wrong type (V-10) would surface here as well.
    return getattr(cls.remote_config, "name", None) or cls.__name__


class _DefaultConfig:
    """`RemoteConfig()` of all classes that set none; made when somebody looks at it."""

    def __init__(self) -> None:
        self._made: RemoteConfig | None = None

    def __get__(self, instance: object, owner: type) -> "RemoteConfig":
        if self._made is None:
            from truss_chains.config import RemoteConfig

            self._made = RemoteConfig()
        return self._made


class AbstractChainlet(metaclass=abc.ABCMeta):  # noqa: B024 (which methods are needed is a rule: V-40)
    """What all Chainlets have; users subclass one of the classes below."""

    if TYPE_CHECKING:
        remote_config: ClassVar[RemoteConfig]
    else:
        remote_config = _DefaultConfig()

        def __new__(cls, *args, **kwargs):
            examine_written_init(cls)
            new = super().__new__  # a mixin further up the tree may have one
            return new(cls) if new is object.__new__ else new(cls, *args, **kwargs)

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)  # a mixin further up the tree may have one

    meta_data: ClassVar[ChainletMetadata] = ChainletMetadata()
    name = _ClassProperty[str](_class_name)
    display_name = _ClassProperty[str](_display_name)

    def __init_subclass__(cls, *, kind: ChainletKind | None = None, **kwargs: Any) -> None:
        """Declare a subclass. `kind` is for the framework's own bases, which are not declared (V-04)."""
        super().__init_subclass__(**kwargs)
        if kind is not None:
            setattr(cls, _KIND, kind)
            _FRAMEWORK.append(cls)
            cls.meta_data = ChainletMetadata()
            return
        cls.meta_data = ChainletMetadata(is_entrypoint=chainlet_kind(cls) is ChainletKind.MODEL)
        hook_init(cls)
        declaration = _declare(cls, sys._getframe(1))
        setattr(cls, _DECLARATION, declaration)
        registry.add(declaration)

        from truss_chains.validation.definition import check_definition

        registry.report(check_definition(cls, lambda check: registry.defer(cls, check)))


_FRAMEWORK: Final[list[type]] = [AbstractChainlet]
"""The framework's own classes; filled while this module is loaded, constant afterwards."""

hook_init(AbstractChainlet)


class ChainletBase(AbstractChainlet, kind=ChainletKind.CHAINLET):
    """Base of a Chainlet: a class with a typed method `run_remote`.

    Dependencies and context are parameters of `__init__`, see `depends` and `depends_context`.
    """


class ModelBase(AbstractChainlet, kind=ChainletKind.MODEL):
    """Base of a stand-alone model: a class with a typed method `predict`, outside any Chain."""


class TrussChainlet(AbstractChainlet, kind=ChainletKind.TRUSS):
    """Wraps an existing Truss directory, given by the class variable `truss_dir`.

    A relative path is resolved against the file that declares the class. Dependants get a
    `TrussHandle` instead of a stub.
    """

    truss_dir: ClassVar[str | Path]


class EngineBuilderLLMChainlet(AbstractChainlet, kind=ChainletKind.ENGINE_BUILDER):
    """A large language model served by a built engine, described by `engine_builder_config`."""

    engine_builder_config: ClassVar[Any]  # a TensorRT-LLM configuration, checked by V-11

    @final
    async def run_remote(self, llm_input: "truss_chains.EngineBuilderLLMInput") -> AsyncIterator[str]:
        """Stream the answer; only deployed engines do.

        Raises:
            NotImplementedError: always, when called locally.
        """
        raise NotImplementedError("An engine-builder Chainlet only runs deployed; pass a mock locally.")
        yield ""  # makes this a generator


def examine_written_init(cls: type) -> None:
    """Guard and check an `__init__` that a decorator such as `dataclass` wrote after the class was made."""
    if is_hooked(cls):
        return
    hook_init(cls)

    from truss_chains.validation.definition import check_written_init

    registry.report(check_written_init(cls, lambda check: registry.defer(cls, check)))


def has_own_init(cls: type) -> bool:
    """Whether `cls` or a class it derives from, other than the framework's, has an `__init__`."""
    init: object = cls.__init__  # type: ignore[misc]  # reading it from the class is the point
    return init is not AbstractChainlet.__init__


def chainlet_kind(cls: type) -> ChainletKind:
    """Which of the framework's bases `cls` derives from."""
    kind: ChainletKind = getattr(cls, _KIND)
    return kind


def is_framework_class(cls: object) -> bool:
    """Whether `cls` is one of the bases above, by identity (V-04)."""
    return any(cls is known for known in _FRAMEWORK)


def is_chainlet_class(cls: object) -> bool:
    """Whether `cls` is a Chainlet that a user declared."""
    return isinstance(cls, type) and issubclass(cls, AbstractChainlet) and not is_framework_class(cls)


def declaration_of(cls: type) -> Declaration:
    """Where a declared Chainlet is defined."""
    declaration: Declaration = cls.__dict__[_DECLARATION]
    return declaration


def _declare(cls: type, frame: FrameType | None) -> Declaration:
    """Find the class statement: the nearest frame that executes the class's own module."""
    at = frame
    while at is not None and at.f_globals.get("__name__") != cls.__module__:
        at = at.f_back
    at = at or frame
    if at is None:
        return Declaration(cls, "<unknown>", 1)
    path = at.f_code.co_filename
    if not path.startswith("<"):
        path = str(Path(path).absolute())
    return Declaration(cls, path, at.f_lineno, _enclosing_names(cls, at))


def _enclosing_names(cls: type, frame: FrameType) -> Mapping[str, object]:
    """Names of the function around the class, kept only if string annotations may need them."""
    if "<locals>" not in cls.__qualname__:
        return {}
    for member in vars(cls).values():
        if isinstance(member, FunctionType) and has_text_annotation(member):
            return dict(frame.f_locals)
    return {}


__all__ = [
    "AbstractChainlet",
    "ChainletBase",
    "ChainletMetadata",
    "EngineBuilderLLMChainlet",
    "ModelBase",
    "TrussChainlet",
    "chainlet_kind",
    "declaration_of",
    "examine_written_init",
    "has_own_init",
    "is_chainlet_class",
    "is_framework_class",
]
