"""What star imports, `__all__`, module `__getattr__` and import statements mean to a verdict."""

import pytest

from chains_analysis import ChainletRef, SourceTree, Verdict, judge
from chains_protocol.patch import Action

UNCHANGED, PATCHED, RELOADED = Action.UNCHANGED, Action.PATCHED, Action.RELOADED

CHAIN = """\
import truss_chains as chains
from helpers import *
from tools import pick


class Model(chains.ChainletBase):
    def run_remote(self, text: str) -> str:
        return clean(pick(text))
"""
HELPERS = """\
__all__ = ["clean", "other"]


def clean(text):
    return text.strip()


def other(text):
    return text
"""
TOOLS = "def pick(text):\n    return text\n\n\ndef spare(text):\n    return text\n"


def judged(old: str, new: str, *, chain: str = CHAIN, helpers: str = HELPERS, tools: str = TOOLS) -> Verdict:
    """The verdict for one replacement, made in whichever file has the text."""
    before = {"chain.py": chain, "helpers.py": helpers, "tools.py": tools}
    assert sum(old in text for text in before.values()) == 1, old
    after = {path: text.replace(old, new) for path, text in before.items()}
    trees = [SourceTree({p: t.encode() for p, t in files.items()}) for files in (before, after)]
    return judge(trees[0], trees[1], ChainletRef("Model", "chain", "Model"))


def test_a_name_more_in_all_concerns_nobody() -> None:
    assert judged('"other"]', '"other", "clean"]').action is UNCHANGED
    assert judged('__all__ = ["clean", "other"]', '__all__ = ["clean"]').action is UNCHANGED


def test_a_used_name_that_all_drops() -> None:
    """It is not imported any more, which shows at the first call."""
    found = judged('["clean", "other"]', '["other"]')
    assert found.action is PATCHED
    assert found.reasons[0].text == "the export of `helpers.clean` is gone; `Model.run_remote` uses it"


def test_a_name_in_all_that_is_not_there() -> None:
    found = judged('"other"]', '"others"]')
    assert found.action is PATCHED
    assert found.reasons[0].text.endswith("which is not there: loading it will fail")


@pytest.mark.parametrize("edit", ['__all__ = ["clean"] + []', '__all__ = ["clean"]\n__all__ = ["nothing"]'])
def test_a_computed_all_that_changed_may_fail(edit: str) -> None:
    assert judged('__all__ = ["clean", "other"]', edit).action is PATCHED


def test_python_asks_getattr_for_all() -> None:
    helpers = HELPERS.removeprefix('__all__ = ["clean", "other"]')
    edit = "def __getattr__(name):\n    return 5\n" + helpers
    assert judged(helpers, edit, helpers=helpers).action is PATCHED


def test_a_private_name_is_imported_if_all_says_so() -> None:
    helpers = HELPERS.replace('"other"]', '"_hidden"]') + "\n\ndef _hidden(text):\n    return text\n"
    chain = CHAIN.replace("clean(", "_hidden(")
    after = helpers.replace("def _hidden(text):\n    return text", "def _hidden(text):\n    return ''")
    assert judged(helpers, after, chain=chain, helpers=helpers).action is PATCHED


def test_one_import_more_from_the_same_module_concerns_nobody() -> None:
    assert judged("import pick", "import pick, spare").action is UNCHANGED
    assert judged("import pick", "import spare, pick").action is UNCHANGED


def test_another_import_under_the_same_name_is_a_change() -> None:
    assert judged("import pick", "import spare as pick").action is PATCHED


def test_a_name_that_only_code_can_give_now() -> None:
    tools = "def __getattr__(name):\n    raise AttributeError(name)\n\n\n" + TOOLS
    chain = CHAIN.replace("clean(pick(text))", "text")
    found = judged("def pick(text)", "def picked(text)", chain=chain, tools=tools)
    assert found.action is PATCHED


def test_type_checking_before_it_is_imported() -> None:
    chain = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import nothing\n" + CHAIN
    moved = "if TYPE_CHECKING:\n    import nothing\nfrom typing import TYPE_CHECKING\n" + CHAIN
    found = judged(chain, moved, chain=chain)
    assert found.action is PATCHED
    assert "needs `TYPE_CHECKING`" in found.reasons[0].text


@pytest.mark.parametrize(
    ("member", "action"),
    [
        ("    @property\n    def net(self): return 1\n", RELOADED),
        ("    net = make_descriptor()\n", RELOADED),
        ("    net: int\n", PATCHED),
        ("    net = 1\n", PATCHED),
        ("    def net(self): return 1\n", PATCHED),
    ],
)
def test_a_member_that_decides_what_an_assignment_does(member: str, action: Action) -> None:
    chain = "def make_descriptor(): return 1\n" + CHAIN.replace(
        "    def run_remote", "    def __init__(self) -> None:\n        self.net = 1\n\n    def run_remote"
    )
    assert judged("    def run_remote", member + "\n    def run_remote", chain=chain).action is action


BASED = CHAIN.replace("class Model(chains.ChainletBase)", "class Model(Base)").replace(
    "\n\nclass Model",
    """

class Base(chains.ChainletBase):
    size = 1


class Other(Base):
    def run_remote(self, text: str) -> str:
        return text + "!"


class Model""",
)


def test_a_class_with_a_base_of_the_workspace_is_made_as_before() -> None:
    """Its annotations name another Chainlet, whose body changed."""
    init = "    def __init__(self, other: Other = chains.depends(Other)): pass\n"
    chain = BASED.replace("class Model(Base):\n", f"class Model(Base):\n{init}")
    assert judged('return text + "!"', 'return text + "?"', chain=chain).action is UNCHANGED


UNUSED = """\
import dataclasses
import enum
from pydantic import BaseModel


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


class Shade(enum.Enum):
    DARK = 1
    LIGHT = 2


class Item(BaseModel):
    text: str
"""


@pytest.mark.parametrize(
    ("old", "new", "action"),
    [
        ("    y: int = 0", "    y: int = 0\n    z: int", PATCHED),
        ("    y: int = 0", "    y: list = []", PATCHED),
        ("    y: int = 0", "    y: int = 0\n    def __setattr__(self, n, v): pass", PATCHED),
        ("    y: int = 0", "    y: int = 0\n    z: int = 1", UNCHANGED),
        ("    LIGHT = 2", "    LIGHT = 2\n    DARK = 3", PATCHED),
        ("    LIGHT = 2", "    LIGHT = 2\n    def LIGHT(self): pass", PATCHED),
        ("    LIGHT = 2", "    LIGHT = 2\n    MEDIUM = 3", UNCHANGED),
        ("    text: str", "    text: str\n    n = 3", PATCHED),
        ("    text: str", "    text: str\n    n: int = 3\n    model_config = {}\n    _n = 1", UNCHANGED),
    ],
)
def test_a_class_that_may_be_refused_is_tried(old: str, new: str, action: Action) -> None:
    """No Chainlet uses these classes, but the module that has them is loaded."""
    tools = UNUSED + TOOLS
    assert judged(tools, tools.replace(old, new), tools=tools).action is action
