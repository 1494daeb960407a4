"""`mark_entrypoint` and the registry of declared Chainlets."""

import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar, overload

from truss_chains.registry import Registry
from truss_chains.validation.at_exit import report_at_exit


def _examine(cls: type) -> None:
    from truss_chains.chainlet import examine_written_init

    examine_written_init(cls)


registry: Final[Registry] = Registry(
    at_exit=lambda: report_at_exit(registry, sys.modules.get("__main__")), examine=_examine
)
"""The Chainlet classes declared in this process, in order of definition."""

ClassT = TypeVar("ClassT", bound=type[Any])  # anything can be decorated; what is no Chainlet is reported


@overload
def mark_entrypoint(cls_or_chain_name: ClassT) -> ClassT: ...


@overload
def mark_entrypoint(cls_or_chain_name: str) -> Callable[[ClassT], ClassT]: ...


def mark_entrypoint(cls_or_chain_name: Any) -> Any:  # the overloads say it precisely
    """Mark the Chainlet that takes a Chain's requests.

    Use it bare, `@mark_entrypoint`, or with a name for the Chain, `@mark_entrypoint("My Chain")`.
    Returns the class unchanged; a target that can't be an entrypoint is a collected error.
    """
    if isinstance(cls_or_chain_name, str):
        chain_name = cls_or_chain_name

        def decorate(cls: ClassT) -> ClassT:
            return _mark(cls, chain_name, sys._getframe(1).f_lineno, sys._getframe(1).f_code.co_filename)

        return decorate
    caller = sys._getframe(1)
    return _mark(cls_or_chain_name, None, caller.f_lineno, caller.f_code.co_filename)


def _mark(cls: ClassT, chain_name: str | None, line: int, path: str) -> ClassT:
    from truss_chains.validation.entrypoint import check_entrypoint

    problems = tuple(check_entrypoint(cls, path, line))
    registry.report(problems)
    if not problems:
        cls.meta_data.is_entrypoint = True
        cls.meta_data.chain_name = chain_name
    return cls


__all__ = ["mark_entrypoint", "registry"]
