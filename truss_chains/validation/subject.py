"""A class under examination, and how to say where something is wrong with it."""

import inspect
from dataclasses import dataclass, field
from typing import Any

from chains_protocol.errors import Code, Diagnostic, ErrorKind, Location, Severity
from truss_chains.chainlet import AbstractChainlet, is_chainlet_class
from truss_chains.inspection import (
    Method,
    UnresolvedAnnotationError,
    defining_class,
    is_async,
    method_name,
    resolve,
)
from truss_chains.signatures import signature_of
from truss_chains.source import Sources


@dataclass(frozen=True)
class Subject:
    """One class while its rules run.

    `is_final`: a name that can't be resolved is an error now; before, the rule is put off.
    """

    cls: type[AbstractChainlet]
    is_final: bool = False
    sources: Sources = field(default_factory=Sources)

    @property
    def name(self) -> str:
        return self.cls.__name__

    @property
    def method(self) -> str:
        """The endpoint's method name."""
        return method_name(self.cls)

    def inherits(self, attribute: str) -> bool:
        """The attribute comes from another declared Chainlet, where it has been examined already."""
        owner = defining_class(self.cls, attribute)
        return owner is not self.cls and is_chainlet_class(owner)

    def owner(self, attribute: str) -> type:
        """The class whose body has the attribute."""
        return defining_class(self.cls, attribute)

    def problem(
        self,
        code: Code,
        kind: ErrorKind,
        message: str,
        remedy: str,
        *,
        at: Location | None = None,
        method: str | None = None,
        severity: Severity = Severity.ERROR,
    ) -> Diagnostic:
        """A diagnostic about the class; at its class statement unless `at` says more."""
        return Diagnostic(
            code=code,
            kind=kind,
            severity=severity,
            location=at or self.sources.of_class(self.cls),
            chainlet=self.name,
            method=method,
            message=message,
            help=remedy,
        )

    def resolved(self, annotation: Any, function: Method, method: str, what: str) -> "Any | Diagnostic":
        """The type an annotation means, or the diagnostic that says why it has none (V-44).

        Raises:
            UnresolvedAnnotationError: it has none yet, and this is not the final examination.
        """
        try:
            return resolve(annotation, function, self.owner(method))
        except UnresolvedAnnotationError as error:
            if not self.is_final:
                raise
            name = what.strip("`")
            return self.problem(
                Code.UNSTABLE_ANNOTATION,
                ErrorKind.IO_TYPE_ERROR if method == self.method else ErrorKind.TYPE_ERROR,
                f"the annotation `{error.annotation}` of {describe_place(what)} of `{self.name}.{method}` "
                f"can't be resolved: {error}",
                "import or define the name at the top level of the file, outside `if TYPE_CHECKING:`",
                at=self.sources.of_return(self.cls, function)
                if what == "return"
                else self.sources.of_parameter(self.cls, function, name),
                method=method,
            )


def describe_place(what: str) -> str:
    """`return` or a parameter's name, in words."""
    return "the result" if what == "return" else f"parameter `{what}`"


def signature_text(method: str, function: Method) -> str:
    """The signature as it stands, for messages."""
    prefix = "async def" if is_async(function) else "def"
    return f"{prefix} {method}{signature_of(function)}"


def form_text(form: object) -> str:
    """A type form, for messages."""
    return inspect.formatannotation(form).replace("__main__.", "")


__all__ = ["Subject", "describe_place", "form_text", "signature_text"]
