"""Rules about the endpoint's method, `run_remote` or `predict`: V-40 to V-55."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

from chains_protocol.errors import Code, Diagnostic, ErrorKind, Location
from chains_protocol.kinds import ChainletKind
from truss_chains.chainlet import chainlet_kind
from truss_chains.inspection import (
    MISSING,
    Method,
    UnresolvedAnnotationError,
    class_attribute,
    is_async,
    is_generator,
    is_websocket_type,
    parameters_of,
    stream_parts,
)
from truss_chains.signatures import signature_of
from truss_chains.validation.subject import Subject, form_text, signature_text
from truss_chains.validation.types import SUPPORTED, Refusal, refusal

_IO: Final = ErrorKind.IO_TYPE_ERROR
_STREAM_REMEDY: Final = "write `async def run_remote(self, ...) -> AsyncIterator[str]:` and `yield` the items"


def check_endpoint(subject: Subject) -> Iterator[Diagnostic]:
    """All rules about the endpoint."""
    if chainlet_kind(subject.cls) not in (ChainletKind.CHAINLET, ChainletKind.MODEL):
        return
    found = class_attribute(subject.cls, subject.method)
    if found is MISSING:
        yield subject.problem(
            Code.MISSING_METHOD,
            ErrorKind.MISSING_API_ERROR,
            f"`{subject.name}` has no method `{subject.method}`",
            f"add `async def {subject.method}(self, ...) -> ...:`",
        )
        return
    if subject.inherits(subject.method):
        return
    function = found.__func__ if isinstance(found, staticmethod) else found
    if not inspect.isfunction(function):
        yield _not_a_method(subject, found)
        return
    yield from _EndpointRules(subject, function).check()


def _not_a_method(subject: Subject, found: object) -> Diagnostic:
    """V-41."""
    kind = "a class method" if isinstance(found, classmethod) else f"of the type `{type(found).__name__}`"
    inner = getattr(found, "__func__", None) or getattr(found, "fget", None)
    at = (
        subject.sources.of_method(subject.cls, inner)
        if inner
        else subject.sources.of_class_variable(subject.cls, subject.method)
    )
    return subject.problem(
        Code.NOT_A_METHOD,
        ErrorKind.TYPE_ERROR,
        f"`{subject.name}.{subject.method}` is {kind}, not a method",
        f"define it with `async def {subject.method}(self, ...)`",
        at=at,
        method=subject.method,
    )


class _EndpointRules:
    def __init__(self, subject: Subject, function: Method) -> None:
        self._subject = subject
        self._function = function
        self._all = parameters_of(function)
        self._name = f"`{subject.name}.{subject.method}`"
        self._is_generator = is_generator(function)
        self._is_async = is_async(function)

    def check(self) -> Iterator[Diagnostic]:
        if not self._all or self._all[0].name != "self":
            yield self._missing_self()
            return
        parameters = self._all[1:]
        websockets: list[str] = []
        for parameter in parameters:
            yield from self._check_kind(parameter)
            yield from self._check_parameter(parameter, websockets)
        if websockets:
            yield from self._check_websocket(websockets, parameters)
        else:
            yield from self._check_return()

    def _missing_self(self) -> Diagnostic:
        """V-42."""
        found = f"`{self._all[0].name}`" if self._all else "no parameters"
        return self._subject.problem(
            Code.MISSING_SELF,
            ErrorKind.TYPE_ERROR,
            f"the first parameter of {self._name} has to be `self`, found {found}",
            "put `self` first; static methods can't be endpoints",
            at=self._at_method(),
            method=self._subject.method,
        )

    def _check_kind(self, parameter: inspect.Parameter) -> Iterator[Diagnostic]:
        """V-55: arguments travel by name."""
        words = {
            inspect.Parameter.VAR_POSITIONAL: f"`*{parameter.name}`",
            inspect.Parameter.VAR_KEYWORD: f"`**{parameter.name}`",
            inspect.Parameter.POSITIONAL_ONLY: f"`{parameter.name}` before `/`",
        }
        if parameter.kind in words:
            yield self._problem(
                Code.BAD_PARAMETER_KIND,
                f"{self._name} has {words[parameter.kind]}, but arguments are passed by name",
                "name each argument as an ordinary parameter",
                self._at(parameter.name),
            )

    def _check_parameter(self, parameter: inspect.Parameter, websockets: list[str]) -> Iterator[Diagnostic]:
        """V-43, V-44, V-45."""
        name = parameter.name
        if parameter.annotation is MISSING:
            yield self._problem(
                Code.MISSING_ANNOTATION,
                f"parameter `{name}` of {self._name} has no type annotation",
                f"write the type, for example `{name}: str`",
                self._at(name),
            )
            return
        form = self._subject.resolved(parameter.annotation, self._function, self._subject.method, name)
        if isinstance(form, Diagnostic):
            yield form
        elif is_websocket_type(form):
            websockets.append(name)
        else:
            yield from self._check_form(form, f"parameter `{name}`", lambda: self._at(name))

    def _check_form(self, form: Any, what: str, at: Callable[[], Location]) -> Iterator[Diagnostic]:
        refused = self._refusal(form)
        if refused is not None:
            written = form_text(form)
            yield self._problem(
                Code.UNSUPPORTED_TYPE,
                f"{what} of {self._name} has the type `{written}`, which can't be sent between "
                f"Chainlets: {refused.reason}",
                refused.remedy
                if SUPPORTED in refused.remedy
                else f"{refused.remedy}; supported are {SUPPORTED}",
                at(),
            )

    def _refusal(self, form: Any) -> Refusal | None:
        try:
            return refusal(form)
        except UnresolvedAnnotationError:
            if not self._subject.is_final:
                raise
            return Refusal(
                "a part of it names something that is not defined",
                "define or import the name at the top level of the file",
            )

    def _check_return(self) -> Iterator[Diagnostic]:
        """V-45 to V-52."""
        raw = signature_of(self._function).return_annotation
        if raw is MISSING:
            yield self._problem(
                Code.MISSING_RETURN_ANNOTATION,
                f"{self._name} has no return annotation: `{self._signature()}`",
                "write what it returns; `-> None` for nothing",
                self._at_method(),
            )
            return
        form = self._subject.resolved(raw, self._function, self._subject.method, "return")
        if isinstance(form, Diagnostic):
            yield form
            return
        is_stream, item = stream_parts(form)
        if is_stream or self._is_generator:
            yield from self._check_stream(form, is_stream, item)
        elif is_websocket_type(form):
            yield self._websocket_problem(f"{self._name} returns a websocket", self._at_return())
        else:
            yield from self._check_form(form, "the result", self._at_return)

    def _check_stream(self, form: Any, is_stream: bool, item: Any) -> Iterator[Diagnostic]:
        if not is_stream:
            yield self._stream_problem(
                f"{self._name} contains `yield`, but `{form_text(form)}` is no iterator: "
                f"`{self._signature()}`"
            )
        elif not self._is_generator:
            yield self._stream_problem(
                f"{self._name} returns `{form_text(form)}`, but its body contains no `yield`"
            )
        elif item is MISSING:
            yield self._stream_problem(
                f"the iterator that {self._name} returns has no item type",
                "write the type of an item: `AsyncIterator[str]`, `AsyncIterator[bytes]`, or a type that can "
                "be sent as JSON",
            )
        else:
            yield from self._check_item(item)
        if not self._is_async:
            yield self._stream_problem(f"{self._name} streams, so it has to be `async def`")

    def _check_item(self, item: Any) -> Iterator[Diagnostic]:
        """V-51, extended: any type that can be sent can be streamed."""
        refused = self._refusal(item)
        if refused is not None:
            yield self._stream_problem(
                f"an item of the stream of {self._name} has the type `{form_text(item)}`, which can't be "
                f"sent between Chainlets: {refused.reason}",
                f"{refused.remedy}; or stream `bytes` with the helpers of `truss_chains.streaming`",
            )

    def _check_websocket(
        self, websockets: list[str], parameters: tuple[inspect.Parameter, ...]
    ) -> Iterator[Diagnostic]:
        """V-54."""
        for parameter in parameters:
            if parameter.name != websockets[0]:
                yield self._websocket_problem(
                    f"beside the websocket, {self._name} has the parameter `{parameter.name}`",
                    self._at(parameter.name),
                )
        raw = signature_of(self._function).return_annotation
        form = None
        if raw is not MISSING:
            form = self._subject.resolved(raw, self._function, self._subject.method, "return")
        if isinstance(form, Diagnostic):
            yield form
        elif raw is MISSING or form not in (None, type(None)):
            yield self._websocket_problem(
                f"{self._name} has a websocket, so its return annotation has to be `None`", self._at_return()
            )
        if not self._is_async:
            yield self._websocket_problem(
                f"{self._name} has a websocket, so it has to be `async def`", self._at_method()
            )
        if self._is_generator:
            yield self._websocket_problem(
                f"{self._name} has a websocket, so it can't contain `yield`", self._at_method()
            )

    def _stream_problem(self, message: str, remedy: str = _STREAM_REMEDY) -> Diagnostic:
        return self._problem(Code.BAD_STREAM, message, remedy, self._at_return())

    def _websocket_problem(self, message: str, at: Location) -> Diagnostic:
        remedy = (
            f"write `async def {self._subject.method}(self, websocket: chains.WebSocketProtocol) -> None:`"
        )
        return self._problem(Code.BAD_WEBSOCKET, message, remedy, at)

    def _problem(self, code: Code, message: str, remedy: str, at: Location) -> Diagnostic:
        return self._subject.problem(code, _IO, message, remedy, at=at, method=self._subject.method)

    def _signature(self) -> str:
        return signature_text(self._subject.method, self._function)

    def _at(self, parameter: str) -> Location:
        return self._subject.sources.of_parameter(self._subject.cls, self._function, parameter)

    def _at_method(self) -> Location:
        return self._subject.sources.of_method(self._subject.cls, self._function)

    def _at_return(self) -> Location:
        return self._subject.sources.of_return(self._subject.cls, self._function)


__all__ = ["check_endpoint"]
