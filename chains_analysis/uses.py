"""How code uses names: the data that `references` collects and the other modules read."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NamedTuple

from chains_analysis.vocabulary import CHANGING_METHODS, READING_METHODS

ELEMENT = "[]"
"""Stands in a chain of attributes for "some element of"."""


class Use(IntFlag):
    """What may happen to the object a name stands for; no flag: it is only read.

    CALL: it is called. PASS: it goes somewhere, where it may be changed. ARGUMENT: it goes
    into a call, which may call it. STORE: something in it is assigned. REBIND: the global
    name itself is.
    """

    READ = 0
    CALL = 1
    PASS = 2
    STORE = 4
    REBIND = 8
    ARGUMENT = 16


class Role(IntEnum):
    """Where a name stands: anywhere, in an annotation, or as the Chainlet that `depends` names."""

    PLAIN = 0
    ANNOTATION = 1
    DEPENDENCY = 2


class Ref(NamedTuple):
    """A use of a global name, or of a module imported inside a function (`is_module`; `root` is dotted)."""

    root: str
    chain: tuple[str, ...] = ()
    use: Use = Use.READ
    role: Role = Role.PLAIN
    is_module: bool = False


class Opaque(NamedTuple):
    """Something text can't follow. `line` counts from the statement's first line, which is 0.

    `own_module` True: it can reach any name of its own module, else any code at all.
    """

    line: int
    why: str
    own_module: bool = False


@dataclass(frozen=True, slots=True)
class Uses:
    """What a piece of code uses: `load` when it is executed, `call` when what it defines is called.

    `own` are members of the surrounding class, reached through the first parameter,
    `super()` or the class body's own scope; `own_stored` those assigned through it,
    `own_changed` those changed in place. `leaks_own`: the instance or class itself goes
    somewhere, so any member may be used. `lazy` are modules imported when it is called.
    """

    load: frozenset[Ref] = frozenset()
    call: frozenset[Ref] = frozenset()
    own: frozenset[str] = frozenset()
    own_stored: frozenset[str] = frozenset()
    own_changed: frozenset[str] = frozenset()
    leaks_own: bool = False
    changes_class: bool = False
    lazy: frozenset[str] = frozenset()
    opaque: tuple[Opaque, ...] = ()
    starts_on_load: bool = False
    starts_on_call: bool = False
    reads_docs: bool = False

    @property
    def all(self) -> frozenset[Ref]:
        return self.load | self.call


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a statement's meaning depends on besides its text."""

    module: str
    is_package: bool
    has_lazy_annotations: bool


def changes_in_place(ref: Ref, rest: tuple[str, ...]) -> bool:
    """Whether `ref` certainly changes the object it resolves to, `rest` being what follows the symbol."""
    return bool(rest) and (
        bool(ref.use & Use.STORE) or (bool(ref.use & Use.CALL) and rest[-1] in CHANGING_METHODS)
    )


def may_change(ref: Ref, rest: tuple[str, ...]) -> bool:
    """Whether the object that `ref` resolves to may be changed by this use."""
    if ref.use & (Use.STORE | Use.PASS):
        return True
    return bool(ref.use & Use.CALL) and bool(rest) and rest[-1] not in READING_METHODS


def merge(parts: Iterable[Uses]) -> Uses:
    """All that several pieces of code use."""
    every = tuple(parts)
    return Uses(
        frozenset().union(*(u.load for u in every)),
        frozenset().union(*(u.call for u in every)),
        frozenset().union(*(u.own for u in every)),
        frozenset().union(*(u.own_stored for u in every)),
        frozenset().union(*(u.own_changed for u in every)),
        any(u.leaks_own for u in every),
        any(u.changes_class for u in every),
        frozenset().union(*(u.lazy for u in every)),
        tuple(o for u in every for o in u.opaque),
        any(u.starts_on_load for u in every),
        any(u.starts_on_call for u in every),
        any(u.reads_docs for u in every),
    )


__all__ = [
    "ELEMENT",
    "Opaque",
    "Ref",
    "Role",
    "Surroundings",
    "Use",
    "Uses",
    "changes_in_place",
    "may_change",
    "merge",
]
