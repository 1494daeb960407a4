"""Rules about names: V-01. V-02 is the registry's, V-03 is about whole Chains (`describe`)."""

import re
from collections.abc import Iterator
from typing import Final

from chains_protocol.errors import Code, Diagnostic, ErrorKind
from chains_protocol.kinds import ChainletKind
from truss_chains.chainlet import chainlet_kind
from truss_chains.validation.subject import Subject

DISPLAY_NAME: Final = re.compile(r"[a-zA-Z0-9_-]+")


def check_display_name(subject: Subject) -> Iterator[Diagnostic]:
    """V-01: only letters, digits, `_` and `-`."""
    if chainlet_kind(subject.cls) is ChainletKind.MODEL:
        return
    name = subject.cls.display_name
    if not DISPLAY_NAME.fullmatch(name):
        yield subject.problem(
            Code.INVALID_NAME,
            ErrorKind.INVALID_CONFIG_ERROR,
            f"the name `{name}` does not match `^{DISPLAY_NAME.pattern}$`",
            "use letters, digits, `_` and `-` only",
            at=subject.sources.of_class_variable(subject.cls, "remote_config"),
        )


__all__ = ["DISPLAY_NAME", "check_display_name"]
