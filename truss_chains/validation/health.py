"""Rules about `is_healthy`: V-60 to V-62."""

import inspect
from collections.abc import Iterator

from chains_protocol.errors import Code, Diagnostic, ErrorKind, Location
from chains_protocol.kinds import ChainletKind
from truss_chains.chainlet import chainlet_kind
from truss_chains.inspection import HEALTH_METHOD, MISSING, class_attribute, parameters_of
from truss_chains.signatures import signature_of
from truss_chains.validation.subject import Subject, form_text

_REMEDY = "write `def is_healthy(self) -> bool:`"


def check_health(subject: Subject) -> Iterator[Diagnostic]:
    """The health check, if there is one, is a method without arguments that returns a bool."""
    if chainlet_kind(subject.cls) not in (ChainletKind.CHAINLET, ChainletKind.MODEL):
        return
    function = class_attribute(subject.cls, HEALTH_METHOD)
    if function is MISSING or subject.inherits(HEALTH_METHOD):
        return

    def problem(kind: ErrorKind, message: str, at: Location) -> Diagnostic:
        return subject.problem(Code.BAD_HEALTH_CHECK, kind, message, _REMEDY, at=at, method=HEALTH_METHOD)

    owner = f"`{subject.name}.{HEALTH_METHOD}`"
    if not inspect.isfunction(function):
        at = subject.sources.of_class_variable(subject.cls, HEALTH_METHOD)
        yield problem(
            ErrorKind.TYPE_ERROR, f"{owner} has the type `{type(function).__name__}`, not a method", at
        )
        return
    parameters = [p.name for p in parameters_of(function)]
    if parameters != ["self"]:
        found = ", ".join(f"`{name}`" for name in parameters) or "no parameters"
        at = subject.sources.of_method(subject.cls, function)
        yield problem(ErrorKind.TYPE_ERROR, f"{owner} has to take exactly `self`, but has {found}", at)
    raw = signature_of(function).return_annotation
    if raw is MISSING:
        at = subject.sources.of_method(subject.cls, function)
        yield problem(ErrorKind.IO_TYPE_ERROR, f"{owner} has no return annotation", at)
        return
    returned = subject.resolved(raw, function, HEALTH_METHOD, "return")
    if isinstance(returned, Diagnostic):
        yield returned
    elif returned is not bool:
        at = subject.sources.of_return(subject.cls, function)
        yield problem(
            ErrorKind.IO_TYPE_ERROR, f"{owner} has to return `bool`, not `{form_text(returned)}`", at
        )


__all__ = ["check_health"]
