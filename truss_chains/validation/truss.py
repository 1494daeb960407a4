"""Rules about `TrussChainlet`: V-70 and V-71. Whether the directory exists is packaging's question (V-73)."""

from collections.abc import Iterator
from pathlib import Path

from chains_protocol.errors import Code, Diagnostic, ErrorKind
from chains_protocol.kinds import ChainletKind
from truss_chains.chainlet import chainlet_kind
from truss_chains.inspection import MISSING, class_attribute
from truss_chains.validation.subject import Subject


def check_truss(subject: Subject) -> Iterator[Diagnostic]:
    """V-70: `truss_dir` is there. V-71: it is a path."""
    if chainlet_kind(subject.cls) is not ChainletKind.TRUSS:
        return
    given = class_attribute(subject.cls, "truss_dir")
    if given is MISSING:
        yield subject.problem(
            Code.BAD_TRUSS_DIR,
            ErrorKind.MISSING_API_ERROR,
            f"`{subject.name}` has no class variable `truss_dir`",
            'name the directory of the Truss, for example `truss_dir = "./my_truss"`',
        )
    elif not isinstance(given, str | Path):
        yield subject.problem(
            Code.BAD_TRUSS_DIR,
            ErrorKind.TYPE_ERROR,
            f"`truss_dir` of `{subject.name}` has the type `{type(given).__name__}`, not a `str` or `Path`",
            'write a path, for example `truss_dir = "./my_truss"`',
            at=subject.sources.of_class_variable(subject.cls, "truss_dir"),
        )


__all__ = ["check_truss"]
