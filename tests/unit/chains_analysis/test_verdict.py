"""How heavy a change is: the action table, one rule a test."""

from dataclasses import dataclass

import pytest

from chains_analysis import ChainletRef, SourceTree, Verdict, judge
from chains_protocol.errors import Code, DiagnosticsError
from chains_protocol.patch import Action

CHAIN = '''\
"""A chain."""
import asyncio
import logging

import pydantic
import truss_chains as chains

import helpers
from helpers import clean

LOGGER = logging.getLogger(__name__)
LIMIT = 3
TEMPLATE = "{} {}"


class Item(pydantic.BaseModel):
    text: str

    def shout(self) -> str:
        return self.text.upper()


class Model(chains.ChainletBase):
    remote_config = chains.RemoteConfig(compute=chains.Compute(cpu_count=2))

    def __init__(self, context=chains.depends_context()) -> None:
        self._net = helpers.load(LIMIT)

    async def run_remote(self, items: list[Item]) -> str:
        return self._net(clean(items[0].shout()))


@chains.mark_entrypoint
class Glue(chains.ChainletBase):
    def __init__(self, model: Model = chains.depends(Model, retries=2)) -> None:
        self._model = model
        self._prefix = self._make_prefix()

    def _make_prefix(self) -> str:
        return "> "

    def _format(self, text: str) -> str:
        return TEMPLATE.format(self._prefix, text)

    async def run_remote(self, text: str) -> str:
        return self._format(await self._model.run_remote([Item(text=text)]))


if __name__ == "__main__":
    with chains.run_local():
        print(asyncio.run(Glue().run_remote("x")))
'''

HELPERS = """\
import math


def load(size):
    return Net(size)


class Net:
    def __init__(self, size):
        self.size = size

    def __call__(self, text):
        return text * self.size


def clean(text):
    return _strip(text)


def _strip(text):
    return text.strip()


def unused():
    return math.pi
"""

MODEL = ChainletRef("Model", "chain", "Model")
GLUE = ChainletRef("Glue", "chain", "Glue")


@dataclass(frozen=True)
class Edit:
    old: str
    new: str

    def apply(self, files: dict[str, str]) -> dict[str, str]:
        hits = [path for path, text in files.items() if self.old in text]
        assert len(hits) == 1, f"{self.old!r} must be in one file"
        return {p: t.replace(self.old, self.new, 1) if p in hits else t for p, t in files.items()}


FILES = {"chain.py": CHAIN, "helpers.py": HELPERS}


def tree(files: dict[str, str]) -> SourceTree:
    return SourceTree({path: text.encode() for path, text in files.items()})


def verdicts(*edits: tuple[str, str], files: dict[str, str] = FILES) -> tuple[Verdict, Verdict]:
    after = files
    for old, new in edits:
        after = Edit(old, new).apply(after)
    before = tree(files)
    return judge(before, tree(after), MODEL), judge(before, tree(after), GLUE)


def actions(*edits: tuple[str, str], files: dict[str, str] = FILES) -> tuple[Action, Action]:
    model, glue = verdicts(*edits, files=files)
    return model.action, glue.action


NOTHING = (Action.UNCHANGED, Action.UNCHANGED)
UNCHANGED, PATCHED, RELOADED, RESTARTED = Action.UNCHANGED, Action.PATCHED, Action.RELOADED, Action.RESTARTED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A chain."""', '"""Another text."""'),
        ("LIMIT = 3", "LIMIT = 3  # a comment"),
        ("LIMIT = 3\n", "\n\nLIMIT = (3)\n"),
        ("        return text.strip()", "        # why\n        return text.strip()"),
        ("    def shout(self) -> str:\n", '    def shout(self) -> str:\n        """Loud."""\n'),
        ("class Item(pydantic.BaseModel):\n", 'class Item(pydantic.BaseModel):\n    """An item."""\n\n'),
        ("return math.pi", "return math.e"),
        ("import math\n", "import math\nimport json\n"),
        ('run_remote("x")))', 'run_remote("y")))'),
        ("def unused():", "def renamed():"),
        ("def _strip(text):\n    return text.strip()\n\n\n", ""),
    ],
)
def test_what_no_chainlet_depends_on_is_unchanged(old: str, new: str) -> None:
    files = dict(FILES)
    if "_strip" in old:  # a move: taken out here, put in elsewhere
        files["helpers.py"] += "\n"
        after = {**files, "helpers.py": HELPERS.replace(old, "") + "\n\n" + old}
        before = tree(files)
        assert [judge(before, tree(after), ref).action for ref in (MODEL, GLUE)] == [UNCHANGED, UNCHANGED]
        return
    if "return text.strip()" in old:
        old, new = old[4:], new.replace("        ", "    ")
    assert actions((old, new)) == NOTHING


def test_a_glue_edit_never_touches_the_model_beside_it() -> None:
    assert actions(("return TEMPLATE.format(self._prefix, text)", "return text")) == (UNCHANGED, PATCHED)


def test_a_model_edit_never_touches_its_caller() -> None:
    assert actions(("items[0].shout()", "items[-1].shout()")) == (PATCHED, UNCHANGED)


def test_a_constant_that_only_glue_reads() -> None:
    assert actions(('TEMPLATE = "{} {}"', 'TEMPLATE = "{}-{}"')) == (UNCHANGED, PATCHED)


def test_a_helper_reached_from_run_remote_only_is_a_patch() -> None:
    model, glue = verdicts(("return text.strip()", "return text.rstrip()"))
    assert (model.action, glue.action) == (PATCHED, UNCHANGED)
    (reason,) = model.reasons
    assert (reason.symbol, reason.path, reason.line) == ("helpers._strip", "helpers.py", 20)
    assert reason.via == ("Model.run_remote", "helpers.clean", "helpers._strip")
    assert reason.text == "`helpers._strip` changed; `Model.run_remote` uses it"
    assert not model.needs_discovery


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self._net = helpers.load(LIMIT)", "self._net = helpers.load(LIMIT + 1)"),
        ("LIMIT = 3", "LIMIT = 4"),
        ("    return Net(size)", "    return Net(size + 1)"),
        ("return text * self.size", "return text + str(self.size)"),
    ],
)
def test_what_init_depends_on_is_reloaded(old: str, new: str) -> None:
    """Also a method of a class of which the state holds an object."""
    assert actions((old, new)) == (RELOADED, UNCHANGED)


def test_a_method_that_init_calls_is_reloaded_and_others_are_patched() -> None:
    assert actions(('return "> "', 'return "* "')) == (UNCHANGED, RELOADED)
    assert actions(("self._prefix, text)", "text, self._prefix)")) == (UNCHANGED, PATCHED)


def test_a_changed_io_type_reaches_both_sides() -> None:
    model, glue = verdicts(("    text: str\n", "    text: str\n    n: int = 0\n"))
    assert (model.action, glue.action) == (PATCHED, PATCHED)
    assert model.needs_discovery
    assert any("callers" in r.text or "Item" in r.text for r in glue.reasons)


def test_a_method_of_an_io_type_needs_no_discovery_for_its_owner() -> None:
    model, _ = verdicts(("return self.text.upper()", "return self.text.lower()"))
    assert (model.action, model.needs_discovery) == (PATCHED, False)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("cpu_count=2", "cpu_count=4", (PATCHED, UNCHANGED)),
        ("retries=2", "retries=3", (UNCHANGED, PATCHED)),
        ("items: list[Item]) -> str", "items: list[Item], n: int = 0) -> str", (PATCHED, PATCHED)),
        ("@chains.mark_entrypoint\n", '@chains.mark_entrypoint("Name")\n', (UNCHANGED, PATCHED)),
    ],
)
def test_the_shape_of_a_chainlet_needs_discovery(old: str, new: str, expected: tuple[Action, Action]) -> None:
    both = verdicts((old, new))
    assert tuple(v.action for v in both) == expected
    assert any(v.needs_discovery for v in both)


def test_a_body_edit_needs_no_discovery() -> None:
    assert not any(v.needs_discovery for v in verdicts(("items[0].shout()", "items[-1].shout()")))


@pytest.mark.parametrize(
    "statement",
    [
        "logging.basicConfig(level=10)\n",
        "import os\nos.environ['A'] = '1'\n",
        "for _i in range(3):\n    print(_i)\n",
        "with open('x') as _f:\n    DATA = _f.read()\n",
        "math.pi = 3\n",
        "assert True\n",
    ],
)
def test_a_top_level_statement_with_effects_restarts(statement: str) -> None:
    added = {**FILES, "helpers.py": HELPERS.replace("import math\n", "import math, logging\n" + statement)}
    plain = {**FILES, "helpers.py": HELPERS.replace("import math\n", "import math, logging\n")}
    for before, after in ((plain, added), (added, plain)):
        found = [judge(tree(before), tree(after), ref) for ref in (MODEL, GLUE)]
        assert [v.action for v in found] == [RESTARTED, RESTARTED]
        assert all(v.needs_discovery for v in found)


def test_an_effect_restarts_also_if_only_what_it_calls_changed() -> None:
    files = {**FILES, "helpers.py": HELPERS + "\n\ndef setup():\n    print(1)\n\n\nsetup()\n"}
    assert actions(("print(1)", "print(2)"), files=files) == (RESTARTED, RESTARTED)
    assert actions(("return text.strip()", "return text.rstrip()"), files=files) == (PATCHED, UNCHANGED)


def test_a_syntax_error_is_a_diagnostic_with_file_and_line() -> None:
    with pytest.raises(DiagnosticsError) as caught:
        verdicts(("def unused():", "def unused(:"))
    (found,) = caught.value.diagnostics
    assert (found.code, str(found.location)[:13]) == (Code.SYNTAX_ERROR, "helpers.py:24")


@pytest.mark.parametrize(
    "text",
    [
        "    return 1\n    return 2\nreturn 3",
        "    await x",
        "    break",
        "    nonlocal y",
        "    x = 1\n    global x",
    ],
)
def test_what_only_the_compiler_finds_is_a_syntax_error_too(text: str) -> None:
    with pytest.raises(DiagnosticsError) as caught:
        verdicts(("    return math.pi", text))
    (found,) = caught.value.diagnostics
    assert found.code is Code.SYNTAX_ERROR
    assert found.location is not None
    assert (found.location.path, found.location.line) == ("helpers.py", 23 + len(text.splitlines()) + 1)


def test_a_deleted_module_that_is_still_imported_is_said_to_fail() -> None:
    model, glue = (judge(tree(FILES), tree({"chain.py": CHAIN}), ref) for ref in (MODEL, GLUE))
    assert model.action is RELOADED
    assert glue.action is PATCHED
    assert any("loading it will fail" in r.text for r in glue.reasons)


def test_an_imported_name_that_is_gone_is_said_to_fail() -> None:
    _, glue = verdicts(("def clean(text):", "def cleaned(text):"))
    assert glue.action is PATCHED
    assert [r.text for r in glue.reasons] == [
        "`chain.py:9` imports `clean` from `helpers`, which is not there: loading it will fail"
    ]


def test_a_new_library_loads_a_generation_to_find_out() -> None:
    assert actions(("import pydantic\n", "import pydantic\nimport torch\n")) == (PATCHED, PATCHED)


def test_the_class_is_gone() -> None:
    files = {**FILES, "chain.py": CHAIN.replace("class Model(", "class Renamed(")}
    found = judge(tree(FILES), tree(files), MODEL)
    assert (found.action, found.needs_discovery) == (RESTARTED, True)
    assert found.reasons[0].text == "the class `Model` is gone in `chain.py`"


def test_equal_trees_are_unchanged_without_reading_them() -> None:
    broken = tree({"chain.py": "def f(:"})
    assert judge(broken, broken, MODEL) == Verdict(UNCHANGED)
