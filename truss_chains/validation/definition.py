"""All rules about one class, in the order in which they are reported."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from chains_protocol.errors import Diagnostic
from truss_chains.chainlet import AbstractChainlet
from truss_chains.inspection import UnresolvedAnnotationError
from truss_chains.validation import config, endpoint, health, init, names, notes, truss
from truss_chains.validation.subject import Subject

Rule = Callable[[Subject], Iterable[Diagnostic]]

_RULES: Final[tuple[Rule, ...]] = (
    names.check_display_name,
    config.check_remote_config,
    config.check_engine_builder,
    config.check_transport,
    init.check_init,
    endpoint.check_endpoint,
    health.check_health,
    truss.check_truss,
)


def check_definition(
    cls: type[AbstractChainlet], defer: Callable[[Callable[[], Iterable[Diagnostic]]], None]
) -> Iterator[Diagnostic]:
    """Run every rule on a class that was just made.

    A rule that meets a text annotation whose name is not defined yet is handed to `defer`; it
    runs once more when somebody wants to know, and then an unknown name is an error.
    """
    notes.warn_if_sync(cls)
    yield from _run(_RULES, cls, defer)


def check_written_init(
    cls: type[AbstractChainlet], defer: Callable[[Callable[[], Iterable[Diagnostic]]], None]
) -> Iterator[Diagnostic]:
    """Run the rules of `__init__` once more: a decorator wrote one after the class was made."""
    yield from _run((init.check_init,), cls, defer)


def _run(
    rules: Iterable[Rule],
    cls: type[AbstractChainlet],
    defer: Callable[[Callable[[], Iterable[Diagnostic]]], None],
) -> Iterator[Diagnostic]:
    subject = Subject(cls)
    for rule in rules:
        try:
            yield from list(rule(subject))
        except UnresolvedAnnotationError:
            defer(lambda rule=rule: rule(Subject(cls, is_final=True)))  # type: ignore[misc]  # bound now


__all__ = ["check_definition", "check_written_init"]
