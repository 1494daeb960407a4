"""A dependency that `__init__` only keeps is a handle: how it is called is no part of the instance."""

import pytest

from chains_analysis import ChainletRef, SourceTree, Verdict, judge
from chains_protocol.patch import Action

UNCHANGED, PATCHED, RELOADED, RESTARTED = Action.UNCHANGED, Action.PATCHED, Action.RELOADED, Action.RESTARTED

CHAIN = """\
import dataclasses
import truss_chains as chains
from pydantic import BaseModel
from truss_chains import depends
{imports}

RETRIES = 2


class In(BaseModel):
    text: str


class Out(BaseModel):
    text: str


@dataclasses.dataclass
class Clients:
    leaf: object


class Leaf(chains.ChainletBase):
    def __init__(self) -> None:
        self.n = 1

    async def run_remote(self, item: In) -> Out:
        return Out(text=item.text)


class Other(chains.ChainletBase):
    async def run_remote(self, n: int) -> int:
        return n


{above}

@chains.mark_entrypoint
class Top({base}):
{body}
    def __init__({parameters}) -> None:
{init}

    async def run_remote(self, text: str) -> str:
        return (await self.leaf.run_remote(In(text=text))).text
"""
LEAF = "self, leaf: Leaf = chains.depends(Leaf, retries=RETRIES)"


def chain(
    *init: str,
    parameters: str = LEAF,
    body: str = "    pass",
    above: str = "",
    base: str = "chains.ChainletBase",
    imports: str = "",
) -> str:
    lines = "\n".join(f"        {line}" for line in init)
    return CHAIN.format(init=lines, parameters=parameters, body=body, above=above, base=base, imports=imports)


def judged(source: str, old: str, new: str, **more: str) -> Verdict:
    """The verdict for the caller, when `old` becomes `new` in whichever file has it."""
    before = {"chain.py": source, **{f"{name}.py": text for name, text in more.items()}}
    assert sum(old in text for text in before.values()) == 1, old
    after = {path: text.replace(old, new, 1) for path, text in before.items()}
    trees = [SourceTree({p: t.encode() for p, t in files.items()}) for files in (before, after)]
    return judge(trees[0], trees[1], ChainletRef("Top", "chain", "Top"))


TYPE = ("class Out(BaseModel):\n    text: str\n", "class Out(BaseModel):\n    text: str\n    n: int = 0\n")
SIGNATURE = ("self, item: In) -> Out", "self, item: In, n: int = 0) -> Out")
OPTIONS = ("RETRIES = 2", "RETRIES = 3")
BODY = ("Out(text=item.text)", "Out(text=item.text + '!')")
EDITS = pytest.mark.parametrize("edit", [TYPE, SIGNATURE, OPTIONS], ids=["type", "signature", "options"])

KEPT = {
    "attribute": chain("self.leaf = leaf"),
    "annotated attribute": chain("self.leaf: Leaf = leaf"),
    "local name": chain("stub = leaf", "again: Leaf = stub", "self.leaf = again"),
    "several targets": chain("self.leaf = self._leaf = leaf"),
    "pair": chain("self.leaf, self.n = leaf, 1"),
    "containers": chain("self.leaf = leaf", "self.all = [leaf, (leaf,)]", "self.by = {'leaf': leaf}"),
    "local container": chain("found = {'leaf': leaf}", "self.found = found", "self.leaf = leaf"),
    "choice": chain("self.leaf = leaf if chains else None"),
    "asked for None": chain("if leaf is None:", "    raise ValueError", "self.leaf = leaf"),
    "keyword only": chain("self.leaf = leaf", parameters=LEAF.replace("self,", "self, *,")),
    "bare name": chain("self.leaf = leaf", parameters="self, leaf: Leaf = depends(Leaf, RETRIES)"),
    "by keyword": chain("self.leaf = leaf", parameters=LEAF.replace("(Leaf", "(chainlet_cls=Leaf")),
    "text annotation": chain("self.leaf = leaf", parameters=LEAF.replace(": Leaf", ": 'Leaf'")),
    "declared": chain("self.leaf = leaf", body="    leaf: Leaf"),
    "beside other work": chain("self.leaf = leaf", "self.net = open(__file__)", "print(self.net)"),
    "a method that is not called": chain("self.leaf = leaf", body="    def ask(self): return self.leaf"),
    "hidden from another loop": chain("self.leaf = leaf", "for n in range(3): print(n)"),
    "inherited": chain(
        "super().__init__()",
        "self.leaf = leaf",
        base="Base",
        above="class Base(chains.ChainletBase):\n    def __init__(self): self.n = 1",
    ),
    "kept by a base": chain(
        "super().__init__(leaf)",
        base="Base",
        above="class Base(chains.ChainletBase):\n    def __init__(self, leaf: Leaf): self.leaf = leaf",
    ),
    "kept by a base's base": chain(
        "super().__init__(leaf=leaf)",
        base="Base",
        above=(
            "class Root(chains.ChainletBase):\n    def __init__(self, *, leaf): self.leaf = leaf\n"
            "class Base(Root):\n    def __init__(self, leaf): super().__init__(leaf=leaf)"
        ),
    ),
}


@EDITS
@pytest.mark.parametrize("name", KEPT)
def test_a_dependency_that_is_only_kept(name: str, edit: tuple[str, str]) -> None:
    found = judged(KEPT[name], *edit)
    assert found.action is PATCHED, found.reasons
    assert found.needs_discovery


@pytest.mark.parametrize("name", KEPT)
def test_the_body_of_the_callee_is_none_of_the_callers_business(name: str) -> None:
    assert judged(KEPT[name], *BODY).action is UNCHANGED


UNKEPT = {
    "called": (chain("self.leaf = leaf", "self.n = leaf.run_remote(1)"), "does more with `leaf`"),
    "called through the attribute": (
        chain("self.leaf = leaf", "self.n = self.leaf.run_remote(1)"),
        "`self.leaf` is used while the instance is made",
    ),
    "called by a method": (
        chain("self.leaf = leaf", "self.warm()", body="    def warm(self): self.leaf.run_remote(1)"),
        "`self.leaf` is used while the instance is made",
    ),
    "called by a property": (
        chain(
            "self.leaf = leaf",
            "self.n = self.size",
            body="    @property\n    def size(self): return self.leaf.run_remote(1)",
        ),
        "`self.leaf` is used while the instance is made",
    ),
    "called by a thread": (
        chain(
            "import threading",
            "self.leaf = leaf",
            "threading.Thread(target=self.loop)",
            body="    def loop(self): self.leaf.run_remote(1)",
        ),
        "`self.leaf` is used while the instance is made",
    ),
    "private": (
        chain("self.__leaf = leaf", "self.n = getattr(self, '_Top__leaf').run_remote(1)"),
        "`self.__leaf` is used",
    ),
    "in a container": (
        chain("self.all = [leaf]", "for one in self.all: one.run_remote(1)"),
        "`self.all` is used while the instance is made",
    ),
    "through a local container": (
        chain("found = [leaf]", "for one in found: one.run_remote(1)", "self.leaf = leaf"),
        "does more with",
    ),
    "isinstance": (chain("assert isinstance(leaf, chains.StubBase)", "self.leaf = leaf"), "does more with"),
    "handed to a function": (chain("self.leaf = leaf", "print(leaf)"), "does more with `leaf`"),
    "handed to a dataclass": (chain("self.leaf = leaf", "self.c = Clients(leaf)"), "does more with `leaf`"),
    "in a closure": (chain("self.leaf = leaf", "self.ask = lambda: leaf.run_remote(1)"), "does more with"),
    "into a subscript": (chain("self.leaf = leaf", "found = {}", "found['a'] = leaf"), "does more with"),
    "setattr": (chain("setattr(self, 'leaf', leaf)"), ""),
    "global": (chain("global LAST", "LAST = leaf", "self.leaf = leaf"), "does more with `leaf`"),
    "the instance is handed on": (chain("self.leaf = leaf", "print(self)"), "hands the instance on"),
    "locals": (chain("self.leaf = leaf", "found = locals()"), "can't be followed"),
    "__class__": (chain("self.leaf = leaf", "self.h = __class__.__init__"), "uses `__class__`"),
    "a setter": (
        chain(
            "self.leaf = leaf",
            body="    @property\n    def leaf(self): return 1\n    @leaf.setter\n    def leaf(self, x): pass",
        ),
        "the class defines `leaf`",
    ),
    "a descriptor": (chain("self.leaf = leaf", body="    leaf = Clients(1)"), "the class defines `leaf`"),
    "__setattr__": (
        chain("self.leaf = leaf", body="    def __setattr__(self, n, v): self.__dict__[n] = v"),
        "",
    ),
    "__call__": (chain("self.leaf = leaf", body="    def __call__(self): return self.leaf"), "is used while"),
    "decorated class": (chain("self.leaf = leaf", base="chains.ChainletBase, metaclass=M"), "may change"),
    "changed later": (
        chain("self.leaf = leaf", above="def wrap(x): return x").replace(
            "    async def run_remote(self, text", "    async def run_remote(self, text"
        )
        + "\nTop.__init__ = wrap(Top.__init__)\n",
        "",
    ),
    "a base from elsewhere": (
        chain("self.leaf = leaf", base="lib.Mixin, chains.ChainletBase", imports="import lib"),
        "has a base whose code is not here",
    ),
    "used by a base": (
        chain(
            "super().__init__(leaf)",
            base="Base",
            above="class Base(chains.ChainletBase):\n    def __init__(self, leaf): leaf.run_remote(1)",
        ),
        "does more with `leaf`",
    ),
    "lost in a base": (
        chain(
            "super().__init__(leaf=leaf)",
            base="Base",
            above="class Base(chains.ChainletBase):\n    def __init__(self, **more): self.n = more",
        ),
        "what `Base.__init__` does with it can't be told",
    ),
    "decorated": (
        chain("self.leaf = leaf", above="def wrap(f): return f").replace(
            "    def __init__(self, leaf", "    @wrap\n    def __init__(self, leaf"
        ),
        "",
    ),
    "no `depends` of ours": (
        chain("self.leaf = leaf", imports="from lib import depends as other", parameters=LEAF).replace(
            "chains.depends(Leaf", "lib.depends(Leaf"
        ).replace("from lib import depends as other", "import lib"),
        "not known to come from `depends`",
    ),
    "computed class": (
        chain("self.leaf = leaf", above="Some = Leaf if RETRIES else Other").replace(
            "depends(Leaf", "depends(Some"
        ),
        "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKEPT)
def test_what_can_not_be_shown_stays_reloaded_with_the_reason(name: str) -> None:
    source, reason = UNKEPT[name]
    found = judged(source, *SIGNATURE)
    assert found.action.weight >= RELOADED.weight, found.reasons
    assert reason in " ".join(r.text for r in found.reasons)


def test_one_dependency_is_called_and_the_other_kept() -> None:
    source = chain(
        "self.leaf = leaf",
        "self.n = other.run_remote(1)",
        parameters=f"{LEAF}, other: Other = chains.depends(Other)",
    )
    assert judged(source, *SIGNATURE).action is PATCHED
    assert judged(source, "self, n: int) -> int", "self, n: int, m: int = 0) -> int").action is RELOADED


def test_the_place_is_named_where_it_is_more_than_kept() -> None:
    source = chain("self.leaf = leaf", "self.n = leaf.run_remote(1)")
    line = source.splitlines().index("        self.n = leaf.run_remote(1)") + 2  # a line is added above
    (reason,) = {r for r in judged(source, *TYPE).reasons if r.symbol == "chain.Out"}
    assert reason.action is RELOADED
    assert f"`chain.py:{line}` does more with `leaf` than keep it" in reason.text
    assert reason.via == ("Top.__init__", "chain.Leaf", "chain.Out")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("depends(Leaf, ", "depends(Other, "),
        ("self, leaf: Leaf =", "self, other: Leaf ="),
        ("        self.leaf = leaf", "        self.other = leaf"),
        ("RETRIES)) ->", "RETRIES), more: Other = chains.depends(Other)) ->"),
    ],
)  # fmt: skip
def test_another_dependency_or_another_init_is_reloaded(old: str, new: str) -> None:
    assert judged(chain("self.leaf = leaf"), old, new).action is RELOADED


LEAVES = """\
import truss_chains as chains


class One(chains.ChainletBase):
    async def run_remote(self, n: int) -> int:
        return n


class Two(chains.ChainletBase):
    async def run_remote(self, n: int) -> int:
        return n
"""


def test_a_name_that_comes_to_stand_for_another_class_is_reloaded() -> None:
    """A renamed class: the stub in the state goes by the old name."""
    chain_of = chain(
        "self.leaf = leaf",
        imports="from names import Leaf as Far",
        parameters="self, leaf: 'Far' = depends(Far)",
    )
    names = "from leaves import One as Leaf\n"
    found = judged(chain_of, "One as Leaf", "Two as Leaf", names=names, leaves=LEAVES)
    assert found.action is RELOADED
    one = "class One(chains.ChainletBase):\n    async def run_remote(self, n: int)"
    types = (one, one.replace("n: int", "n: str"))
    assert judged(chain_of, *types, names=names, leaves=LEAVES).action is PATCHED


def test_a_context_shows_the_options_but_not_the_types() -> None:
    parameters = f"{LEAF}, context: chains.DeploymentContext = chains.depends_context()"
    source = chain(
        "self.leaf = leaf", "self.url = context.get_service_descriptor('Leaf')", parameters=parameters
    )
    assert judged(source, *TYPE).action is PATCHED
    assert judged(source, *SIGNATURE).action is PATCHED
    assert judged(source, *OPTIONS).action is RELOADED


def test_types_that_init_uses_itself_are_a_part_of_the_instance() -> None:
    source = chain("self.leaf = leaf", "self.first = In(text='a')")
    assert judged(source, *TYPE).action is PATCHED
    edit = ("class In(BaseModel):\n    text: str\n", "class In(BaseModel):\n    text: str\n    n: int = 0\n")
    assert judged(source, *edit).action is RELOADED


def test_a_stub_class_of_the_author_is_code_of_the_instance() -> None:
    above = "class Client(chains.StubBase):\n    async def run_remote(self, n): return n"
    source = chain("self.leaf = leaf", "self.client = Client.from_url('http://x')", above=above)
    assert judged(source, "self, n): return n", "self, n): return n + 1").action is RELOADED
    assert judged(source, *TYPE).action is PATCHED


def test_values_that_hold_old_types_are_made_again() -> None:
    """A module variable and a class attribute: the running code keeps its own."""
    source = chain("self.leaf = leaf", above="EMPTY = Out(text='')", body="    empty = Out(text='')")
    found = judged(source, *TYPE)
    assert found.action.weight >= PATCHED.weight
    plans = {n: p.carry for p in found.carry.modules["chain"] for n in p.names}
    assert (plans["EMPTY"], plans["Top"]) == (False, False)
