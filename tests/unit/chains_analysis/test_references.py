"""Names used when code is loaded, and names used when it is called."""

import pytest

from chains_analysis.symbols import StatementFacts, module_facts
from chains_analysis.uses import Ref, Role, Use


def facts(source: str, index: int = -1) -> StatementFacts:
    return module_facts("pkg/mod.py", source.encode()).statements[index].facts


def names(refs: frozenset[Ref]) -> set[str]:
    return {".".join((r.root, *r.chain)) for r in refs}


@pytest.mark.parametrize(
    ("source", "load", "call"),
    [
        ("def f(x, y=D): return g(x)", {"D"}, {"g"}),
        ("def f(x: A) -> B: ...", {"A", "B"}, set()),
        ("from __future__ import annotations\ndef f(x: A) -> B: ...", set(), {"A", "B"}),
        ("def f(x: 'A'): ...", set(), {"A"}),
        ("@deco(arg)\ndef f(): ...", {"deco", "arg"}, set()),
        ("X = [g(i) for i in ITEMS if i > LOW]", {"g", "ITEMS", "LOW"}, set()),
        ("X = lambda a: h(a, b)", set(), {"h", "b"}),
        ("def f():\n    x = 1\n    def inner(): return x + y\n    return inner", set(), {"y"}),
        ("def f():\n    global x\n    x = 1", set(), {"x"}),
        ("def f():\n    for i in range(3):\n        print(i)", set(), {"range", "print"}),
        ("def f():\n    try: ...\n    except E as e: print(e)", set(), {"E", "print"}),
        ("def f():\n    with open(p) as h: return h", set(), {"open", "p"}),
        ("def f(x):\n    match x:\n        case P(a=1, b=n): return n", set(), {"P"}),
        ("def f():\n    if (n := g()): return n", set(), {"g"}),
        ("class C(B, metaclass=M):\n    a = V\n    def m(self): return w", {"B", "M", "V"}, {"w"}),
        ("class C:\n    a = 1\n    b = [a for _ in R]", {"R", "a"}, set()),
        ("helpers.X = 1", {"helpers.X"}, set()),
        ("def f(): return helpers.deep.g(1)", set(), {"helpers.deep.g"}),
        ("def f(): return getattr(helpers, 'g')", set(), {"helpers.g"}),
        ("X: T = V", {"T", "V"}, set()),
        ("def f():\n    x: T = v\n    return x", set(), {"v"}),
        ("def f(x): return f'{x} {y}'", set(), {"y"}),
    ],
)  # fmt: skip
def test_names_at_load_and_at_call(source: str, load: set[str], call: set[str]) -> None:
    uses = facts(source).uses
    assert (names(uses.load), names(uses.call)) == (load, call)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(): from helpers import g; return g(1)", {"helpers.g"}),
        ("def f(): from . import sib; return sib.g(1)", {"pkg.sib", "pkg.sib.g"}),
        ("def f(): from .sib import g as h; return h(1)", {"pkg.sib.g"}),
        ("def f(): import a.b as m; return m.g()", {"a.b", "a.b.g"}),
        ("def f(): import a.b; return a.b.g()", {"a.b", "a.b.g"}),
        ("import importlib\ndef f(): return importlib.import_module('a.b')", {"a.b"}),
    ],
)
def test_imports_inside_functions(source: str, expected: set[str]) -> None:
    found = {r for r in facts(source).uses.call if r.is_module}
    assert names(frozenset(found)) == expected
    assert facts(source).uses.lazy


@pytest.mark.parametrize(
    ("body", "own", "leaks"),
    [
        ("return self.a", {"a"}, False),
        ("self.b()", {"b"}, False),
        ("super().__init__()", {"__init__"}, False),
        ("return super().m() + self.n", {"m", "n"}, False),
        ("return lambda: self.c", {"c"}, False),
        ("g(self)", set(), True),
        ("return type(self)", set(), True),
        ("getattr(self, name)", set(), True),
        ("getattr(self, 'lit')", {"lit"}, False),
        ("return self.__class__.x", set(), True),
        ("def inner(self): return self.other\n        return inner", set(), False),
    ],
)
def test_members_of_the_own_class(body: str, own: set[str], leaks: bool) -> None:
    found = facts(f"class C:\n    def m(self):\n        {body}\n").class_facts
    assert found is not None
    uses = found.named("m")[0].body
    assert (uses.own, uses.leaks_own) == (own, leaks)


def test_what_is_stored_and_what_is_changed_in_the_instance() -> None:
    found = facts(
        "class C:\n    def m(self):\n        self.a = 1\n        self.b['k'] = 2\n        self.c.append(3)\n"
        "        self.d.get('k')\n        f(self.e)\n"
    ).class_facts
    assert found is not None
    uses = found.named("m")[0].body
    assert uses.own_stored == {"a"}
    assert uses.own_changed == {"b", "c", "e"}


def test_how_an_object_may_be_treated() -> None:
    uses = facts(
        "def f():\n    A.append(1)\n    B.x = 1\n    g(C)\n    return D\n    E + 1\n    len(F)\n"
    ).uses
    found = {r.root: r.use for r in uses.call}
    assert found["A"] & Use.CALL
    assert found["B"] & Use.STORE
    assert found["C"] == Use.PASS | Use.ARGUMENT
    assert found["D"] == Use.PASS
    assert found["E"] == Use.READ
    assert found["F"] == Use.READ


def test_dependencies_and_annotations_have_roles() -> None:
    uses = facts("def f(a: Model = chains.depends(Model, retries=N)): ...").uses
    roles = {(r.root, r.role) for r in uses.load}
    assert roles == {
        ("Model", Role.ANNOTATION),
        ("Model", Role.DEPENDENCY),
        ("chains", Role.PLAIN),
        ("N", Role.PLAIN),
    }


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def f(): exec(text)", "`exec` of computed text"),
        ("def f(): return globals()[n]", "calls `globals()`"),
        ("import sys\ndef f(): return sys.modules[n]", "uses `sys.modules`"),
        ("def f(): return Base.__subclasses__()", "uses `__subclasses__`"),
        (
            "import importlib\ndef f(): return importlib.import_module(n)",
            "`import_module` with a computed name",
        ),
    ],
)
def test_what_text_cannot_follow(source: str, why: str) -> None:
    assert [o.why for o in facts(source).uses.opaque] == [why]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f():\n    return 1", "def f():\n    '''Text.'''\n    # why\n    return (1)"),
        (
            "class C:\n    def a(self): ...\n    def b(self): ...",
            "class C:\n    def b(self): ...\n    def a(self): ...",
        ),
        ("X = 'a'", 'X = "a"  # why'),
    ],
)
def test_fingerprints_ignore_what_python_ignores(one: str, other: str) -> None:
    assert facts(one).fingerprint == facts(other).fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(): return 1", "def f(): return 1.0"),
        ("def f(): return 1", "async def f(): return 1"),
        ("class C:\n    a: int\n    b: int", "class C:\n    b: int\n    a: int"),
        ("@tool\ndef f():\n    'One.'", "@tool\ndef f():\n    'Other.'"),
        ("class S(dspy.Signature):\n    'One.'", "class S(dspy.Signature):\n    'Other.'"),
    ],
)
def test_fingerprints_see_everything_else(one: str, other: str) -> None:
    """A docstring counts where something may read it."""
    assert facts(one).fingerprint != facts(other).fingerprint


def test_a_statement_that_was_read_before_is_not_read_again() -> None:
    cache: dict[object, StatementFacts] = {}
    first = module_facts("a.py", b"def f(): return 1\n\nX = 2\n", cache)
    second = module_facts("a.py", b"# moved\n\ndef f(): return 1\n\nX = 3\n", cache)
    assert second.statements[0].facts is first.statements[0].facts
    assert second.statements[0].line == 3
    assert second.statements[1].facts is not first.statements[1].facts
