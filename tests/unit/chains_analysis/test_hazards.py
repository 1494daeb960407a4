"""Changes for which the obvious action would be wrong: the next heavier one is taken, and says why."""

import pytest

from chains_analysis import ChainletRef, SourceTree, Verdict, judge
from chains_protocol.patch import Action

UNCHANGED, PATCHED, RELOADED, RESTARTED = Action.UNCHANGED, Action.PATCHED, Action.RELOADED, Action.RESTARTED
HELPERS = """\
def clean(text):
    return text.strip()


def other(text):
    return text
"""


def chainlet(
    init: str = "pass", run: str = "return clean(text)", body: str = "", top: str = "", base: str = ""
) -> str:
    return f"""\
import truss_chains as chains
import helpers
from helpers import clean
{top}

class Model({base or "chains.ChainletBase"}):
    {body or "pass"}

    def __init__(self) -> None:
        {init}

    def run_remote(self, text: str) -> str:
        {run}

    def spare(self):
        return 1
"""


def judged(chain: str, old: str, new: str, helpers: str = HELPERS, **more: str) -> Verdict:
    """The verdict for one replacement, made in whichever file has the text."""
    before = {"chain.py": chain, "helpers.py": helpers, **{f"{k}.py": v for k, v in more.items()}}
    assert sum(old in text for text in before.values()) == 1, old
    after = {path: text.replace(old, new) for path, text in before.items()}
    trees = (SourceTree({p: t.encode() for p, t in files.items()}) for files in (before, after))
    return judge(*trees, ChainletRef("Model", "chain", "Model"))


def made_anew(verdict: Verdict, module: str, name: str) -> bool:
    """Whether a new generation executes the statement that binds a name."""
    plans = verdict.carry.modules.get(module, ())
    return module not in verdict.carry.shared and any(name in p.names and not p.carry for p in plans)


def test_the_plain_case_is_a_patch() -> None:
    assert judged(chainlet(), "text.strip()", "text.lower()").action is PATCHED


@pytest.mark.parametrize("body", ["__slots__ = ('a',)", "def __del__(self): print('closed')"])
def test_an_instance_that_cannot_be_handed_over(body: str) -> None:
    found = judged(chainlet(body=body), "text.strip()", "text.lower()")
    assert found.action is RELOADED
    assert "can't be handed over" in found.reasons[0].text


@pytest.mark.parametrize(
    ("init", "body"),
    [
        ("self.cache['a'] = 1", "cache = {}"),
        ("self.cache.append(1)", "cache = []"),
        ("helpers.other(self.cache)", "cache = []"),
        ("self.prepare()", "@classmethod\n    def prepare(cls):\n        cls.model = 1"),
        ("Model.model = 1", ""),
        ("type(self).model = 1", ""),
    ],
)
def test_state_that_init_keeps_in_the_class(init: str, body: str) -> None:
    """The class is made anew, without what `__init__` had put into it."""
    found = judged(chainlet(init=init, body=body), "return 1", "return 2")
    assert found.action is RELOADED


def test_a_class_level_value_that_init_only_reads() -> None:
    assert (
        judged(chainlet(init="self.x = self.size", body="size = 3"), "return 1", "return 2").action is PATCHED
    )


@pytest.mark.parametrize(
    "init",
    [
        "self.call = self.spare",
        "self.call = lambda: self.spare()",
        "helpers.other(self)",
        "import threading; threading.Thread(target=self.spare).start()",
    ],
)
def test_state_that_holds_on_to_a_method(init: str) -> None:
    assert judged(chainlet(init=init), "return 1", "return 2").action is RELOADED


def test_a_method_beside_one_that_the_state_holds() -> None:
    assert judged(chainlet(init="self.call = self.spare"), "text.strip()", "text.lower()").action is PATCHED


def test_init_that_changes_values_which_running_code_uses() -> None:
    """Running it beside would be felt before the switch."""
    helpers = HELPERS + "\n\nMODELS = {}\n\n\ndef prepare(n):\n    MODELS['m'] = n\n"
    found = judged(chainlet(init="helpers.prepare(3)"), "prepare(3)", "prepare(4)", helpers)
    assert found.action is RESTARTED
    assert found.reasons[0].text == (
        "`helpers.prepare` changes `helpers.MODELS` while an instance is made, and running code uses it"
    )


def test_init_that_rebinds_a_global() -> None:
    helpers = HELPERS + "\n\n_engine = None\n\n\ndef connect(n):\n    global _engine\n    _engine = n\n"
    assert (
        judged(chainlet(init="helpers.connect(3)"), "connect(3)", "connect(4)", helpers).action is RESTARTED
    )
    assert judged(chainlet(init="helpers.connect(3)"), "text.strip()", "text", helpers).action is PATCHED


@pytest.mark.parametrize(
    "run",
    [
        "return globals()[text]()",
        "exec(text)",
        "import importlib; return importlib.import_module(text).f()",
        "import sys; return sys.modules[text]",
    ],
)
def test_what_can_reach_anything_makes_every_change_one_step_heavier(run: str) -> None:
    chain = chainlet(run=run, top="\ndef elsewhere():\n    return 5\n")
    found = judged(chain, "return 5", "return 6")
    assert found.action is RELOADED
    assert "which can't be followed" in found.reasons[0].text


def test_what_can_reach_anything_while_the_instance_is_made() -> None:
    chain = chainlet(init="exec(helpers.TEXT)")
    assert judged(chain, "return text\n", "return text + ''\n", HELPERS + "\nTEXT = ''\n").action is RESTARTED


def test_a_module_as_a_value_is_all_of_the_module() -> None:
    found = judged(chainlet(run="return getattr(helpers, text)(text)"), "return text\n", "return text + ''\n")
    assert found.action is PATCHED
    assert found.reasons[0].via == ("Model.run_remote", "helpers", "helpers.other")


def test_subclasses_found_by_reflection() -> None:
    """The base is made anew with them, else it would list the former ones, too."""
    helpers = HELPERS + "\n\nclass Base: pass\n"
    found = judged(
        chainlet(run="return [c.n for c in helpers.Base.__subclasses__()]", top="import more"),
        "n = 1",
        "n = 2",
        helpers,
        more="from helpers import Base\n\n\nclass One(Base):\n    n = 1\n",
    )
    assert found.action is PATCHED
    assert made_anew(found, "helpers", "Base")


@pytest.mark.parametrize(
    "base",
    [
        "class Base(metaclass=Kind): pass",
        "class Origin(metaclass=Kind): pass\n\n\nclass Base(Origin): pass",
    ],
)
@pytest.mark.parametrize(("old", "new"), [("n = 1", "n = 2"), ("class One(Base):\n    n = 1\n", "")])
def test_a_metaclass_that_keeps_what_it_makes(base: str, old: str, new: str) -> None:
    """Classes of a base elsewhere are entered without being named anywhere."""
    kind = (
        "class Kind(type):\n    made = {}\n    def __init__(cls, name, *_):\n        cls.made[name] = cls\n"
    )
    found = judged(
        chainlet(run="return str(helpers.Kind.made)", top="import more"),
        old,
        new,
        f"{HELPERS}\n\n{kind}\n\n{base}\n",
        more="from helpers import Base\n\n\nclass One(Base):\n    n = 1\n",
    )
    assert found.action is PATCHED
    assert made_anew(found, "helpers", "Kind")


@pytest.mark.parametrize("enter", ["type(self).made.append(self)", "self.made.append(self)"])
def test_a_class_that_keeps_its_instances(enter: str) -> None:
    kind = f"class Kind:\n    made = []\n    def __init__(self, n):\n        {enter}\n"
    found = judged(
        chainlet(run="return str(helpers.Kind.made)", top="import more"),
        "Kind(1)",
        "Kind(2)",
        f"{HELPERS}\n\n{kind}",
        more="from helpers import Kind\n\n\nONE = Kind(1)\n",
    )
    assert found.action is PATCHED
    assert made_anew(found, "helpers", "Kind")


def test_a_cached_property_is_state() -> None:
    body = "@functools.cached_property\n    def size(self):\n        return len(clean(' a'))\n"
    chain = chainlet(run="return self.size", body=body, top="import functools")
    assert judged(chain, "text.strip()", "text.lower()").action is RELOADED
    assert judged(chain, "return 1", "return 2").action is PATCHED


def test_text_that_is_run_may_use_its_module() -> None:
    found = judged(chainlet(run="return eval('helpers.other(text)')"), "return text\n", "return text * 2\n")
    assert found.action is RELOADED
    assert "calls `eval`" in found.reasons[0].text


def test_a_value_whose_making_starts_something() -> None:
    top = """
import threading

def work():
    return 5

def start():
    thread = threading.Thread(target=work)
    thread.start()
    return thread

WORKER = start()
"""
    found = judged(chainlet(top=top), "return 5", "return 6")
    assert found.action is RESTARTED
    assert "may start something that already runs" in found.reasons[0].text


def test_an_unknown_decorator_or_another_base_makes_another_class() -> None:
    assert (
        judged(
            chainlet(base="chains.ChainletBase, helpers.A"), "def clean", "class A: pass\n\ndef clean"
        ).action
        is RELOADED
    )
    found = judged(
        chainlet(),
        "(chains.ChainletBase)",
        "(chains.ChainletBase, helpers.A)",
        HELPERS + "\n\nclass A: pass\n",
    )
    assert (found.action, found.needs_discovery) == (RELOADED, True)


def test_order_matters_where_statements_are_executed() -> None:
    top = "\nA = 1\nB = A + helpers.other(1)\n"
    assert (
        judged(chainlet(top=top, run="return B"), top, "\nB = A + helpers.other(1)\nA = 1\n").action
        is PATCHED
    )
    chain = chainlet(top="\nA = 1\nB = 2\n", run="return A + B")
    assert judged(chain, "A = 1\nB = 2", "B = 2\nA = 1").action is UNCHANGED


def test_functions_may_move_freely() -> None:
    moved = HELPERS.split("\n\n\n")
    assert judged(chainlet(), HELPERS, "\n\n\n".join(reversed(moved))).action is UNCHANGED


def test_effects_in_another_order() -> None:
    top = "\nprint(1)\nprint(2)\n"
    assert judged(chainlet(top=top), "print(1)\nprint(2)", "print(2)\nprint(1)").action is RESTARTED


def test_modules_with_effects_imported_in_another_order() -> None:
    chain = chainlet(top="import a\nimport b")
    found = judged(chain, "import a\nimport b", "import b\nimport a", a="print('a')\n", b="print('b')\n")
    assert found.action is RESTARTED
    assert (
        judged(chain, "import a\nimport b", "import b\nimport a", a="x = 1\n", b="y = 2\n").action
        is UNCHANGED
    )


def test_modules_that_import_each_other() -> None:
    helpers = "import chain\n" + HELPERS
    assert (
        judged(chainlet(), "import helpers\nfrom", "X = 1\nimport helpers\nfrom", helpers).action is RESTARTED
    )
    assert judged(chainlet(), "return 1", "return 2", helpers).action is PATCHED


def test_a_builtin_that_is_shadowed() -> None:
    found = judged(
        chainlet(run="return len(text)"), "import helpers\nfrom", "def len(x): return 1\nimport helpers\nfrom"
    )
    assert found.action is PATCHED


def test_docstrings_count_where_code_reads_them() -> None:
    helpers = HELPERS.replace("def clean(text):\n", 'def clean(text):\n    "One."\n')
    assert judged(chainlet(), '"One."', '"Other."', helpers).action is UNCHANGED
    assert judged(chainlet(run="return clean.__doc__"), '"One."', '"Other."', helpers).action is PATCHED


@pytest.mark.parametrize(
    "run",
    [
        "return Answer.model_json_schema()",
        "return TypeAdapter(Answer).json_schema()",
        "return ask(response_format=Answer)",
        "return pydoc.render_doc(Answer)",
    ],
)
def test_what_describes_a_class_reads_its_docstring(run: str) -> None:
    top = 'class Answer(BaseModel):\n    """Said."""\n    text: str\n'
    assert judged(chainlet(run=run, top=top), "Said.", "Told.").action is PATCHED


def test_docstrings_of_modules_count_where_code_reads_them() -> None:
    helpers = '"""Said."""\n' + HELPERS
    assert judged(chainlet(), "Said.", "Told.", helpers).action is UNCHANGED
    found = judged(chainlet(run="return helpers.__doc__"), "Said.", "Told.", helpers)
    assert (found.action, "helpers" in found.carry.shared) == (PATCHED, False)
    assert found.reasons[0].text == "the docstring of a module changed; `Model.run_remote` uses it"
    own = HELPERS.replace("return text.strip()", "return __doc__")
    assert made_anew(judged(chainlet(), "Said.", "Told.", f'"""Said."""\n{own}'), "helpers", "clean")


def test_a_class_that_is_nothing_but_a_docstring() -> None:
    top = 'class Odd(Exception):\n    """Said."""\n'
    assert judged(chainlet(top=top), "Said.", "Told.").action is UNCHANGED


def test_lazily_imported_modules_are_tried_by_running_init_again() -> None:
    chain = chainlet(init="from late import A; self.a = A")
    assert judged(chain, "A = 1", "import torch\nA = 1", late="A = 1\n").action is RELOADED


def test_names_that_are_gone_when_the_file_is_loaded() -> None:
    helpers = HELPERS + "\n\nSIZE = 3\nTABLE = [SIZE]\n"
    found = judged(chainlet(), "SIZE = 3\n", "", helpers)
    assert found.action is PATCHED
    assert found.reasons[0].text == "`TABLE` needs `SIZE`, which is not there when `helpers.py` is loaded"


def test_another_file_beside_the_code() -> None:
    before = SourceTree(
        {"chain.py": chainlet().encode(), "helpers.py": HELPERS.encode(), "prompt.txt": b"one"}
    )
    after = SourceTree({**before.files, "prompt.txt": b"two"})
    found = judge(before, after, ChainletRef("Model", "chain", "Model"))
    assert (found.action, found.reasons[0].symbol) == (RESTARTED, "prompt.txt")


def test_what_only_type_checkers_import_is_never_loaded() -> None:
    chain = chainlet(top="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import stubs\n")
    assert judged(chain, "print(1)", "print(2)", stubs="print(1)\n").action is UNCHANGED


def test_a_class_inside_another_is_judged_as_a_whole() -> None:
    source = "class Outer:\n    class Inner:\n        def run_remote(self): return 1\n"
    before, after = (SourceTree({"chain.py": s.encode()}) for s in (source, source.replace("1", "2")))
    found = judge(before, after, ChainletRef("Inner", "chain", "Outer.Inner"))
    assert (found.action, found.needs_discovery) == (RELOADED, True)


def test_a_library_imported_for_its_version_only_in_a_function() -> None:
    assert judged(chainlet(), "return text\n", "import torch; return text\n").action is UNCHANGED
