"""Small programs with two Chainlets, written to use every way in which code can depend on other code."""

from chains_analysis import ChainletRef, SourceTree

CHAINLETS = (ChainletRef("Model", "chain", "Model"), ChainletRef("Glue", "chain", "Glue"))

_PLAIN = {
    "chain.py": '''
"""Plain functions, constants, a helper object in the state."""
import dataclasses
import functools
import truss_chains as chains
import helpers
from helpers import clean, Net
from lib.core import scale

LIMIT = 3
FACTOR = LIMIT + 1
NAMES = ["a", "b"]
UNUSED = 7

@dataclasses.dataclass
class Out:
    value: int = 0

    def text(self) -> str:
        return f"out {self.value}"

@functools.lru_cache(maxsize=None)
def expensive(n):
    return n * FACTOR + scale(n)

class Base(chains.ChainletBase):
    prefix = "base"

    def __init__(self) -> None:
        self.name = self.label()

    def label(self):
        return self.prefix + "!"

    def decorate(self, text):
        return f"[{text}]"

class Model(Base):
    remote_config = chains.RemoteConfig(compute=chains.Compute(cpu_count=2))

    def __init__(self) -> None:
        super().__init__()
        self.net = Net(LIMIT)
        self.shift = helpers.OFFSET

    def run_remote(self, value: int) -> Out:
        return Out(self.net.apply(expensive(value)) + self.shift)

    @property
    def size(self):
        return self.net.size

    def unused(self):
        return UNUSED

@chains.mark_entrypoint
class Glue(Base):
    def __init__(self, model: Model = chains.depends(Model, retries=2)) -> None:
        super().__init__()
        self.model = model
        self.seen = {}

    def run_remote(self, value: int, extra: int = 1) -> str:
        if value not in self.seen:
            self.seen[value] = helpers.Entry(value)
        result = self.model.run_remote(value)
        return self.decorate(clean(result.text()) + self.seen[value].show() + self.name + str(extra))

if __name__ == "__main__":
    print(Glue().run_remote(1))
''',
    "helpers.py": '''
import math
from lib import FLAG

OFFSET = 5
WORDS = {"one": 1, "two": 2}

class Net:
    def __init__(self, size):
        self.size = size

    def apply(self, n):
        return self._inner(n) + self.size

    def _inner(self, n):
        return n * 2 if FLAG else n

class Entry:
    def __init__(self, n):
        self.n = n

    def show(self):
        return f"<{self.n}:{len(WORDS)}>"

def clean(text):
    """Strip."""
    return strip(text).title()

def strip(text):
    return text.strip()

def lonely():
    return math.floor(2.5)
''',
    "lib/__init__.py": """
FLAG = True
VERSION = "1"
""",
    "lib/core.py": """
from . import VERSION
from .extra import *

def scale(n):
    return bump(n) + len(VERSION)
""",
    "lib/extra.py": """
STEP = 2

def bump(n):
    return n + STEP

def _hidden(n):
    return n
""",
}

_DYNAMIC = {
    "chain.py": '''
"""Registries, hooks, lazy imports, rebound names, callbacks in the state."""
import functools
import truss_chains as chains
import sidefx
import registry
import plugins
import tools

COUNT = 0
TABLE = {"x": 1}
TABLE["y"] = 2
LOADED = registry.build(len(TABLE))
OTHER = sidefx.make(3)
sidefx.record("chain loaded")

def tick(n):
    global COUNT
    COUNT = n
    return COUNT

def current():
    return COUNT + 1

@functools.singledispatch
def shown(value):
    return str(value)

@shown.register
def _(value: int):
    return f"int {value}"

def default_of(n, table=TABLE):
    return table["x"] + n

class Result:
    def __init__(self, value):
        self.value = value

    def __add__(self, other):
        return Result(self.value + other)

    def text(self):
        return tools.frame(self.value)

class Model(chains.ChainletBase):
    scale = 4

    def __init__(self) -> None:
        self.handler = registry.HANDLERS["double"]
        self.callback = tools.frame
        self.step = lambda n: n + self.scale

    def run_remote(self, value: int) -> Result:
        tick(value)
        return Result(self.handler(self.step(value)) + current() + LOADED.total())

@chains.mark_entrypoint
class Glue(chains.ChainletBase):
    limits = [1, 2, 3]

    def __init__(self, model: Model = chains.depends(Model)) -> None:
        from late import Late
        self.model = model
        self.late = Late(2)
        self.kinds = [kind.__name__ for kind in tools.Kind.kinds]

    def run_remote(self, value: int) -> str:
        from late import finish
        result = self.model.run_remote(value) + len(self.limits)
        names = ",".join(sorted(registry.HANDLERS)) + "".join(self.kinds)
        return finish(result.text() + shown(value) + names + self.late.mark() + str(default_of(value)))
''',
    "registry.py": """
HANDLERS = {}
ORDER = []

def register(name):
    def keep(function):
        HANDLERS[name] = function
        ORDER.append(name)
        return function
    return keep

class Total:
    def __init__(self, n):
        self.n = n

    def total(self):
        return self.n + len(ORDER)

def build(n):
    return Total(n)
""",
    "plugins.py": """
from registry import register
import sidefx

WEIGHT = 2

@register("double")
def double(n):
    return n * WEIGHT

@register("triple")
def triple(n):
    return n * 3

sidefx.record("plugins loaded")
""",
    "tools.py": """
import enum

class Kind:
    kinds = []

    def __init_subclass__(cls):
        Kind.kinds.append(cls)

class Red(Kind):
    pass

class Blue(Kind):
    pass

class Shade(enum.Enum):
    DARK = 1
    LIGHT = 2

BORDER = "|"

def frame(text):
    return f"{BORDER}{text}{BORDER}{Shade.DARK.value}"
""",
    "late.py": """
import tools

SUFFIX = "."

class Late:
    def __init__(self, n):
        self.n = n

    def mark(self):
        return tools.BORDER * self.n

def finish(text):
    return text + SUFFIX
""",
}

_OPAQUE = {
    "chain.py": '''
"""Code that text can't follow, and values that code changes in place."""
from __future__ import annotations
import truss_chains as chains
import ops
import state
from pack import tools as t, VALUE

try:
    import missing_module
except ImportError:
    missing_module = None

if VALUE > 1:
    MODE = "big"
else:
    MODE = "small"

CHOICE = "plus"
FUNCTIONS = [ops.plus, ops.minus]
PAIR, REST = 1, (2, 3)

class Out:
    def __init__(self, value):
        self.value = value

class Model(chains.ChainletBase):
    cache = {}

    def __init__(self) -> None:
        self.cache["base"] = t.base()
        self.function = getattr(ops, CHOICE)
        self.bound = self.inner

    def inner(self, n):
        return n + PAIR

    @staticmethod
    def helper(n):
        return n * 2

    @classmethod
    def make(cls, n):
        return cls.helper(n)

    def run_remote(self, value: int) -> Out:
        return self.function(self.make(value), self.cache["base"]) + self.bound(value)

Model.run_remote.__annotations__["return"] = Out

@chains.mark_entrypoint
class Glue(chains.ChainletBase):
    def __init__(self, model: Model = chains.depends(Model)) -> None:
        self.model = model
        state.prepare(3)

    def run_remote(self, value: int) -> str:
        chosen = [f(value, 1) for f in FUNCTIONS]
        found = eval("named(value)", {"named": getattr(ops, "named"), "value": value})
        return f"{chosen} {found} {MODE} {state.get()} {self.model.run_remote(value).value} {REST}"
''',
    "ops.py": """
def plus(a, b):
    return a + b

def minus(a, b):
    return a - b

def named(n):
    return globals()["plus"](n, 100)
""",
    "state.py": """
_current = None
LIMIT = 10

def prepare(n):
    global _current
    _current = make(n)

def make(n):
    return [n] * 2

def get():
    return _current[0] + LIMIT
""",
    "pack/__init__.py": """
from .values import VALUE
""",
    "pack/values.py": """
VALUE = 2
SPARE = 9
""",
    "pack/tools.py": """
from . import values

def base():
    return values.VALUE * 7
""",
}

_TYPED = {
    "chain.py": '''
"""Types on both sides of a hop, properties, closures, conditional code, data, a package from elsewhere."""
import dataclasses
import enum
from typing import TYPE_CHECKING, Union
import pydantic
import truss_chains as chains
import lazy
import sidefx
from shapes import *
from shapes import Item as Thing
import vendored.words as words
from vendored.words import plural

if TYPE_CHECKING:
    from shapes import Hidden

try:
    import fast_json
except ImportError:
    fast_json = None

if fast_json is None:
    def encode(n):
        return f"slow {n}"
else:
    def encode(n):
        return f"fast {n}"

Names = dict[str, int]
Number = Union[int, float]
LIMITS: Names = {"low": 1, "high": 3}
STEP = 2
LABEL = f"<{STEP}>"

class Mode(enum.Enum):
    FAST = 1
    SLOW = 2

    def factor(self):
        return self.value * 10

class In(pydantic.BaseModel):
    value: int
    mode: Mode = Mode.FAST

    @property
    def doubled(self):
        return self.value * 2

class Out(pydantic.BaseModel):
    value: int
    note: str = "note"

    def text(self):
        return f"{self.note}{self.value}"

@dataclasses.dataclass(frozen=True)
class Settings:
    size: int = 3
    label: str = LABEL

    def area(self):
        return self.size * self.size

def traced(function):
    def call(*args):
        return f"({function(*args)})"
    return call

def scaler(by):
    offset = STEP
    def scale(n):
        return n * by + offset
    return scale

@traced
def shown(n, mark="!"):
    return f"{n}{mark}"

def pick(n, options=LIMITS):
    def best():
        return max(options.values())
    return n if n > best() else best()

class Model(chains.ChainletBase):
    kind = "model"
    sizes = (1, 2)

    def __init__(self) -> None:
        self.settings = Settings()
        self.scale = scaler(3)
        self.words = sidefx.read("words.txt")

    def run_remote(self, item: In) -> Out:
        size = self.area + len(self.words) + self.sizes[0] + item.doubled
        return Out(value=self.scale(item.value) + size + item.mode.factor())

    @property
    def area(self):
        return self.settings.area()

class Kept(chains.ChainletBase):
    def __init__(self, model: Model = chains.depends(Model)) -> None:
        self.model = model
        self.title = self.make_title()

    def make_title(self):
        return "kept"

@chains.mark_entrypoint
class Glue(Kept):
    title: str = "glue"
    seen = 0

    def __init__(self, model: Model = chains.depends(Model, retries=2), size: int = STEP) -> None:
        super().__init__(model)
        self.size = size
        self.clock: Number = 1

    @property
    def name(self):
        return self.title.upper()

    def run_remote(self, value: int) -> str:
        def join(*parts):
            return " ".join(str(part) for part in (*parts, self.size))
        result = self.model.run_remote(In(value=value, mode=Mode.SLOW))
        found = [encode(value), shown(value), pick(value), Thing(value).show(), plural("word", value)]
        return join(result.text(), *found, lazy.answer, Circle().sides, words.SUFFIX, self.name, self.clock)
''',
    "shapes.py": """
__all__ = ["Circle", "area"]

class Shape:
    sides = 0

class Circle(Shape):
    sides = 1

class Item:
    unit = "cm"

    def __init__(self, n, *, plus=1):
        self.n = n + plus

    def show(self):
        return f"{self.n}{self.unit}"

class Hidden:
    pass

def area(n):
    return n * 3
""",
    "lazy.py": """
_VALUES = {"answer": 42, "other": 1}
BASE = 1

def __getattr__(name):
    if name in _VALUES:
        return _VALUES[name] + BASE
    raise AttributeError(name)
""",
    "vendored/__init__.py": "",
    "vendored/words.py": """
from .rules import ENDING
SUFFIX = ENDING + "."

def plural(word, n):
    return word + (ENDING if n != 1 else "")
""",
    "vendored/rules.py": """
ENDING = "s"
""",
    "words.txt": "salt sea",
}

PROGRAMS = tuple(
    SourceTree({path: text.lstrip("\n").encode() for path, text in files.items()})
    for files in (_PLAIN, _DYNAMIC, _OPAQUE, _TYPED)
)
