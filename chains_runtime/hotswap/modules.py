"""The workspace modules of one generation, and its own `__import__`.

Each module's `__builtins__` is a dictionary whose `__import__` belongs to the generation. So an
import statement resolves inside the generation whenever it runs: at load time, or years later
inside an old function. A generation loads a module at its first import, exactly as Python does.
"""

import builtins
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from chains_runtime.hotswap.compiling import CARRIED, compile_module, forget_source, remember_source
from chains_runtime.hotswap.plan import CarryPlanLike, FreshPlan
from truss_chains.validation import scope

_INIT: Final = "__init__.py"


class Facade(ModuleType):
    """What stands in `sys.modules` for a module of the workspace."""


class LeftModuleError(ModuleNotFoundError):
    """The workspace has lost that module. Whether there is a library of that name, a new process can tell."""


@dataclass(frozen=True)
class ModuleFile:
    """Where a module's source is. `path` is None for a namespace package (a directory only)."""

    path: Path | None
    directory: Path | None
    """Search path of a package; None for a plain module."""


class ModuleTable:
    """Modules by name, loaded from one source root.

    Args:
        source_root: the package's source directory.
        announce: called with a module's name before its body runs, so that `sys.modules` knows
            it (R-03).
        plan: what to take over from `previous`.
        previous: the table of the generation this one was made from.
    """

    def __init__(
        self,
        source_root: Path,
        announce: Callable[[str], None],
        plan: CarryPlanLike | None = None,
        previous: "ModuleTable | None" = None,
    ) -> None:
        self.source_root = source_root
        self.modules: dict[str, ModuleType] = {}
        self.executed: set[str] = set()
        """Modules whose body ran here, rather than being shared."""
        self._announce = announce
        self._plan: CarryPlanLike = FreshPlan() if plan is None else plan
        self._previous = previous
        self._successor: ModuleTable | None = None
        self._lock = threading.RLock()
        self._files: dict[str, ModuleFile | None] = {}
        self._sources: list[str] = []
        self._builtins: dict[str, Any] = {**vars(builtins), "__import__": self.import_}

    # --- looking up --------------------------------------------------------------------------------

    def find(self, name: str) -> ModuleFile | None:
        """The file of a workspace module, None if the workspace has none of that name."""
        if name not in self._files:
            self._files[name] = self._look_up(name)
        return self._files[name]

    def _look_up(self, name: str) -> ModuleFile | None:
        stem = self.source_root.joinpath(*name.split("."))
        init = stem / _INIT
        if init.is_file():
            return ModuleFile(init, stem)
        module = stem.with_name(stem.name + ".py")
        if module.is_file():
            return ModuleFile(module, None)
        return ModuleFile(None, stem) if stem.is_dir() else None

    def owns(self, name: str) -> bool:
        """Whether an import of `name` is the workspace's business."""
        if self.find(name) is not None:
            return True
        top = self.find(name.partition(".")[0])
        # A namespace package may have parts outside of the workspace.
        return top is not None and top.path is not None

    # --- importing ---------------------------------------------------------------------------------

    def import_(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What an import statement in this generation's code calls."""
        if self._successor is not None:
            return self._successor.import_(name, globals, locals, fromlist, level)
        absolute = _absolute(name, globals, level) if level else name
        if not self.owns(absolute):
            self._check_not_left(absolute)
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = self.load(absolute)
        if not fromlist:
            return self.load(absolute.partition(".")[0])
        self._load_members(module, absolute, fromlist)
        return module

    def _check_not_left(self, name: str) -> None:
        """Python would find what a former generation left in `sys.modules`, which is no module any more."""
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            prefix = ".".join(parts[:end])
            if isinstance(sys.modules.get(prefix), Facade) and self.find(prefix) is None:
                raise LeftModuleError(f"No module named {prefix!r}", name=prefix)

    def _load_members(self, module: ModuleType, name: str, fromlist: Sequence[str]) -> None:
        if not hasattr(module, "__path__"):
            return
        wanted = list(getattr(module, "__all__", ())) if "*" in fromlist else list(fromlist)
        for member in wanted:
            if not hasattr(module, member) and self.find(f"{name}.{member}") is not None:
                self.load(f"{name}.{member}")

    def load(self, name: str) -> ModuleType:
        """The module of that name, loaded now if it was not.

        Raises:
            ModuleNotFoundError: the workspace has no such module.
            Exception: whatever its body raises.
        """
        if self._successor is not None:
            return self._successor.load(name)
        with self._lock:
            found = self.modules.get(name)
            if found is not None:
                return found
            parent, _, child = name.rpartition(".")
            if parent:
                self.load(parent)
                if name in self.modules:  # the parent's body imported it
                    return self.modules[name]
            module = self._shared(name) or self._execute(name)
            if parent:
                setattr(self.modules[parent], child, module)
            return module

    def _shared(self, name: str) -> ModuleType | None:
        if self._previous is None or name not in self._plan.shared:
            return None
        module = self._previous.load(name)
        if hasattr(module, "__path__") and self._has_own_submodules(name):
            # Its attributes name its submodules, and some of those differ between the generations.
            clone = ModuleType(name)
            vars(clone).update(vars(module))
            module = clone
        self.modules[name] = module
        return module

    def _has_own_submodules(self, name: str) -> bool:
        """Whether the package holds a module that this generation does not share."""
        prefix = name + "."
        before = self._previous.modules if self._previous is not None else {}
        loaded = [other for other in before if other.startswith(prefix)]
        return any(other not in self._plan.shared for other in loaded)

    def _execute(self, name: str) -> ModuleType:
        file = self.find(name)
        if file is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        module = self._blank(name, file)
        self.modules[name] = module
        self._announce(name)
        parent, _, child = name.rpartition(".")
        if parent:  # early, so that modules which import each other find each other
            setattr(self.modules[parent], child, module)
        try:
            if file.path is not None:
                self._run_body(name, module, file.path)
        except BaseException:
            del self.modules[name]
            if parent and parent in self.modules:
                vars(self.modules[parent]).pop(child, None)
            raise
        self.executed.add(name)
        return module

    def _blank(self, name: str, file: ModuleFile) -> ModuleType:
        module = ModuleType(name)
        loader = SourceFileLoader(name, str(file.path)) if file.path is not None else None
        spec = ModuleSpec(
            name, loader, origin=loader.path if loader else None, is_package=file.directory is not None
        )
        if file.directory is not None:
            spec.submodule_search_locations = [str(file.directory)]
            module.__path__ = [str(file.directory)]
        if file.path is not None:
            spec.has_location = True
            module.__file__ = str(file.path)
        module.__spec__ = spec
        module.__loader__ = loader
        module.__package__ = spec.parent
        vars(module)["__builtins__"] = self._builtins
        return module

    def _run_body(self, name: str, module: ModuleType, path: Path) -> None:
        source = path.read_bytes()
        filename = str(path)
        remember_source(filename, source)
        self._sources.append(filename)
        statements = self._plan.modules.get(name, ())
        before = self._namespace_before(name) if statements else None
        code = compile_module(source, filename, statements, before)
        if before is not None:
            vars(module)[CARRIED] = before
        try:
            # The same class names come again with each generation; what is wrong with them was told
            # to their author before the package was made. The first one repeats what is no error.
            with scope(checks=self._previous is None):
                exec(code, vars(module))  # noqa: S102 (this is an import: the package's own code)
        finally:
            vars(module).pop(CARRIED, None)

    def _namespace_before(self, name: str) -> dict[str, Any] | None:
        """The values of the module this one replaces; None if it was never loaded."""
        if self._previous is None:
            return None
        known = self._previous.modules.get(name)
        return None if known is None else dict(vars(known))

    def kept_names(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Modules with the values that live on in this generation from the one before."""
        for name, module in tuple(self.modules.items()):
            values = vars(module)
            if name not in self.executed:
                yield name, dict(values)
            else:
                statements = self._plan.modules.get(name, ())
                carried = {n for s in statements if s.carry for n in s.names}
                yield name, {n: values[n] for n in carried if n in values}

    def roots(self) -> set[Path]:
        """The source roots that this generation's code comes from: its own, and those of shared modules."""
        found = {self.source_root}
        for name, module in tuple(self.modules.items()):
            file = getattr(module, "__file__", None)
            if file is not None and name not in self.executed:
                path = Path(file)
                found.add(path.parents[name.count(".") + (path.name == _INIT)])
        return found

    # --- ending ------------------------------------------------------------------------------------

    def forward_to(self, successor: "ModuleTable") -> None:
        """End this table: code of modules it shared with `successor` imports from there now."""
        with self._lock:
            self._successor = successor
            if successor._previous is self:
                successor._previous = None
            kept = set(successor._sources)
            shared = {m.__file__ for m in successor.modules.values() if getattr(m, "__file__", None)}
            for filename in self._sources:
                if filename not in kept and filename not in shared:
                    forget_source(filename)
            self.modules = {}
            self._previous = None


def _absolute(name: str, globals_: Mapping[str, object] | None, level: int) -> str:
    package = str((globals_ or {}).get("__package__") or "")
    return importlib.util.resolve_name("." * level + name, package)


__all__ = ["Facade", "LeftModuleError", "ModuleFile", "ModuleTable"]
