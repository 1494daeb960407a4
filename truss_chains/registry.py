"""The Chainlet classes declared so far, and what was found wrong with them.

This is the one place with state that outlives a call. `scope()` gives a block (an import, a
generation of code) a registry of its own, which is dropped at its end (I-05, E-07).
"""

import atexit
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from chains_protocol.errors import Code, Diagnostic, ErrorKind, Severity
from truss_chains.errors import ChainsUsageError


@dataclass(frozen=True)
class Declaration:
    """A Chainlet class and where its class statement is.

    `path` is absolute for a real file, else the name Python gave it (`<stdin>`). `line` is the
    line that Python was at while it made the class. `names` are those of the enclosing
    function, if any: string annotations may use them.
    """

    chainlet: type
    path: str
    line: int
    names: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def is_local(self) -> bool:
        """It is defined inside a function, so nobody else can import it."""
        return "<locals>" in self.chainlet.__qualname__

    def same_origin(self, other: "Declaration") -> bool:
        """Both come from one file, or from one interactive session."""
        if self.path == other.path or os.path.realpath(self.path) == os.path.realpath(other.path):
            return True
        module = self.chainlet.__module__
        loaded = sys.modules.get(module)
        return module == other.chainlet.__module__ and getattr(loaded, "__file__", None) is None


DeferredCheck = Callable[[], Iterable[Diagnostic]]
"""A check of one class that could not be made when the class was."""


class _State:
    def __init__(self, *, checks: bool = True) -> None:
        self.checks = checks
        self.declared: dict[str, Declaration] = {}
        self.found: list[Diagnostic] = []
        self.deferred: list[tuple[type, DeferredCheck]] = []


class Registry:
    """Declared Chainlets by class name, in order of definition, and collected diagnostics.

    Args:
        at_exit: called when the program ends, once a class was declared or something was found.
        examine: called with each class before the collection is looked at; a decorator may
            have changed it since it was declared.
    """

    def __init__(
        self,
        at_exit: Callable[[], None] | None = None,
        examine: Callable[[type], None] = lambda cls: None,
    ) -> None:
        self._root = _State()
        self._scoped: ContextVar[_State | None] = ContextVar("chains_registry_scope", default=None)
        self._at_exit = at_exit
        self._examine = examine

    @property
    def _state(self) -> _State:
        return self._scoped.get() or self._root

    def __iter__(self) -> Iterator[type]:
        return iter([declaration.chainlet for declaration in self._state.declared.values()])

    def __len__(self) -> int:
        return len(self._state.declared)

    def get(self, class_name: str) -> type | None:
        """The class registered under that name."""
        declaration = self._state.declared.get(class_name)
        return declaration.chainlet if declaration else None

    def add(self, declaration: Declaration) -> None:
        """Register a class (V-02).

        A class of the same name from the same origin is replaced: a reload, a notebook cell
        run again, a file that runs as `__main__` and is imported too.

        Raises:
            ChainsUsageError: CH102 if another file defines a class of that name.
        """
        state = self._state
        name = declaration.chainlet.__name__
        known = state.declared.get(name)
        if known and not (known.is_local or declaration.is_local) and not known.same_origin(declaration):
            raise _duplicate(known, declaration)
        if known:
            del state.declared[name]
            state.found = [d for d in state.found if d.chainlet != name]
        state.declared[name] = declaration
        self._watch_exit(state)

    def report(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Collect diagnostics of a definition; they are not asked for in a block without checks."""
        state = self._state
        if not state.checks:
            return
        state.found.extend(diagnostics)
        self._watch_exit(state)

    def defer(self, cls: type, check: DeferredCheck) -> None:
        """Run a check of `cls` when the collection is looked at: what it needs is not defined yet."""
        state = self._state
        state.deferred.append((cls, check))
        self._watch_exit(state)

    def _watch_exit(self, state: _State) -> None:
        is_used = state.declared or state.found or state.deferred
        if state is self._root and is_used and self._at_exit is not None:
            atexit.register(self._at_exit)
            self._at_exit = None

    def collected(self) -> tuple[Diagnostic, ...]:
        """All diagnostics so far, in order of detection."""
        state = self._state
        for declaration in list(state.declared.values()):
            self._examine(declaration.chainlet)
        deferred, state.deferred = state.deferred, []
        for cls, check in deferred:
            if self.get(cls.__name__) is cls:  # else it was replaced by a newer definition
                state.found.extend(check())
        return tuple(state.found)

    def take_errors(self) -> tuple[Diagnostic, ...]:
        """The errors so far; if there are any, the whole collection is cleared (E-04)."""
        errors = tuple(d for d in self.collected() if d.severity is Severity.ERROR)
        if errors:
            self._state.found.clear()
        return errors

    @contextmanager
    def scope(self, *, checks: bool = True) -> Iterator[None]:
        """Within the block, an empty registry; afterwards the former one, also after an error.

        `checks` False: nobody will look at what is wrong with the definitions made in it.
        """
        token = self._scoped.set(_State(checks=checks))
        try:
            yield
        finally:
            self._scoped.reset(token)


def _duplicate(known: Declaration, declaration: Declaration) -> ChainsUsageError:
    from truss_chains.source import SourceFile

    name = declaration.chainlet.__name__
    message = f"two Chainlets are called `{name}`: one in `{known.path}`, one in `{declaration.path}`"
    remedy = "class names are unique; rename one of them"
    diagnostic = Diagnostic(
        code=Code.DUPLICATE_NAME,
        kind=ErrorKind.INVALID_CONFIG_ERROR,
        location=SourceFile(declaration.path).location(declaration.line),
        chainlet=name,
        message=message,
        help=remedy,
    )
    return ChainsUsageError(f"{message}; {remedy}", code=Code.DUPLICATE_NAME, diagnostics=[diagnostic])


__all__ = ["Declaration", "DeferredCheck", "Registry"]
