"""The last chance: definition errors that nobody asked for (E-06)."""

import logging
import os
import sys
from types import ModuleType

from chains_protocol.errors import Severity
from truss_chains.registry import Registry
from truss_chains.validation.text import combined


def report_at_exit(registry: Registry, main: ModuleType | None) -> None:
    """Write collected errors to stderr; end with status 1 if a file with Chainlets was the program.

    Python offers no way to change the status once the program's last line has run, but for
    leaving at once; so the streams and the logs are closed first.
    """
    errors = [d for d in registry.collected() if d.severity is Severity.ERROR]
    if not errors:
        return
    sys.stderr.write(combined(errors) + "\n")
    if main is None or not _is_chain_file(main):
        return
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _is_chain_file(main: ModuleType) -> bool:
    from truss_chains.chainlet import is_chainlet_class

    return any(is_chainlet_class(value) for value in vars(main).values())


__all__ = ["report_at_exit"]
