"""Which modules are shared and which values live on."""

from dataclasses import dataclass

from chains_analysis import CarryPlan, ChainletRef, SourceTree, StatementPlan, carry_plan, judge
from chains_analysis.inert import Kind
from chains_analysis.symbols import Statement, module_facts
from chains_protocol.patch import Action

REF = ChainletRef("Model", "chain", "Model")
CHAIN = """\
import truss_chains as chains
import helpers
from helpers import clean

MODEL = helpers.load()


class Model(chains.ChainletBase):
    async def run_remote(self, text: str) -> str:
        return shout(MODEL(clean(text)))


def shout(text):
    return text.upper()
"""
HELPERS = """\
import util

CACHE = {}
LIMIT = 3


class Net:
    def __call__(self, text):
        return text * util.TWO


def load():
    return Net()


def clean(text):
    return text.strip()
"""
UTIL = "TWO = 2\n"
FILES = {"chain.py": CHAIN, "helpers.py": HELPERS, "util.py": UTIL}


def tree(files: dict[str, str]) -> SourceTree:
    return SourceTree({path: text.encode() for path, text in files.items()})


def plan(path: str, old: str, new: str, files: dict[str, str] = FILES) -> "Found":
    assert old in files[path]
    after = tree({**files, path: files[path].replace(old, new, 1)})
    return Found(carry_plan(tree(files), after, REF), after)


@dataclass(frozen=True)
class Found:
    """A plan and the source it is for."""

    plan: CarryPlan
    after: SourceTree

    @property
    def shared(self) -> frozenset[str]:
        return self.plan.shared

    def executed(self, module: str) -> list[str]:
        """The names that a new generation makes anew in a module, imports aside."""
        statements = module_facts(self.after.modules[module], self.after.source(module)).statements
        plans = self.plan.modules[module]
        assert [p.index for p in plans] == [s.index for s in statements]
        return [n for p, s in zip(plans, statements, strict=True) if not _kept(p, s) for n in p.names]


def _kept(plan: StatementPlan, statement: Statement) -> bool:
    return plan.carry or statement.kind is Kind.IMPORT


def test_a_module_level_model_survives_an_edit_below_it() -> None:
    found = plan("chain.py", "text.upper()", "text.lower()")
    assert found.executed("chain") == ["Model", "shout"]
    assert found.shared == {"helpers", "util"}


def test_a_value_is_made_again_when_what_it_reads_changed() -> None:
    found = plan("util.py", "2", "4")
    assert found.executed("chain") == ["MODEL", "Model"]
    assert found.executed("helpers") == ["Net", "load"]
    assert found.executed("util") == ["TWO"]


def test_classes_that_did_not_change_keep_their_identity() -> None:
    found = plan("helpers.py", "text.strip()", "text.rstrip()")
    assert found.executed("helpers") == ["clean"]
    assert found.executed("chain") == ["Model"]


def test_import_statements_are_always_executed_in_modules_made_anew() -> None:
    found = plan("helpers.py", "text.strip()", "text.rstrip()")
    assert not any(p.carry for p in found.plan.modules["chain"][:3])


def test_indexes_are_those_of_the_new_source() -> None:
    found = plan("chain.py", "MODEL = ", "ADDED = 1\nMODEL = ")
    assert [(p.index, p.names, p.carry) for p in found.plan.modules["chain"][3:5]] == [
        (3, ("ADDED",), False),
        (4, ("MODEL",), True),
    ]


def test_a_comment_shares_everything() -> None:
    found = plan("chain.py", "MODEL = ", "# why\nMODEL = ")
    assert found.plan == CarryPlan(frozenset({"chain", "helpers", "util"}))


def test_a_subclass_of_a_changed_base_is_not_carried() -> None:
    files = {**FILES, "helpers.py": HELPERS + "\n\nclass Deep(Net):\n    pass\n\n\nDEEP = Deep()\n"}
    assert plan("helpers.py", "return text * ", "return text + ", files).executed("helpers") == [
        "Net",
        "load",
        "Deep",
        "DEEP",
    ]


def test_a_registry_is_made_again_with_all_that_enter_it() -> None:
    """Else the running code would see new entries before the switch, or entries twice."""
    registry = """\
REGISTRY = {}
OTHER = []


def register(function):
    REGISTRY[function.__name__] = function
    return function


@register
def one(text):
    return text


@register
def two(text):
    return text * 2
"""
    chain = CHAIN.replace("import helpers\n", "import helpers\nfrom registry import REGISTRY\n").replace(
        "shout(MODEL", "REGISTRY['one'](MODEL"
    )
    files = {**FILES, "chain.py": chain, "registry.py": registry}
    found = plan("registry.py", "text * 2", "text * 3", files)
    assert found.executed("registry") == ["REGISTRY", "register", "one", "two"]
    assert (
        judge(tree(files), tree({**files, "registry.py": registry.replace("* 2", "* 3")}), REF).action
        is Action.PATCHED
    )


def test_a_container_and_the_statements_that_fill_it_stay_together() -> None:
    chain = CHAIN.replace("MODEL = ", "TABLE = {}\nTABLE['a'] = 1\nTABLE.update(b=2)\nMODEL = ").replace(
        "text.upper()", "text.upper() + str(TABLE)"
    )
    files = {**FILES, "chain.py": chain}
    found = plan("chain.py", "TABLE['a'] = 1", "TABLE['a'] = 5", files)
    table = found.plan.modules["chain"][3:6]
    assert [p.carry for p in table] == [False, False, False]
    assert found.plan.modules["chain"][6].carry


def test_all_statements_of_one_name_stay_together() -> None:
    chain = CHAIN.replace("MODEL = helpers.load()", "MODEL = helpers.load()\nMODEL = [MODEL]")
    files = {**FILES, "chain.py": chain}
    assert plan("chain.py", "[MODEL]", "(MODEL,)", files).executed("chain") == ["MODEL", "MODEL", "Model"]


def test_a_name_that_functions_rebind_ties_its_users_together() -> None:
    """A carried function would go on rebinding the old module's name."""
    helpers = (
        HELPERS
        + "\n\nCOUNT = 0\n\n\ndef tick():\n    global COUNT\n    COUNT += 1\n"
        + "\n\ndef count():\n    return COUNT\n"
    )
    files = {**FILES, "helpers.py": helpers}
    assert plan("helpers.py", "return COUNT", "return COUNT + 1", files).executed("helpers") == [
        "COUNT",
        "tick",
        "count",
    ]
    # untouched by other edits
    assert plan("helpers.py", "text.strip()", "text.rstrip()", files).executed("helpers") == ["clean"]


def test_a_decorated_function_keeps_its_cache_until_what_it_calls_changes() -> None:
    helpers = (
        "import functools\n"
        + HELPERS
        + "\n\n@functools.lru_cache\ndef known(text):\n    return clean(text)\n"
    )
    files = {**FILES, "helpers.py": helpers}
    assert "known" not in plan("helpers.py", "text * util.TWO", "text", files).executed("helpers")
    assert "known" in plan("helpers.py", "text.strip()", "text", files).executed("helpers")


def test_a_package_is_not_shared_when_a_module_in_it_is_made_anew() -> None:
    """The module is an attribute of the package's object, which the running code uses too."""
    files = {
        "chain.py": CHAIN.replace(
            "import helpers\nfrom helpers", "from pkg import helpers\nfrom pkg.helpers"
        ),
        "pkg/__init__.py": "NAME = 'pkg'\n",
        "pkg/helpers.py": HELPERS,
        "pkg/other.py": "X = 1\n",
        "util.py": UTIL,
    }
    found = plan("pkg/helpers.py", "text.strip()", "text", files)
    assert "pkg" not in found.shared
    assert [(p.names, p.carry) for p in found.plan.modules["pkg"]] == [(("NAME",), True)]
    assert "util" in found.shared


def test_what_imports_a_module_made_anew_by_itself_is_made_anew() -> None:
    """The import has to find the new module."""
    chain = (
        CHAIN
        + "\n\ndef late(text):\n    from helpers import clean as c\n    return c(text)\n"
        + "\n\nclass Late:\n    pass\n"
    )
    files = {**FILES, "chain.py": chain}
    found = plan("helpers.py", "LIMIT = 3", "LIMIT = 4", files).executed("chain")
    assert found == ["late"]


def test_an_effect_that_did_not_change_is_not_repeated() -> None:
    files = {**FILES, "chain.py": CHAIN.replace("MODEL = ", "print('loading')\nMODEL = ")}
    found = plan("chain.py", "text.upper()", "text.lower()", files)
    assert [(p.names, p.carry) for p in found.plan.modules["chain"]][3] == ((), True)


def test_a_module_new_to_the_package_has_no_plan() -> None:
    files = {**FILES, "new.py": "X = 1\n"}
    found = plan("chain.py", "import helpers\n", "import helpers\nimport new\n", files)
    assert "new" not in found.plan.modules
    assert "new" not in found.shared


def test_a_chainlet_named_by_a_carried_class_counts_as_a_whole() -> None:
    chain = (
        CHAIN
        + """

class Base(chains.ChainletBase):
    def __init__(self, model=chains.depends(Model)) -> None:
        self.model = model
"""
    )
    files = {**FILES, "chain.py": chain}
    assert plan("chain.py", "text.upper()", "text.lower()", files).executed("chain") == [
        "Model",
        "shout",
        "Base",
    ]
