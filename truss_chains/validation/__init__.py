"""What is wrong with the definitions made so far.

Each file here is one family of rules: functions from a class to diagnostics. They never
raise. Rules run when a class is defined; what they find is collected in the registry, and
`run_local`, `push` and discovery raise the collection (E-05).
"""

from contextlib import AbstractContextManager

from chains_protocol.errors import Diagnostic
from truss_chains.validation.text import one_line, usage_error


def collected() -> tuple[Diagnostic, ...]:
    """The diagnostics of all definitions so far, in order of detection, warnings included."""
    from truss_chains.entrypoint import registry

    return registry.collected()


def raise_if_any() -> None:
    """Raise what was collected, and clear it.

    Raises:
        ChainsUsageError: there is at least one error; the text is E-04's, `diagnostics` has all.
    """
    from truss_chains.entrypoint import registry

    errors = registry.take_errors()
    if errors:
        raise usage_error(errors)


def scope(*, checks: bool = True) -> AbstractContextManager[None]:
    """A block with a registry and a collection of its own, both dropped at its end (I-05, E-07).

    `checks` False: nobody will look at the collection, so nothing is checked.
    """
    from truss_chains.entrypoint import registry

    return registry.scope(checks=checks)


__all__ = ["collected", "one_line", "raise_if_any", "scope", "usage_error"]
