"""A loader for tests: runs source trees in namespaces of their own, and applies carry plans to them.

It does what a replica does with a plan, in the plainest way, so that verdicts can be
compared with what really happens. A world is in `sys.modules` only while it loads.
"""

import ast
import builtins
import gc
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from chains_analysis import CarryPlan, ChainletRef, SourceTree

INPUTS = (1, 2, 5)
_ADDRESS = re.compile(r"0x[0-9a-f]+")


class Marker:
    """What the stand-in for `depends` returns."""

    def __init__(self, cls: type, retries: int) -> None:
        self.cls = cls
        self.retries = retries


class Stub:
    """A handle as in a replica: answers with what the dependency's type is to the code that uses it."""

    def __init__(self, parameter: str) -> None:
        self._parameter = parameter

    def run_remote(self, value: Any) -> Any:
        hints = _CALLER.get()[self._parameter].cls.run_remote.__annotations__
        wanted = _first_hint(hints)
        if isinstance(wanted, type) and not isinstance(value, wanted):
            raise TypeError(f"{type(value).__name__} is no {wanted.__name__}")
        number = next((v for v in getattr(value, "__dict__", {}).values() if isinstance(v, int)), value)
        return _made(hints["return"], number * 10)


def _first_hint(hints: Mapping[str, object]) -> object:
    return next((hint for name, hint in hints.items() if name != "return"), None)


def _made(kind: Any, value: object) -> Any:
    """An object of a type that is made from one value, or has fields that all take it."""
    fields = getattr(kind, "model_fields", None)
    if fields is None:
        return kind(value)
    return kind(**{name: value for name, field in fields.items() if field.is_required()})


_CALLER: ContextVar[Mapping[str, Marker]] = ContextVar("caller")


@contextmanager
def _code_of(cls: type) -> Iterator[dict[str, Stub]]:
    """Run code of one generation; its stubs by parameter."""
    edges = {name: value for name, value in _defaults(cls).items() if isinstance(value, Marker)}
    token = _CALLER.set(edges)
    try:
        yield {name: Stub(name) for name in edges}
    finally:
        _CALLER.reset(token)


def _defaults(cls: type) -> dict[str, object]:
    init = cls.__init__
    defaults = getattr(init, "__defaults__", None) or ()
    names = init.__code__.co_varnames[: init.__code__.co_argcount] if hasattr(init, "__code__") else ()
    return dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))


class ChainletBase:
    pass


def _sdk() -> types.ModuleType:
    sdk = types.ModuleType("truss_chains")
    config = lambda **kwargs: tuple(sorted(kwargs.items()))  # noqa: E731
    sdk.__dict__.update(
        ChainletBase=ChainletBase,
        depends=lambda cls, retries=1: Marker(cls, retries),
        mark_entrypoint=_mark,
        RemoteConfig=config,
        Compute=config,
    )
    return sdk


def _mark(cls: type) -> type:
    cls.is_entrypoint = True  # type: ignore[attr-defined]
    return cls


@dataclass
class World:
    """One generation of code: its modules, and the log of effects they had."""

    tree: SourceTree
    log: list[object] = field(default_factory=list)
    modules: dict[str, types.ModuleType] = field(default_factory=dict)
    shared: dict[str, types.ModuleType] = field(default_factory=dict)
    plan: CarryPlan = field(default_factory=CarryPlan)
    old: "World | None" = None

    def __post_init__(self) -> None:
        effects = types.ModuleType("sidefx")
        effects.__dict__.update(record=self.log.append, make=self._make, read=self._read)
        self._libraries = {"truss_chains": _sdk(), "sidefx": effects}
        self._builtins = {**vars(builtins), "__import__": self._import}

    def _make(self, value: object) -> list[object]:
        self.log.append(("make", value))
        return [value]

    def _read(self, path: str) -> str:
        return self.tree.files[path].decode()

    def next(self, tree: SourceTree, plan: CarryPlan) -> "World":
        """A generation of `tree` beside this one, according to a plan; nothing is loaded yet."""
        shared = {name: self.modules[name] for name in plan.shared if name in self.modules}
        return World(tree, self.log, {}, shared, plan, self)

    def load(self, name: str) -> types.ModuleType:
        """Import a module of the tree, packages around it first."""
        parts = name.split(".")
        for n in range(1, len(parts) + 1):
            self._load_one(".".join(parts[:n]))
        return self.modules[name]

    def _load_one(self, name: str) -> None:
        if name in self.modules:
            return
        parent, _, child = name.rpartition(".")
        if name in self.shared:
            self.modules[name] = self.shared[name]
        else:
            self._execute(name)
        if parent and parent not in self.shared:
            setattr(self.modules[parent], child, self.modules[name])

    def _execute(self, name: str) -> None:
        module = types.ModuleType(name)
        is_package = self.tree.is_package(name)
        module.__dict__.update(
            __builtins__=self._builtins, __package__=name if is_package else name.rpartition(".")[0]
        )
        path = self.tree.modules.get(name)
        if path is None and name not in self.tree.directories:
            raise ModuleNotFoundError(f"No module named {name!r}")
        self.modules[name] = module
        if path is None:
            return
        before = sys.modules.get(name)
        sys.modules[name] = module  # where `dataclasses` looks a class's module up
        try:
            self._run(name, path, module)
        except BaseException:
            del self.modules[name]
            raise
        finally:
            del sys.modules[name]
            if before is not None:
                sys.modules[name] = before

    def _run(self, name: str, path: str, module: types.ModuleType) -> None:
        parsed = ast.parse(self.tree.files[path])
        plans = {p.index: p for p in self.plan.modules.get(name, ())}
        known = self.old.modules.get(name) if self.old is not None else None
        flags = 0
        for index, statement in enumerate(parsed.body):
            plan = plans.get(index)
            if plan is not None and plan.carry and known is not None:
                have = vars(known)
                vars(module).update({n: have[n] for n in plan.names if n in have})
                continue
            if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
                flags |= 0x1000000  # CO_FUTURE_ANNOTATIONS
                continue
            code = compile(ast.Module([statement], []), f"<{path}>", "exec", flags, dont_inherit=True)
            exec(code, vars(module))  # noqa: S102

    def _import(
        self, name: str, scope: Any = None, local: Any = None, wanted: Any = (), level: int = 0
    ) -> types.ModuleType:
        if level:
            base = scope["__package__"].split(".")
            base = base[: len(base) - level + 1]
            name = ".".join([*base, *([name] if name else [])])
        top = name.split(".")[0]
        if top in self._libraries:
            return self._libraries[top]
        if not self.tree.has(top):
            return builtins.__import__(name, {}, {}, wanted or (), 0)
        module = self.load(name)
        for item in self._wanted(module, wanted):
            if not hasattr(module, item) and self.tree.has(f"{name}.{item}"):
                self.load(f"{name}.{item}")
        return module if wanted else self.modules[top]

    @staticmethod
    def _wanted(module: types.ModuleType, wanted: Any) -> list[str]:
        names = list(wanted or ())
        return list(getattr(module, "__all__", ())) if names == ["*"] else names

    def chainlet(self, ref: ChainletRef) -> type:
        found = vars(self.load(ref.module))[ref.qualname]
        assert isinstance(found, type)
        return found


def build(cls: type) -> Any:
    """An instance, with stubs for what it depends on."""
    with _code_of(cls) as stubs:
        return cls(**stubs)


def answers(instance: Any) -> tuple[str, ...]:
    """What it says to a few inputs; an exception is an answer too."""
    with _code_of(type(instance)):
        return tuple(
            _outcome(lambda value=value: _said(instance.run_remote(_argument(instance, value))))
            for value in INPUTS
        )


def _argument(instance: Any, value: int) -> Any:
    wanted = _first_hint(getattr(type(instance).run_remote, "__annotations__", {}))
    return _made(wanted, value) if hasattr(wanted, "model_fields") else value


def _said(value: Any) -> str:
    """A value as text, with all that its methods would say of it."""
    if hasattr(value, "__dict__") and not isinstance(value, type):
        text = value.text() if hasattr(value, "text") else ""
        return f"{type(value).__name__}{vars(value)}{text}"
    return repr(value)


def _outcome(call: Callable[[], str]) -> str:
    try:
        return _ADDRESS.sub("", call())
    except Exception as error:
        return _ADDRESS.sub("", f"{type(error).__name__}: {error}")


@dataclass(frozen=True)
class Start:
    """How a cold start of a tree goes: `failure` if it does, else what the Chainlet answers."""

    failure: str
    answers: tuple[str, ...]
    log: tuple[object, ...]
    shape: str = ""


def cold_start(tree: SourceTree, ref: ChainletRef) -> tuple[Start, World, Any]:
    """Load and make the Chainlet in a fresh world."""
    world = World(tree)
    try:
        cls = world.chainlet(ref)
        shape = shape_of(cls)
        instance = build(cls)
    except Exception as error:
        return (
            Start(_ADDRESS.sub("", f"{type(error).__name__}: {error}"), (), tuple(map(str, world.log))),
            world,
            None,
        )
    log = tuple(_ADDRESS.sub("", str(entry)) for entry in world.log)
    return Start("", answers(instance), log, shape), world, instance


def shape_of(cls: type) -> str:
    """What discovery would see."""
    parts = [str([base.__name__ for base in cls.__mro__]), str(getattr(cls, "is_entrypoint", False))]
    for name in ("__init__", "run_remote"):
        method = getattr(cls, name, None)
        hints = getattr(method, "__annotations__", {})
        parts.append(str({k: _type_text(v) for k, v in hints.items()}))
        defaults = getattr(method, "__defaults__", None) or ()
        parts.append(
            str([(d.cls.__name__, d.retries) if isinstance(d, Marker) else str(d) for d in defaults])
        )
        code = getattr(method, "__code__", None)
        parts.append(str(code.co_varnames[: code.co_argcount]) if code else "")
    parts.append(str(getattr(cls, "remote_config", "")))
    return "\n".join(parts)


def _type_text(hint: Any) -> str:
    fields = getattr(hint, "__dataclass_fields__", None) or {}
    inner = str({k: (str(f.type), str(f.default)) for k, f in fields.items()}) if fields else ""
    models = getattr(hint, "model_fields", None) or {}
    inner += str({k: (_type_text(f.annotation), str(f.default)) for k, f in models.items()}) if models else ""
    return getattr(hint, "__name__", str(hint)) + inner


def hand_over(instance: Any, cls: type) -> Any:
    """An object of the new class with the running instance's state."""
    fresh = cls.__new__(cls)
    fresh.__dict__ = instance.__dict__
    return fresh


def stale_objects(old: World, new: World, instance: Any) -> tuple[bool, bool]:
    """Whether the state, and whether carried values or shared modules, hold objects of remade code."""
    roots = [instance.__dict__]
    kept: list[object] = [vars(module) for name, module in new.modules.items() if name in new.plan.shared]
    for name, plans in new.plan.modules.items():
        have = vars(old.modules[name]) if name in old.modules else {}
        kept += [have[n] for p in plans if p.carry for n in p.names if n in have]
    return _holds_stale(old, new, roots), _holds_stale(old, new, kept)


def _holds_stale(old: World, new: World, roots: list[object]) -> bool:
    spaces = {id(vars(old.modules[n])): n for n in new.plan.modules if n in old.modules}
    seen: set[int] = set()
    waiting = list(roots)
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, types.ModuleType | World):
            continue
        seen.add(id(item))
        if _is_remade(new, item if isinstance(item, type) else type(item)):
            return True
        if isinstance(item, types.FunctionType):
            if id(item.__globals__) in spaces and not _is_carried(new, spaces[id(item.__globals__)], item):
                return True
            waiting += [c.cell_contents for c in item.__closure__ or () if _is_filled(c)]
            waiting += [*(item.__defaults__ or ()), item.__kwdefaults__, item.__dict__]
        elif not isinstance(item, type | types.FrameType):
            waiting += gc.get_referents(item)
    return False


def _is_remade(new: World, cls: type) -> bool:
    """Whether the new generation has another class of that name, or none, in a module made anew."""
    if cls.__module__ not in new.plan.modules:
        return False
    found: object = new.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is not cls


def _is_carried(world: World, module: str, function: types.FunctionType) -> bool:
    name = function.__qualname__.split(".")[0]
    return any(p.carry and name in p.names for p in world.plan.modules.get(module, ()))


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


assert sys.flags.optimize == 0
