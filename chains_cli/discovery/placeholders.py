"""Stand-ins for modules that are not installed here but are where the Chain runs.

A placeholder may be imported, named in an annotation, subclassed and used as a decorator:
what a file does while it is only read. Anything that would need the real module, such as a
call at the file's top level, raises `PlaceholderUsedError`.

Loaded by the discovery child in the user's interpreter: standard library only.
"""

import ast
import importlib.abc
import importlib.machinery
import linecache
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import NoReturn


class PlaceholderUsedError(Exception):
    """A module that is not installed here was really used; `module` is its dotted name."""

    def __init__(self, module: str, used: str) -> None:
        super().__init__(f"`{used}` was used, but `{module}` is not installed here")
        self.module = module
        self.used = used


class StandInBase:
    """The base that a class gets in place of one from a missing module."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        raise PlaceholderUsedError("a base class of " + type(self).__name__, type(self).__name__)


class Placeholder:
    """A name of a missing module. See the module's docstring for what it tolerates."""

    _module: str
    _path: str

    def __init__(self, module: str, path: str) -> None:
        self.__dict__.update(_module=module, _path=path, __name__=path.rpartition(".")[2], __module__=module)

    def __getattr__(self, name: str) -> "Placeholder":
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Placeholder(self._module, f"{self._path}.{name}")

    def __call__(self, *args: object, **kwargs: object) -> object:
        frame = sys._getframe(1)
        if not _is_decoration(frame):
            self._use()
        if len(args) == 1 and not kwargs and isinstance(args[0], (type, *_FUNCTIONS)):
            return args[0]
        return self

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        already = any(isinstance(b, type) and issubclass(b, StandInBase) for b in bases)
        first = next(b for b in bases if isinstance(b, Placeholder))
        return (StandInBase,) if first is self and not already else ()

    def __getitem__(self, item: object) -> "Placeholder":
        return self

    def __or__(self, other: object) -> "Placeholder":
        return self

    __ror__ = __or__

    def __repr__(self) -> str:
        return f"<placeholder for {self._path}>"

    def _use(self, *args: object, **kwargs: object) -> NoReturn:
        raise PlaceholderUsedError(self._module, self._path)

    __bool__ = __len__ = __iter__ = __contains__ = __int__ = __float__ = __index__ = _use
    __enter__ = __exit__ = __await__ = __aiter__ = __setitem__ = __delitem__ = _use
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _use
    __lt__ = __le__ = __gt__ = __ge__ = __neg__ = __matmul__ = __mod__ = __pow__ = __invert__ = _use
    __get_pydantic_core_schema__ = __format__ = __str__ = _use


class _PlaceholderModule(ModuleType):
    """Any attribute exists; submodules import because it has a `__path__`."""

    def __getattr__(self, name: str) -> Placeholder:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Placeholder(self.__name__, f"{self.__name__}.{name}")


class PlaceholderFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """A meta path finder that makes up the given top-level modules and everything below them.

    It is asked last, and answers only for imports that the user's own files make: a library
    that tries an optional import must find it missing, as it is.
    """

    def __init__(self, names: Iterable[str], user_root: Path) -> None:
        self._names = frozenset(names)
        self._root = str(user_root.resolve())

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in self._names or not self._is_user_import():
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _PlaceholderModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""

    def _is_user_import(self) -> bool:
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and _is_import_machinery(frame):
            frame = frame.f_back
        return frame is not None and is_user_file(frame.f_code.co_filename, self._root)


def is_user_file(filename: str, root: str) -> bool:
    """Whether a file is the user's own: below `root`, and not in an environment that lies there."""
    if filename.startswith("<"):
        return False
    resolved = Path(filename).resolve()
    inside = resolved.is_relative_to(root)
    parts = resolved.relative_to(root).parts if inside else ()
    return inside and not {"site-packages", "dist-packages"} & set(parts)


def _is_import_machinery(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return name.startswith("<frozen importlib") or name.endswith("importlib/__init__.py") or name == __file__


def _is_decoration(frame: FrameType) -> bool:
    """Whether the line that `frame` runs belongs to a decorator."""
    source = "".join(linecache.getlines(frame.f_code.co_filename))
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return False
    return any(
        decorator.lineno <= frame.f_lineno <= (decorator.end_lineno or decorator.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for decorator in node.decorator_list
    )


def _function() -> None:
    """Only its type is of interest."""


_FUNCTIONS = (type(_function), staticmethod, classmethod, property)

__all__ = [
    "Placeholder",
    "PlaceholderFinder",
    "PlaceholderUsedError",
    "StandInBase",
    "is_user_file",
]
