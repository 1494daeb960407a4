"""How a Chainlet is constructed: the seam between plain Python and `run_local`.

Every `__init__` in a Chainlet's class tree is wrapped once, when its class is made
(`hook_init`). Calling a class then does one of two things:

- for the outermost `__init__` (that of the class being called), it hands over to the current
  *strategy*: `strategy(instance, init, args, kwargs)`. The strategy calls
  `init(instance, ...)` with the arguments it decides on. The default strategy,
  `guard_construction`, injects nothing and refuses what can't work (V-30, V-31);
- for an inner one (`super().__init__(...)`), it only refuses parameters that were left at their
  markers (V-92): forwarding is the subclass's business, remotely as well as locally.

`run_local` sets its own strategy in `CONSTRUCTION` for the time of its block. A context
variable keeps threads and nested blocks apart. Calls of `run_remote` are not touched at all,
so they cost what they cost in plain Python; that a construction happens inside another
Chainlet's `__init__` or `run_remote` can be seen from the frames at that moment
(`truss_chains.inspection.endpoint_function` names the code objects), or from a
variable that the strategy sets around `init`.
"""

import functools
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

from chains_protocol.errors import Code
from truss_chains.dependency import EXAMPLE, ContextMarker, Marker
from truss_chains.errors import DOCS_URL, ChainsRuntimeError
from truss_chains.signatures import signature_of

_LOG: Final = logging.getLogger(__name__)
_HOOKED: Final = "__chains_hooked__"

# User classes may take and return anything here: `Any` is what a wrapped `__init__` has.
Init = Callable[..., None]
Strategy = Callable[[Any, Init, tuple[Any, ...], Mapping[str, Any]], None]
"""`(instance, init, args, kwargs)`; calls `init(instance, ...)` or raises."""


def guard_construction(instance: Any, init: Init, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """The strategy outside `run_local`: construct only what is complete (V-30, V-31, V-32).

    Raises:
        ChainsRuntimeError: CH125 for positional arguments, a parameter left at its marker, or
            a `context` that is no `DeploymentContext`.
    """
    if args:
        raise ChainsRuntimeError(
            f"`{type(instance).__name__}` takes keyword arguments only; "
            f"{len(args)} positional {'was' if len(args) == 1 else 'were'} given.",
            code=Code.NAIVE_INSTANTIATION,
        )
    refuse_unfilled(type(instance), init, (instance,), kwargs)
    if "context" in kwargs and _declares_context(init) and not _is_context(kwargs["context"]):
        raise naive_instantiation(type(instance), "context", kwargs["context"])
    init(instance, **kwargs)


CONSTRUCTION: Final[ContextVar[Strategy]] = ContextVar("chains_construction", default=guard_construction)
"""The current strategy."""


def hook_init(cls: type) -> None:
    """Wrap the `__init__` that `cls` has or inherits from a class that is no Chainlet."""
    if not is_hooked(cls):
        cls.__init__ = _hooked(cls.__init__)  # type: ignore[misc]  # the wrapper keeps name and signature


def is_hooked(cls: type) -> bool:
    """Whether the `__init__` of `cls` is wrapped; not so after a decorator wrote another one."""
    init = cls.__init__  # type: ignore[misc]  # reading it from the class is the point
    # A decorator that copies attributes (`functools.wraps`) must not pass for our wrapper.
    return getattr(init, _HOOKED, None) is init


def _hooked(init: Init) -> Init:
    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if type(self).__init__ is __init__:
            CONSTRUCTION.get()(self, init, args, kwargs)
            return
        refuse_unfilled(type(self), init, (self, *args), kwargs)
        init(self, *args, **kwargs)

    setattr(__init__, _HOOKED, __init__)
    return __init__


def refuse_unfilled(cls: type, init: Init, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raise V-31's error if a call of `init` with these arguments would leave a marker in place."""
    try:
        bound = signature_of(init).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return  # Python's own error for wrong arguments, or a signature that can't be known
    bound.apply_defaults()
    for parameter, value in bound.arguments.items():
        if isinstance(value, Marker):
            raise naive_instantiation(cls, parameter, value)


def naive_instantiation(cls: type, parameter: str, value: object, where: str = "") -> ChainsRuntimeError:
    """The error of V-31; `where` adds facts about the offending call (L-20)."""
    given = f"`{value!r}`" if isinstance(value, Marker) else f"a `{type(value).__name__}`"
    _LOG.error("Chainlet `%s` was constructed with parameter `%s` being %s.", cls.__name__, parameter, given)
    return ChainsRuntimeError(
        f"`{cls.__name__}` can't be constructed here: parameter `{parameter}` is {given}. {where}"
        "Chainlets are not instantiated directly. Either declare it as a dependency of the Chainlet that "
        "needs it, or construct the entrypoint inside `with chains.run_local():`, or push the Chain and "
        "call the deployment. A subclass passes what it received on to `super().__init__(...)`. "
        f"See {DOCS_URL}/concepts and {DOCS_URL}/localdev. Example:\n{EXAMPLE}",
        code=Code.NAIVE_INSTANTIATION,
    )


def _declares_context(init: Init) -> bool:
    parameter = signature_of(init).parameters.get("context")
    return parameter is not None and isinstance(parameter.default, ContextMarker)


def _is_context(value: object) -> bool:
    from truss_chains.context import DeploymentContext

    return isinstance(value, DeploymentContext)


__all__ = [
    "CONSTRUCTION",
    "Init",
    "Strategy",
    "guard_construction",
    "hook_init",
    "is_hooked",
    "naive_instantiation",
    "refuse_unfilled",
]
