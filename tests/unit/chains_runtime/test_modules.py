"""Imports inside one generation, and the view from outside."""

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from chains_runtime.hotswap.modules import ModuleTable
from chains_runtime.hotswap.plan import FreshPlan
from chains_runtime.hotswap.space import ModuleSpace

Write = Callable[..., Path]


class World:
    """A space, and which table is the running code's."""

    def __init__(self) -> None:
        self.running: ModuleTable | None = None
        self.space = ModuleSpace(lambda: self.running)
        self.space.install()

    def table(self, root: Path, plan: Any = None, previous: ModuleTable | None = None) -> ModuleTable:
        return ModuleTable(root, self.space.announce, plan, previous)


@pytest.fixture
def world() -> Iterator[World]:
    before = dict(sys.modules), list(sys.path), list(sys.meta_path)
    found = World()
    yield found
    found.space.close()
    assert {name for name in sys.modules if name.startswith("ws_")} == set()
    assert (sys.path, sys.meta_path) == (before[1], before[2])


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def files(version: str, **sources: str) -> Path:
        root = tmp_path / version
        for name, text in sources.items():
            path = root / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return root

    return files


def test_every_form_of_import_resolves_inside(world: World, write: Write) -> None:
    root = write(
        "1",
        ws_main="""
            import ws_pkg.sub.deep as deep
            import ws_pkg
            from ws_pkg import other, VALUE
            from ws_pkg.sub import *
            import json.decoder
        """,
        ws_pkg__other="""
            from . import VALUE
            from .sub.deep import NAME
            from .. import nothing
        """.replace("from .. import nothing", ""),
        ws_pkg__sub__deep="NAME = 'deep'",
    )
    (root / "ws_pkg" / "__init__.py").write_text("VALUE = 1\n")
    (root / "ws_pkg" / "sub" / "__init__.py").write_text("__all__ = ['deep', 'X']\nX = 5\n")
    main = world.table(root).load("ws_main")
    assert (main.deep.NAME, main.ws_pkg.sub.deep is main.deep, main.other.NAME) == ("deep", True, "deep")
    assert (main.VALUE, main.X, main.json.decoder.__name__) == (1, 5, "json.decoder")
    assert main.other.__package__ == "ws_pkg"
    assert main.__file__ == str(root / "ws_main.py")


def test_modules_that_import_each_other(world: World, write: Write) -> None:
    root = write(
        "1",
        ws_pkg__a="from . import b\ndef f():\n    return b.g()\n",
        ws_pkg__b="from . import a\ndef g():\n    return a.__name__\n",
    )
    (root / "ws_pkg" / "__init__.py").write_text("")
    assert world.table(root).load("ws_pkg.a").f() == "ws_pkg.a"


def test_namespace_packages_and_missing_modules(world: World, write: Write) -> None:
    root = write("1", ws_space__inner="X = 1", ws_main="import ws_space.inner\nimport ws_absent")
    table = world.table(root)
    assert table.load("ws_space.inner").X == 1
    with pytest.raises(ModuleNotFoundError, match="ws_absent"):
        table.load("ws_main")
    assert "ws_main" not in table.modules


def test_a_module_that_fails_is_tried_again(world: World, write: Write) -> None:
    root = write("1", ws_bad="raise ValueError('now')")
    table = world.table(root)
    for _ in range(2):
        with pytest.raises(ValueError, match="now"):
            table.load("ws_bad")


def test_the_workspace_wins_inside_and_foreign_modules_stay(world: World, write: Write) -> None:
    """R-02, WP-04: a file called like a module of the standard library."""
    import queue

    root = write("1", queue="MINE = 1", ws_main="import queue")
    assert world.table(root).load("ws_main").queue.MINE == 1
    assert sys.modules["queue"] is queue


def test_others_see_the_generation_of_the_running_code(world: World, write: Write) -> None:
    old = world.table(write("1", ws_mod="V = 'old'"))
    new = world.table(write("2", ws_mod="V = 'new'"))
    world.space.publish(old)
    assert importlib.import_module("ws_mod").V == "old"
    new.load("ws_mod")
    facade = sys.modules["ws_mod"]
    assert isinstance(facade, ModuleType)
    seen = []
    for running in (new, old, None):
        world.running = running
        seen.append((facade.V, vars(facade)["V"], importlib.import_module("ws_mod").V))
    assert seen == [("new",) * 3, ("old",) * 3, ("old",) * 3]
    world.space.publish(new)
    assert (facade.V, sys.path[0]) == ("new", str(tmp_root(new)))
    facade.V = "set"
    assert new.modules["ws_mod"].V == "set"
    assert str(tmp_root(old)) not in sys.path


def tmp_root(table: ModuleTable) -> Path:
    return table.source_root


def test_looking_through_sys_modules_loads_nothing(world: World, write: Write) -> None:
    new = world.table(write("2", ws_mod="raise SystemExit"))
    world.space.publish(new)
    world.space.announce("ws_mod")
    for module in list(sys.modules.values()):
        getattr(module, "__warningregistry__", None)
    assert not hasattr(sys.modules["ws_mod"], "__file__")
    world.space.prune([new])
    assert "ws_mod" not in sys.modules


def test_a_shared_module_that_loads_late_is_one_object(world: World, write: Write) -> None:
    source = {"ws_lazy": "X = []", "ws_user": "def get():\n    import ws_lazy\n    return ws_lazy.X\n"}
    old = world.table(write("1", **source))
    old.load("ws_user")
    plan = FreshPlan(shared=frozenset({"ws_lazy", "ws_user"}))
    new = world.table(write("2", **source), plan, old)
    user = new.load("ws_user")
    assert user is old.modules["ws_user"]
    assert new.load("ws_lazy").X is user.get()


def test_an_ended_table_imports_from_its_successor(world: World, write: Write) -> None:
    source = {"ws_lazy": "X = []", "ws_user": "def get():\n    import ws_lazy\n    return ws_lazy.X\n"}
    old = world.table(write("1", **source))
    old.load("ws_user")
    new = world.table(write("2", **source), FreshPlan(shared=frozenset({"ws_user", "ws_lazy"})), old)
    user = new.load("ws_user")
    old.forward_to(new)
    assert user.get() is new.load("ws_lazy").X
    assert old.modules == {}


def test_a_shared_package_shows_the_submodules_of_its_generation(world: World, write: Write) -> None:
    """The package's own code did not change, so its values survive; a module below it did."""
    main = "import ws_pkg.part\ndef get():\n    return ws_pkg.part.V, ws_pkg.KEPT\n"

    def package(version: str, value: int) -> Path:
        root = write(version, ws_main=main, ws_pkg__part=f"V = {value}")
        (root / "ws_pkg" / "__init__.py").write_text("KEPT = object()\n")
        return root

    old = world.table(package("1", 1))
    old_value, kept = old.load("ws_main").get()
    new = world.table(package("2", 2), FreshPlan(shared=frozenset({"ws_pkg"})), old)
    assert new.load("ws_main").get() == (2, kept)
    assert old.modules["ws_main"].get() == (old_value, kept) == (1, kept)
