"""Where a Chainlet may not be created: inside another Chainlet (L-20 to L-22).

The two places are the construction of a Chainlet and its endpoint. Helpers, fixtures, lambdas and
coroutines outside of them may create Chainlets.
"""

import linecache
import logging
import sys
from types import FrameType
from typing import Final

from chains_protocol.errors import Code, Location
from truss_chains.chainlet import AbstractChainlet
from truss_chains.dependency import EXAMPLE
from truss_chains.errors import DOCS_URL, ChainsRuntimeError

_LOG: Final = logging.getLogger(__name__)
_ENDPOINTS: Final = ("run_remote", "predict")


def refuse_inside_chainlets(cls: type, building: type | None) -> None:
    """Raise if user code creates `cls` inside another Chainlet.

    Args:
        cls: the class being called.
        building: the Chainlet whose `__init__` runs now, if any.

    Raises:
        ChainsRuntimeError: CH125, with the place of the call.
    """
    owner = f"{building.__name__}.__init__" if building is not None else _running_endpoint()
    if owner is None:
        return
    location, function = _place_of_call()
    _LOG.error("Chainlet `%s` was created inside `%s`, at %s.", cls.__name__, owner, location)
    raise ChainsRuntimeError(
        f"`{cls.__name__}` can't be constructed here: the call is inside `{owner}`, at {location} in "
        f"`{function}`: `{location.source_line}`. Chainlets do not instantiate other Chainlets. "
        "Either declare it as a dependency of the Chainlet that needs it, or construct the entrypoint "
        "itself inside `with chains.run_local():`, or push the Chain and call the deployment. "
        f"See {DOCS_URL}/concepts and {DOCS_URL}/localdev. Example:\n{EXAMPLE}",
        code=Code.NAIVE_INSTANTIATION,
    )


def _running_endpoint() -> str | None:
    """`Chainlet.method` if one of the calling frames is a Chainlet's endpoint."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if code.co_name in _ENDPOINTS and code.co_argcount:
            owner = frame.f_locals.get(code.co_varnames[0])
            if isinstance(owner, AbstractChainlet):
                return f"{type(owner).__name__}.{code.co_name}"
        frame = frame.f_back
    return None


def _place_of_call() -> tuple[Location, str]:
    """Place and function of the nearest calling frame that is not ours."""
    frame = sys._getframe(1)
    package = __name__.partition(".")[0]
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == package:
        frame = frame.f_back
    path, line = frame.f_code.co_filename, frame.f_lineno
    source_line = linecache.getline(path, line, frame.f_globals).strip()
    return Location(path=path, line=line, source_line=source_line), frame.f_code.co_qualname


__all__ = ["refuse_inside_chainlets"]
