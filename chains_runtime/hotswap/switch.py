"""Hand the state of the running instance to edited code, or say why that is not enough.

`patched` means: an instance of the new class is made without `__init__`, and its `__dict__`
*is* the running instance's. Both generations then work on one state, so nothing is lost that
a call in flight writes. That is right only if nothing in the state is code of the old
generation; `find_stale` looks.
"""

import asyncio
import functools
import gc
import logging
import types
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final

from chains_runtime.hotswap.modules import ModuleTable

LIMIT: Final = 1_000_000
"""Objects looked at. A state with more is called unknown, which is the heavier action."""

_ATOMS: Final = frozenset(
    {
        str,
        int,
        float,
        complex,
        bool,
        bytes,
        bytearray,
        type(None),
        range,
        slice,
        type(Ellipsis),
    }
)
_PLAIN: Final = frozenset({dict, list, tuple, set, frozenset, deque})
_C_MODULES: Final = frozenset({"builtins", "itertools", "functools", "_functools", "operator", "collections"})
_FRAMES: Final = (types.FrameType, types.TracebackType)
_OPAQUE: Final = (
    types.ModuleType,
    asyncio.AbstractEventLoop,
    logging.Logger,
    logging.Handler,
    types.CodeType,
)
"""Not looked into: from these, everything in the process can be reached."""
_OURS: Final = ("truss_chains", "chains_runtime", "chains_protocol")
_RUNNING: Final = (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)


def hand_over(running: object, new_cls: type) -> object:
    """An instance of `new_cls` that shares the state of `running`; no code of the user runs."""
    # `object.__new__`, because a `__new__` of the user's may want arguments.
    instance: object = object.__new__(new_cls)
    if hasattr(running, "__dict__"):
        object.__setattr__(instance, "__dict__", vars(running))
    for name in _slots(new_cls):
        try:
            value = object.__getattribute__(running, name)
        except AttributeError:
            continue  # never set, or a slot that the old class does not have
        object.__setattr__(instance, name, value)
    return instance


def _slots(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        declared = vars(base).get("__slots__", ())
        for name in (declared,) if isinstance(declared, str) else declared:
            if name in ("__dict__", "__weakref__"):
                continue
            private = name.startswith("__") and not name.endswith("__")
            yield f"_{base.__name__.lstrip('_')}{name}" if private else name


class StaleCode:
    """Looks for code of the old generation among objects.

    Args:
        old: the running generation's modules.
        new: the ones loaded beside.
        ignored: objects not to look into: the running instance itself.
    """

    def __init__(self, old: ModuleTable, new: ModuleTable, ignored: Iterable[object] = ()) -> None:
        self._old = old
        self._new = new
        self._seen: set[int] = {id(item) for item in ignored}
        self._ignored = tuple(ignored)
        self._current: dict[type, bool] = {}

    def find(self, roots: Iterable[tuple[str, object]]) -> str | None:
        """The first thing found, as a phrase for people; None if there is nothing.

        Args:
            roots: where to begin, each with the name a user knows it by.
        """
        waiting: deque[tuple[str, object]] = deque(roots)
        looked_at = 0
        while waiting:
            name, item = waiting.popleft()
            kind = type(item)
            if kind in _ATOMS or id(item) in self._seen:
                continue
            if kind is types.ModuleType and self._is_old_module(item):
                return f"`{name}` holds the module `{vars(item)['__name__']}`, which is new"
            if _is_opaque(item):
                continue
            self._seen.add(id(item))
            looked_at += 1
            if looked_at > LIMIT:
                return f"the state has more than {LIMIT:,} objects, too many to be looked at"
            problem = self._problem(name, item)
            if problem is not None:
                return problem
            waiting.extend((name, part) for part in _parts(item))
        return None

    def _problem(self, name: str, item: object) -> str | None:
        if isinstance(item, type):
            return (
                None
                if self._is_current(item)
                else f"`{name}` holds the class `{item.__qualname__}`, which is new"
            )
        if isinstance(item, types.MethodType) and any(item.__self__ is mine for mine in self._ignored):
            return f"`{name}` holds the bound method `{item.__func__.__qualname__}` of the old code"
        if isinstance(item, types.FunctionType):
            return self._function_problem(name, item)
        if isinstance(item, _RUNNING):
            return self._running_problem(name, item)
        if not self._is_current(type(item)):
            return f"`{name}` holds a `{type(item).__qualname__}`, whose class is new"
        return None

    def _function_problem(self, name: str, item: types.FunctionType) -> str | None:
        if not self._is_replaced(item.__module__):
            return None
        known = _lookup(self._new, item.__module__, item.__qualname__)
        if _is_or_wraps(known, item) or self._is_made_by_kept(item):
            return None
        return f"`{name}` holds the function `{item.__qualname__}` of the old code"

    def _is_made_by_kept(self, item: types.FunctionType) -> bool:
        """Whether it was defined inside a function that the new generation took over as it is."""
        outer, inside, _ = item.__qualname__.partition(".<locals>.")
        if not inside:
            return False
        maker = _lookup(self._new, item.__module__, outer)
        is_kept = maker is not None and maker is _lookup(self._old, item.__module__, outer)
        return (
            is_kept and isinstance(maker, types.FunctionType) and _holds_code(maker.__code__, item.__code__)
        )

    def _running_problem(self, name: str, item: Any) -> str | None:
        """`item` is a coroutine or generator; their frames have different names."""
        frame = next(
            (f for f in (getattr(item, a, None) for a in ("cr_frame", "gi_frame", "ag_frame")) if f), None
        )
        if frame is None or not self._is_replaced(frame.f_globals.get("__name__")):
            return None
        return f"`{name}` holds a coroutine or generator that runs old code"

    def _is_old_module(self, item: object) -> bool:
        name = vars(item).get("__name__")
        return self._old.modules.get(str(name)) is item and self._is_replaced(name)

    def _is_replaced(self, module: object) -> bool:
        """Whether the new generation has another module of that name, so objects of it may be old."""
        old = self._old.modules.get(str(module))
        return old is not None and self._new.modules.get(str(module)) is not old

    def _is_current(self, cls: type) -> bool:
        """Whether the new generation knows the very same class (or does not have its module)."""
        known = self._current.get(cls)
        if known is None:
            known = self._current[cls] = self._look_up_class(cls)
        return known

    def _look_up_class(self, cls: type) -> bool:
        if not self._is_replaced(cls.__module__):
            return True
        return _lookup(self._new, cls.__module__, cls.__qualname__) is cls


def _lookup(table: ModuleTable, module: str, qualname: str) -> object:
    found: object = table.modules.get(module)
    for part in qualname.split("."):
        if found is None:
            return None
        try:
            found = vars(found).get(part)
        except TypeError:
            return None
    return found


def _is_or_wraps(known: object, item: object) -> bool:
    """Whether a name still stands for a function, be it under decorators such as `functools.cache`."""
    seen: set[int] = set()
    while known is not None and id(known) not in seen:
        if known is item:
            return True
        seen.add(id(known))
        known = getattr(known, "__dict__", {}).get("__wrapped__")
    return False


def _holds_code(outer: types.CodeType, inner: types.CodeType) -> bool:
    inside = (part for part in outer.co_consts if isinstance(part, types.CodeType))
    return any(part is inner or _holds_code(part, inner) for part in inside)


def _is_opaque(item: object) -> bool:
    if isinstance(item, _OPAQUE):
        return True
    owner = item if isinstance(item, type | types.FunctionType) else type(item)
    return str(getattr(owner, "__module__", "")).partition(".")[0] in _OURS


def _parts(item: object) -> Iterator[object]:
    """What an object holds: items of containers, attributes, parts of callables."""
    if isinstance(item, dict | list | tuple | set | frozenset | deque):
        yield from _items(item)
    elif isinstance(item, types.FunctionType):
        yield from (cell.cell_contents for cell in item.__closure__ or () if _is_filled(cell))
        yield from item.__defaults__ or ()
        yield from (item.__kwdefaults__ or {}).values()
        yield from tuple(vars(item).values())
    elif isinstance(item, types.MethodType):
        yield from (item.__self__, item.__func__)
    elif isinstance(item, asyncio.Task):
        yield item.get_coro()
    elif isinstance(item, functools.partial):
        yield from (item.func, item.args, item.keywords)
    elif not isinstance(item, type):
        yield from _attributes(item)
        if _is_of_interpreter(item):
            yield from gc.get_referents(item)


def _items(item: Any) -> Iterator[object]:
    if isinstance(item, dict):
        yield from tuple(dict.keys(item))
        yield from tuple(dict.values(item))
    else:
        yield from tuple(item)
    if type(item) not in _PLAIN:  # a `defaultdict`'s factory, attributes of a class of the user's
        yield from _attributes(item)


def _is_of_interpreter(item: object) -> bool:
    """Whether it is an object such as `map(f, ...)`, which shows what it holds only to the collector."""
    return type(item).__module__ in _C_MODULES and not isinstance(item, (*_RUNNING, *_FRAMES))


def _is_filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _attributes(item: object) -> Iterator[object]:
    """Without running code of the user's: descriptors are read from classes, values from storage."""
    own = getattr(item, "__dict__", None)
    if isinstance(own, dict):
        yield from tuple(own.values())
    for base in type(item).__mro__:
        for member in tuple(vars(base).values()):
            if isinstance(member, types.MemberDescriptorType):
                try:
                    yield member.__get__(item)
                except AttributeError:
                    continue  # an empty slot


__all__ = ["LIMIT", "StaleCode", "hand_over"]
