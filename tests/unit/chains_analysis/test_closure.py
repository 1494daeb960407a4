"""Which files an import can reach."""

import pytest

from chains_analysis import Closure, SourceTree, Widening, closure, module_name
from chains_protocol.errors import Code, DiagnosticsError


def tree(**files: str) -> SourceTree:
    """Keys are paths with `__` for `/` and without `.py`; `pkg__init` is a package's `__init__.py`."""
    paths = {}
    for key, text in files.items():
        path = key.replace("__", "/")
        paths[path.removesuffix("init") + "__init__.py" if path.endswith("/init") else path + ".py"] = text
    return SourceTree({path: text.encode() for path, text in paths.items()})


def files(found: Closure) -> set[str]:
    assert not found.widened
    return set(found.files)


def test_only_imported_modules_are_reached() -> None:
    t = tree(chain="import helpers", helpers="import os, json", other="x = 1")
    assert closure(t, ["chain"]).files == ("chain.py", "helpers.py")


@pytest.mark.parametrize(
    "statement",
    [
        "import pkg.mod",
        "import pkg.mod as m",
        "from pkg import mod",
        "from pkg.mod import f",
        "from pkg import mod as m",
        "def f():\n    from pkg import mod",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pkg.mod",
        "try:\n    import pkg.mod\nexcept ImportError:\n    pass",
        "import importlib\nm = importlib.import_module('pkg.mod')",
        "from importlib import import_module as load\nm = load('pkg.mod')",
        "m = __import__('pkg.mod')",
        "exec('import pkg.mod')",
        "from pkg.mod import *",
    ],
)
def test_every_form_of_import_is_followed(statement: str) -> None:
    t = tree(chain=statement, pkg__init="", pkg__mod="f = 1", pkg__other="")
    assert files(closure(t, ["chain"])) == {"chain.py", "pkg/__init__.py", "pkg/mod.py"}


@pytest.mark.parametrize(
    "statement",
    [
        "from . import b",
        "from .b import x",
        "import importlib\nimportlib.import_module('.b', 'pkg')",
        "import importlib\nimportlib.import_module('.b', package=__package__)",
    ],
)
def test_relative_imports(statement: str) -> None:
    t = tree(pkg__init="", pkg__a=statement, pkg__b="x = 1", b="")
    assert files(closure(t, ["pkg.a"])) == {"pkg/__init__.py", "pkg/a.py", "pkg/b.py"}


def test_relative_import_in_a_package_itself_starts_there() -> None:
    t = tree(pkg__init="from . import a", pkg__a="", a="")
    assert files(closure(t, ["pkg"])) == {"pkg/__init__.py", "pkg/a.py"}


def test_relative_import_beyond_the_root_is_no_import_of_ours() -> None:
    t = tree(chain="from . import helpers", helpers="", pkg__a="from ..helpers import x", pkg__init="")
    assert files(closure(t, ["chain"])) == {"chain.py"}
    assert files(closure(t, ["pkg.a"])) == {"pkg/__init__.py", "pkg/a.py"}


def test_package_without_init() -> None:
    t = tree(chain="import ns.deep.mod", ns__deep__mod="", ns__deep__other="")
    assert files(closure(t, ["chain"])) == {"chain.py", "ns/deep/mod.py"}


def test_star_import_of_a_package_loads_what_its_literal_all_names() -> None:
    t = tree(chain="from pkg import *", pkg__init="__all__ = ['a']", pkg__a="", pkg__b="")
    assert files(closure(t, ["chain"])) == {"chain.py", "pkg/__init__.py", "pkg/a.py"}


def test_cycles_end() -> None:
    t = tree(a="import b", b="import a")
    assert files(closure(t, ["a"])) == {"a.py", "b.py"}


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("import importlib\nimportlib.import_module(name)", "`import_module` with a computed name"),
        ("import importlib\n__import__(name)", "`__import__` with a computed name"),
        ("import os\nexec(text)", "`exec` of computed text"),
        ("import os\neval(text)", "`eval` of computed text"),
        ("import importlib\nload = importlib.import_module", "hands on `importlib.import_module`"),
        ("import sys\nsys.path.insert(0, 'lib')", "changes `sys.path`"),
        ("import sys\nsys.path += ['lib']", "changes `sys.path`"),
        ("from sys import path\npath.append('x')", "changes `sys.path`"),
        ("import pkgutil\npkgutil.walk_packages(p)", "uses `pkgutil.walk_packages`"),
        ("import importlib.util\nimportlib.util.spec_from_file_location('x', p)",
         "uses `importlib.util.spec_from_file_location`"),
        ("import os\nimport runpy", "uses `runpy`"),
        ("import os\nfrom pkg import *", "star import of a computed `__all__`"),
    ],
)  # fmt: skip
def test_what_text_cannot_tell_widens_to_all_python_files(statement: str, why: str) -> None:
    t = tree(chain=statement, far="", pkg__init="__all__ = [n for n in 'ab']", lib__foo="this is no python")
    assert closure(t, ["chain"]) == Closure(t.python_paths, (Widening("chain.py", 2, why),))


@pytest.mark.parametrize(
    "statement",
    [
        "import importlib.resources\nimportlib.resources.files('pkg')",
        "from importlib import metadata\nmetadata.version('x')",
        "import importlib, helpers\nimportlib.reload(helpers)",
        "import re\nre.compile('x')",
        "model.eval()",
        "import sys\nprint(sys.path)",
    ],
)
def test_harmless_neighbours_do_not_widen(statement: str) -> None:
    assert not closure(tree(chain=statement, helpers=""), ["chain"]).widened


def test_syntax_error_in_a_reached_file_is_a_diagnostic_with_its_place() -> None:
    with pytest.raises(DiagnosticsError) as caught:
        closure(tree(chain="import helpers", helpers="x = 1\ndef f(:\n"), ["chain"])
    (found,) = caught.value.diagnostics
    assert found.code is Code.SYNTAX_ERROR
    assert str(found.location).startswith("helpers.py:2")


def test_syntax_error_elsewhere_does_not_matter() -> None:
    assert files(closure(tree(chain="", broken="def f(:"), ["chain"])) == {"chain.py"}


def test_workspace_module_wins_over_a_library_of_the_same_name() -> None:
    assert files(closure(tree(chain="import json", json=""), ["chain"])) == {"chain.py", "json.py"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.py", "a"),
        ("a/__init__.py", "a"),
        ("a/b.py", "a.b"),
        ("a-b.py", None),
        ("a.txt", None),
        ("__init__.py", None),
    ],
)
def test_module_name(path: str, name: str | None) -> None:
    assert module_name(path) == name


def test_trees_with_equal_content_are_equal() -> None:
    assert tree(a="x") == tree(a="x")
    assert hash(tree(a="x", b="")) == hash(tree(b="", a="x"))
    assert tree(a="x") != tree(a="y")
