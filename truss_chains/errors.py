"""Exceptions that user code may catch.

The published classes keep their published bases and stand below `ChainsError` beside them,
so that `except ChainsError` catches everything that Chains itself raises.
"""

from collections.abc import Iterable
from typing import Final

from chains_protocol.errors import Code, Diagnostic

DOCS_URL: Final = "https://docs.baseten.co/development/chain"
"""The published documentation of the programming model."""


class ChainsError(Exception):
    """Base of all exceptions of Chains.

    Args:
        *args: the message, as for any exception.
        code: a code that is put in front of the message.
        remedy: what to do about it, put behind the message.
        diagnostics: the findings behind the message, for tools.
    """

    def __init__(
        self,
        *args: object,
        code: Code | None = None,
        remedy: str | None = None,
        diagnostics: Iterable[Diagnostic] = (),
    ) -> None:
        self.code = code
        self.remedy = remedy
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        if remedy is not None and args:
            args = (f"{args[0]}; {remedy}", *args[1:])
        if code is not None and args:
            args = (f"{code}: {args[0]}", *args[1:])
        super().__init__(*args)


class ChainsUsageError(ChainsError, TypeError):
    """User code breaks a rule of definition, or combines settings that exclude each other."""


class SettingsError(ChainsError, ValueError):
    """A setting has a value that does not exist."""


class MissingDependencyError(ChainsError, TypeError):
    """A file, a secret or a sibling service that is needed is not there."""


class ChainsRuntimeError(ChainsError):
    """Components are used in a wrong way while the program runs."""


class ChainsDeploymentError(ChainsError):
    """A deployment or a watch session can't go on."""


class GenericRemoteException(ChainsError):
    """An exception of a remote Chainlet whose class can't be rebuilt here."""


__all__ = [
    "DOCS_URL",
    "ChainsDeploymentError",
    "ChainsError",
    "ChainsRuntimeError",
    "ChainsUsageError",
    "GenericRemoteException",
    "MissingDependencyError",
    "SettingsError",
]
