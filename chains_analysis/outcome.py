"""The answers of the analysis, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from chains_protocol.patch import Action


@dataclass(frozen=True, slots=True)
class ChainletRef:
    """A Chainlet to judge: where its class is, and the method that answers calls."""

    display_name: str
    module: str
    qualname: str
    method_name: str = "run_remote"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a Chainlet needs an action.

    `symbol` is what changed ("helpers.clean"), `path` and `line` where it is (in the new
    source; in the old one if it is gone). `via` is how the Chainlet reaches it, from the
    Chainlet's own member to the symbol; empty if it is not by a reference. `text` is one
    sentence for people.
    """

    symbol: str
    path: str
    line: int
    via: tuple[str, ...]
    text: str
    action: Action = Action.PATCHED


@dataclass(frozen=True, slots=True)
class StatementPlan:
    """What a new generation does with one top-level statement of a module.

    `index` counts the statements of the new source (`ast.parse(source).body[index]`).
    `carry` True: do not execute it; bind `names` to what the running generation's module
    has under them (a name it does not have stays unbound). A carried statement without
    names is skipped. `carry` False: execute it.
    """

    index: int
    names: tuple[str, ...]
    carry: bool


@dataclass(frozen=True, slots=True)
class CarryPlan:
    """Which parts of the running generation a new one keeps. Made for one Chainlet's package.

    `shared`: modules whose module object is used again as it is. `modules`: the others,
    each with a plan for all of its top-level statements, in order. A module in neither is
    new to the package: execute all of it.

    The plan can't see the heap. A replica must look: if something reachable from the running
    instance's `__dict__` (the instance itself aside) is a class of a module in `modules` whose
    statement is not carried, an instance of one, or a function, bound method or coroutine of
    such a statement, then `patched` is not enough, and it is `reloaded`; if it is reachable
    from a carried value or a shared module instead, it is `restarted`.
    """

    shared: frozenset[str] = frozenset()
    modules: Mapping[str, tuple[StatementPlan, ...]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The lightest action that is known to be safe, why, and how to carry it out.

    `needs_discovery`: the shape of the Chain may have changed (signatures, `depends`,
    `remote_config`, bases, decorators), so the file has to be read again in a child
    interpreter. `carry` means something for `patched` and `reloaded` only.
    """

    action: Action
    reasons: tuple[Reason, ...] = ()
    needs_discovery: bool = False
    carry: CarryPlan = CarryPlan()


__all__ = ["CarryPlan", "ChainletRef", "Reason", "StatementPlan", "Verdict"]
