"""Rules about `__init__`: V-20 to V-29."""

import inspect
import types
import typing
from collections.abc import Iterator
from typing import Any, Final

from chains_protocol.errors import Code, Diagnostic, ErrorKind
from chains_protocol.kinds import ChainletKind
from truss_chains.chainlet import chainlet_kind, is_chainlet_class
from truss_chains.dependency import ContextMarker, DependencyMarker
from truss_chains.inspection import MISSING, Method, has_websocket, own_init, parameters_of
from truss_chains.validation.subject import Subject, form_text

_INIT: Final = "__init__"
_CONTEXT: Final = "context"
_CONTEXT_REMEDY: Final = (
    "make it the last parameter: `context: chains.DeploymentContext = chains.depends_context()`"
)
_UNIONS: Final = (typing.Union, types.UnionType)


def check_init(subject: Subject) -> Iterator[Diagnostic]:
    """All rules about the user's `__init__`; nothing if there is none."""
    function = own_init(subject.cls)
    if function is None or subject.inherits(_INIT) or not inspect.isfunction(function):
        return
    rules = _InitRules(subject, function)
    yield from rules.check_self()
    yield from rules.check_context()
    yield from rules.check_parameters()


class _InitRules:
    def __init__(self, subject: Subject, function: Method) -> None:
        self._subject = subject
        self._function = function
        self._all = parameters_of(function)
        self._parameters = self._all[1:]

    def check_self(self) -> Iterator[Diagnostic]:
        """V-20."""
        if not self._all or self._all[0].name != "self":
            found = f"`{self._all[0].name}`" if self._all else "no parameters"
            yield self._subject.problem(
                Code.MISSING_SELF,
                ErrorKind.TYPE_ERROR,
                f"the first parameter of `{self._subject.name}.{_INIT}` has to be `self`, found {found}",
                "put `self` first",
                at=self._subject.sources.of_method(self._subject.cls, self._function),
                method=_INIT,
            )

    def check_context(self) -> Iterator[Diagnostic]:
        """V-21, V-22, V-23: the name `context`, its place, its marker and its annotation go together."""
        for index, parameter in enumerate(self._parameters):
            is_last = index == len(self._parameters) - 1
            is_named = parameter.name == _CONTEXT
            is_marked = isinstance(parameter.default, ContextMarker)
            if is_named and not is_last:
                yield self._context_problem(parameter, "`context` has to be the last parameter")
            elif is_named and not is_marked:
                yield self._context_problem(parameter, "`context` needs the default `depends_context()`")
            elif is_marked and not is_named:
                yield self._context_problem(
                    parameter,
                    f"a parameter with the default `depends_context()` is named `context`, "
                    f"not `{parameter.name}`",
                )
            if is_named and is_marked:
                yield from self._check_context_annotation(parameter)

    def _check_context_annotation(self, parameter: inspect.Parameter) -> Iterator[Diagnostic]:
        if parameter.annotation is MISSING:
            return
        form = self._subject.resolved(parameter.annotation, self._function, _INIT, _CONTEXT)
        if isinstance(form, Diagnostic):
            yield form
            return
        from truss_chains.context import DeploymentContext

        plain = typing.get_origin(form) or form
        if not (isinstance(plain, type) and issubclass(plain, DeploymentContext)):
            yield self._context_problem(
                parameter, f"`context` is annotated with `{form_text(form)}`, not with `DeploymentContext`"
            )

    def check_parameters(self) -> Iterator[Diagnostic]:
        """V-24 to V-29, parameter by parameter."""
        used: dict[type, str] = {}
        allows_dependencies = chainlet_kind(self._subject.cls) is ChainletKind.CHAINLET
        for parameter in self._parameters:
            if parameter.name == _CONTEXT or isinstance(parameter.default, ContextMarker):
                continue
            if not allows_dependencies:
                yield self._problem(
                    Code.BAD_INIT_PARAMETER,
                    parameter,
                    f"`{self._subject.name}` can't have dependencies; `__init__` takes `context` only",
                    "remove the parameter, or derive from `ChainletBase`",
                )
            elif isinstance(parameter.default, DependencyMarker):
                yield from self._check_dependency(parameter, parameter.default, used)
            else:
                yield self._problem(
                    Code.BAD_INIT_PARAMETER,
                    parameter,
                    f"parameter `{parameter.name}` of `{self._subject.name}.{_INIT}` is no dependency",
                    "give it a default `chains.depends(SomeChainlet)`; put settings into class variables",
                )

    def _check_dependency(
        self, parameter: inspect.Parameter, marker: DependencyMarker, used: dict[type, str]
    ) -> Iterator[Diagnostic]:
        target = marker.chainlet_class
        if not isinstance(target, type) or not _can_be_dependency(target):
            yield self._problem(Code.BAD_DEPENDENCY, parameter, *_no_chainlet(target))
            return
        other = used.setdefault(target, parameter.name)
        if other != parameter.name:
            yield self._problem(
                Code.REPEATED_DEPENDENCY,
                parameter,
                f"the parameters `{other}` and `{parameter.name}` both depend on `{target.__name__}`",
                "keep one of them",
            )
        if has_websocket(target, skip_unresolved=self._subject.is_final):
            yield self._problem(
                Code.BAD_WEBSOCKET,
                parameter,
                f"`{target.__name__}` has a websocket endpoint and can't be a dependency",
                "only the entrypoint of a Chain can have a websocket",
            )
        yield from self._check_annotation(parameter, target)

    def _check_annotation(self, parameter: inspect.Parameter, target: type) -> Iterator[Diagnostic]:
        """V-26: whoever reads the annotation may rely on what is passed."""
        if parameter.annotation is MISSING:
            return
        form = self._subject.resolved(parameter.annotation, self._function, _INIT, parameter.name)
        if isinstance(form, Diagnostic):
            yield form
        elif not _fits(form, target):
            yield self._problem(
                Code.BAD_DEPENDENCY_ANNOTATION,
                parameter,
                f"parameter `{parameter.name}` is annotated with `{form_text(form)}`, which "
                f"`{target.__name__}` is not",
                f"annotate it with `{target.__name__}`, one of its bases, or a `typing.Protocol`",
            )

    def _context_problem(self, parameter: inspect.Parameter, message: str) -> Diagnostic:
        return self._problem(Code.BAD_CONTEXT, parameter, message, _CONTEXT_REMEDY)

    def _problem(self, code: Code, parameter: inspect.Parameter, message: str, remedy: str) -> Diagnostic:
        at = self._subject.sources.of_parameter(self._subject.cls, self._function, parameter.name)
        return self._subject.problem(code, ErrorKind.TYPE_ERROR, message, remedy, at=at, method=_INIT)


def _no_chainlet(target: object) -> tuple[str, str]:
    """What `depends` was given instead of a Chainlet class, and what to write."""
    if is_chainlet_class(type(target)):
        name = type(target).__name__
        return f"`depends` was given an object of `{name}`, not the class", f"write `chains.depends({name})`"
    # not the text of an arbitrary object: that may be anything, and differ from run to run
    given = f"`{target.__name__}`" if isinstance(target, type) else _short(target)
    return (
        f"`depends` was given {given}, which is no Chainlet class",
        "name a subclass of `ChainletBase`, `TrussChainlet` or `EngineBuilderLLMChainlet`",
    )


def _short(target: object) -> str:
    if isinstance(target, str | int | float | None):
        return f"`{target!r}`"
    name = getattr(target, "__name__", None)
    return f"`{name}`" if isinstance(name, str) else f"an object of the type `{type(target).__name__}`"


def _can_be_dependency(target: type) -> bool:
    return is_chainlet_class(target) and chainlet_kind(target) is not ChainletKind.MODEL


def _fits(form: Any, target: type) -> bool:  # any type form
    """Whether an instance (a stub, a handle) of `target` may be passed for this annotation."""
    origin = typing.get_origin(form)
    if origin is typing.Annotated:
        return _fits(typing.get_args(form)[0], target)
    if origin in _UNIONS:
        arms = [arm for arm in typing.get_args(form) if arm is not types.NoneType]
        return bool(arms) and all(_fits(arm, target) for arm in arms)
    plain = origin or form
    if not isinstance(plain, type):
        return False
    if getattr(plain, "_is_protocol", False):
        return True
    if chainlet_kind(target) is ChainletKind.TRUSS and plain.__name__ == "TrussHandle":
        return True
    return issubclass(target, plain)


__all__ = ["check_init"]
