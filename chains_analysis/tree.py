"""A set of Python sources as data: paths, bytes, and the module names they answer to."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Final

_INIT: Final = "__init__.py"


class SourceTree:
    """Immutable files below one import root, by relative POSIX path.

    Python files are modules; other files take part in comparisons only. Two trees with
    the same paths and bytes are equal and hash alike, so a tree can key a cache.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files: Mapping[str, bytes] = MappingProxyType(dict(sorted(files.items())))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SourceTree) and self.files == other.files

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"SourceTree({len(self.files)} files)"

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(self.files.items()))

    @cached_property
    def modules(self) -> Mapping[str, str]:
        """Dotted module name -> path. A package wins over a module file of the same name, as in Python."""
        found: dict[str, str] = {}
        for path in self.files:
            name = module_name(path)
            if name and (name not in found or path.endswith("/" + _INIT)):
                found[name] = path
        return MappingProxyType(found)

    @cached_property
    def directories(self) -> frozenset[str]:
        """Dotted names of all directories that hold Python files: packages, with `__init__.py` or not."""
        found: set[str] = set()
        for name in self.modules:
            parts = name.split(".")
            found.update(".".join(parts[:n]) for n in range(1, len(parts)))
        return frozenset(found | {name for name, path in self.modules.items() if path.endswith("/" + _INIT)})

    def is_package(self, module: str) -> bool:
        """Whether relative imports inside `module` start at itself rather than at its parent."""
        return self.modules.get(module, "").endswith("/" + _INIT)

    def has(self, module: str) -> bool:
        """Whether `module` is a module or a package (also one without `__init__.py`) of this tree."""
        return module in self.modules or module in self.directories

    def source(self, module: str) -> bytes:
        """The bytes of that module's file; `KeyError` if the tree has none."""
        return self.files[self.modules[module]]

    def restricted_to(self, paths: Iterable[str]) -> "SourceTree":
        """The tree of those paths only; paths it does not have are left out."""
        return SourceTree({path: self.files[path] for path in paths if path in self.files})

    @property
    def python_paths(self) -> tuple[str, ...]:
        """All Python files, sorted."""
        return tuple(path for path in self.files if path.endswith(".py"))


def module_name(path: str) -> str | None:
    """The dotted name under which the file at `path` is imported; None if it can't be imported.

    >>> module_name("pkg/tools.py"), module_name("pkg/__init__.py"), module_name("a-b.py")
    ('pkg.tools', 'pkg', None)
    """
    if not path.endswith(".py"):
        return None
    parts = path.removesuffix(".py").split("/")
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else None


def parents(module: str) -> tuple[str, ...]:
    """The packages around a module, outermost first: `a.b.c` -> `a`, `a.b`."""
    parts = module.split(".")
    return tuple(".".join(parts[:n]) for n in range(1, len(parts)))


__all__ = ["SourceTree", "module_name", "parents"]
