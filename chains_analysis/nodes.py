"""Nodes of the graph of references."""

from typing import Final, NamedTuple

SYMBOL: Final = "symbol"
STATEMENT: Final = "statement"
MODULE: Final = "module"
EVERYTHING: Final = "everything"
DOCS: Final = "docs"
EDGE: Final = "edge"
VIEW: Final = "view"
HEAD: Final = "head"
MEMBER: Final = "member"
SIGNATURE: Final = "signature"
WIRE: Final = "wire"
EXPORT: Final = "export"


class Key(NamedTuple):
    """A node of the graph of references.

    SYMBOL: all that a module binds to a name. STATEMENT: a top-level statement that binds
    none. MODULE: a module as an object, hence all its names. EVERYTHING: all code there is.
    DOCS: the docstrings of all modules.
    EDGE: what a caller of a Chainlet depends on. VIEW: a class as a type, without the bodies
    of its methods. HEAD, MEMBER, SIGNATURE: parts of the judged Chainlet's own classes. WIRE:
    how a parameter of an `__init__` calls its dependency; "__init__.x" in `member`, or
    "__init__." for the Chainlets that its other annotations name. EXPORT: that a star import
    of the module gives a name.
    """

    kind: str
    module: str = ""
    name: str = ""
    member: str = ""


class Hit(NamedTuple):
    """What a reference leads to; `rest` are the attributes that follow the symbol."""

    key: Key
    rest: tuple[str, ...] = ()


__all__ = [
    "DOCS",
    "EDGE",
    "EVERYTHING",
    "EXPORT",
    "HEAD",
    "MEMBER",
    "MODULE",
    "SIGNATURE",
    "STATEMENT",
    "SYMBOL",
    "VIEW",
    "WIRE",
    "Hit",
    "Key",
]
