"""How the rest of the interpreter sees the workspace's modules.

`sys.modules` gets one facade a module. It shows the module of the generation that the running
code belongs to (of its call), else of the newest committed one. So what looks a module up by
name, such as pickle, dataclasses, pydantic and `importlib.import_module`, finds the right
generation's objects, also while another generation is being loaded beside.
"""

import importlib.abc
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from chains_runtime.hotswap.modules import Facade, ModuleTable

_STATE: Final = "__chains_facade__"


class ModuleSpace:
    """The workspace's place in this interpreter; there is one a replica.

    Args:
        running: the table of the generation that the running code belongs to, None outside of
            any call.
    """

    def __init__(self, running: Callable[[], ModuleTable | None]) -> None:
        self._running = running
        self._newest: ModuleTable | None = None
        self._facades: dict[str, ModuleType] = {}
        self._finder = _WorkspaceFinder(self)

    def current(self) -> ModuleTable | None:
        return self._running() or self._newest

    def install(self) -> None:
        """Answer imports by name from other code, before any other finder."""
        sys.meta_path.insert(0, self._finder)

    def publish(self, table: ModuleTable) -> None:
        """Make `table` what code outside of any call sees, and put its root first on `sys.path` (R-02)."""
        if self._newest is not None:
            _leave_path(str(self._newest.source_root))
        self._newest = table
        sys.path.insert(0, str(table.source_root))

    def announce(self, name: str) -> None:
        """Enter a facade into `sys.modules`; a foreign module of that name stays what it is."""
        if isinstance(sys.modules.get(name), _Loaded | None):
            sys.modules[name] = self.facade(name)

    def facade(self, name: str) -> ModuleType:
        if name not in self._facades:
            self._facades[name] = _Facade(name, self)
        return self._facades[name]

    def prune(self, tables: Iterable[ModuleTable]) -> None:
        """Forget the facades of modules that none of these generations has loaded."""
        known = {name for table in tables for name in table.modules}
        for name in set(self._facades).difference(known):
            facade = self._facades.pop(name)
            if sys.modules.get(name) is facade:
                del sys.modules[name]

    def close(self) -> None:
        """Take everything out of the interpreter again."""
        _drop(sys.meta_path, self._finder)
        if self._newest is not None:
            _leave_path(str(self._newest.source_root))
        for name, facade in self._facades.items():
            if sys.modules.get(name) is facade:
                del sys.modules[name]


def _leave_path(root: str) -> None:
    """Take a source root off the import path, with what the interpreter remembers of its directories."""
    _drop(sys.path, root)
    for directory in [d for d in sys.path_importer_cache if d == root or d.startswith(root + os.sep)]:
        sys.path_importer_cache.pop(directory, None)


def _drop(items: list[Any], item: object) -> None:
    if item in items:
        items.remove(item)


class _Facade(Facade):
    """Stands in `sys.modules` for one module of whichever generation is current."""

    def __init__(self, name: str, space: ModuleSpace) -> None:
        super().__init__(name)
        object.__setattr__(self, _STATE, (name, space))

    def __getattribute__(self, attribute: str) -> Any:
        target = _target(self, load=not attribute.startswith("__"))
        if target is None:
            return object.__getattribute__(self, attribute)
        return getattr(target, attribute)

    def __setattr__(self, attribute: str, value: Any) -> None:
        setattr(_loaded(self), attribute, value)

    def __delattr__(self, attribute: str) -> None:
        delattr(_loaded(self), attribute)

    def __dir__(self) -> list[str]:
        return dir(_loaded(self))

    def __repr__(self) -> str:
        return f"<workspace module {object.__getattribute__(self, _STATE)[0]!r}>"


def _target(facade: _Facade, *, load: bool) -> ModuleType | None:
    """The module to show; None if the current generation has not loaded it (and need not) or has none."""
    name, space = object.__getattribute__(facade, _STATE)
    table: ModuleTable | None = space.current()
    if table is None:
        return None
    found = table.modules.get(name)
    if found is None and load and table.find(name) is not None:
        # Only for names that code uses: tools that look through `sys.modules` ask for special ones.
        found = table.load(name)
    return found


def _loaded(facade: _Facade) -> ModuleType:
    target = _target(facade, load=True)
    if target is None:
        name = object.__getattribute__(facade, _STATE)[0]
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return target


class _WorkspaceFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers `importlib.import_module` and imports by foreign code."""

    def __init__(self, space: ModuleSpace) -> None:
        self._space = space

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        # Nothing is loaded yet: a module that appeared in `sys.modules` meanwhile would be run again.
        table = self._space.current()
        file = None if table is None else table.find(fullname)
        if file is None:
            return None
        spec = ModuleSpec(fullname, self, origin=str(file.path) if file.path else None)
        if file.directory is not None:
            spec.submodule_search_locations = [str(file.directory)]
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Loaded(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        table = self._space.current()
        if table is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        table.load(name)
        # The machinery returns what stands in `sys.modules` after this.
        sys.modules[name] = self._space.facade(name)


class _Loaded(ModuleType):
    """What the import machinery decorates in vain: the facade replaces it at once."""


__all__ = ["ModuleSpace"]
