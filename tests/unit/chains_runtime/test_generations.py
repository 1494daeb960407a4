"""Generations of code in one replica: what is kept, what is new, and who runs on which."""

import asyncio
import gc
import sys
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chains_protocol.errors import Code
from chains_protocol.patch import Action
from chains_runtime.hotswap.judging import Judge, Judgement
from chains_runtime.hotswap.plan import FreshPlan
from chains_runtime.hotswap.transactions import MAX_GENERATIONS
from chains_runtime.package import OpenPackage
from tests.unit.chains_runtime.conftest import DIGEST, Start, until
from tests.unit.chains_runtime.packages import write_package


@dataclass(frozen=True)
class Kept:
    """One statement of a plan."""

    index: int
    names: tuple[str, ...]
    carry: bool = True


@dataclass(frozen=True)
class Plan:
    shared: frozenset[str] = frozenset()
    modules: Mapping[str, tuple[Kept, ...]] = field(default_factory=dict)


def judged(action: Action = Action.PATCHED, plan: Plan | None = None, *reasons: str) -> Judge:
    def judge(before: OpenPackage, after: OpenPackage) -> Judgement:
        return Judgement(action, reasons, plan or FreshPlan())

    return judge


V1 = """
    import truss_chains as chains
    from helper import label

    class Count(chains.ChainletBase):
        def __init__(self):
            self.calls = 0
            self.loaded = object()
        async def run_remote(self) -> str:
            self.calls += 1
            return f"{label()} one {self.calls}"
"""
V2 = V1.replace("one", "two")
HELPER = """
    def label():
        return "a"
"""


async def test_patched_keeps_the_state_and_the_process(start: Start, tmp_path: Path) -> None:
    count = await start(
        write_package(tmp_path / "1", {"chain.py": V1, "helper.py": HELPER}, "Count"), judge=judged()
    )
    assert await count.value({}) == "a one 1"
    before = count.replica.newest.instance
    package = write_package(
        tmp_path / "2", {"chain.py": V2, "helper.py": HELPER.replace('"a"', '"b"')}, "Count"
    )
    reply = await count.patch(package, 2)
    assert (reply.action, reply.diagnostics) == (Action.PATCHED, ())
    after = count.replica.newest.instance
    assert after.__dict__ is before.__dict__
    assert type(after) is not type(before)
    assert await count.value({}) == "b two 2"
    assert count.replica.status().load_count == 1


async def test_requests_keep_the_version_they_are_stamped_with(start: Start, tmp_path: Path) -> None:
    count = await start(
        write_package(tmp_path / "1", {"chain.py": V1, "helper.py": HELPER}, "Count"), judge=judged()
    )
    package = write_package(tmp_path / "2", {"chain.py": V2, "helper.py": HELPER}, "Count")
    assert (await count.prepare(package, 5)).ok
    assert await count.value({}, version=4) == "a one 1"
    assert await count.value({}) == "a one 2"  # not committed: nobody but a trial call has version 5
    assert await count.value({}, version=5) == "a two 3"
    count.patcher.commit("t5")
    assert await count.value({}, version=4) == "a one 4"
    assert await count.value({}, version=9) == "a two 5"
    assert await count.value({}) == "a two 6"


async def test_abort_leaves_no_trace(start: Start, tmp_path: Path) -> None:
    count = await start(
        write_package(tmp_path / "1", {"chain.py": V1, "helper.py": HELPER}, "Count"), judge=judged()
    )
    files = {"chain.py": V2 + "    import extra\n", "helper.py": HELPER, "extra.py": ""}
    assert (await count.prepare(write_package(tmp_path / "2", files, "Count"), 2)).ok
    assert "extra" in sys.modules
    await count.patcher.abort("t2")
    await count.patcher.abort("t2")
    assert "extra" not in sys.modules
    assert await count.value({}, version=2) == "a one 1"
    assert [g.since for g in count.replica.status().generations] == [1]


async def test_reloaded_runs_init_beside(start: Start, tmp_path: Path) -> None:
    count = await start(
        write_package(tmp_path / "1", {"chain.py": V1, "helper.py": HELPER}, "Count"),
        judge=judged(Action.RELOADED, None, "init"),
    )
    await count.value({})
    package = write_package(tmp_path / "2", {"chain.py": V2, "helper.py": HELPER}, "Count")
    reply = await count.patch(package, 2)
    assert (reply.action, reply.reasons) == (Action.RELOADED, ("init",))
    assert await count.value({}) == "a two 1"
    assert await count.value({}, version=1) == "a one 2"
    assert count.replica.status().load_count == 2


async def test_what_is_too_heavy_is_refused_with_what_would_do(start: Start, tmp_path: Path) -> None:
    package = write_package(tmp_path / "1", {"chain.py": V1, "helper.py": HELPER}, "Count")
    count = await start(package, judge=judged(Action.RESTARTED, None, "why"))
    reply = await count.prepare(package, 2)
    assert (reply.ok, reply.required, reply.reasons) == (False, Action.RESTARTED, ("why",))
    assert count.replica.prepared is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"base_digest": "1" * 64}, Code.STALE_BASE), ({"since": 1, "transaction": "x"}, Code.BAD_REQUEST)],
)
async def test_a_patch_that_does_not_follow_is_refused(
    start: Start, tmp_path: Path, changes: dict[str, object], code: Code
) -> None:
    package = write_package(tmp_path / "1", {"chain.py": V1, "helper.py": HELPER}, "Count")
    count = await start(package, judge=judged())
    assert count.replica.newest.package_digest == DIGEST
    reply = await count.prepare(package, **{"since": 2, **changes})
    assert (reply.ok, [d.code for d in reply.diagnostics]) == (False, [code])


async def test_a_replica_that_drains_takes_no_patch(start: Start, tmp_path: Path) -> None:
    package = write_package(tmp_path / "1", {"chain.py": V1, "helper.py": HELPER}, "Count")
    count = await start(package, judge=judged())
    count.replica.drain()
    reply = await count.prepare(package, 2)
    assert (reply.ok, reply.required, [d.code for d in reply.diagnostics]) == (
        False,
        None,
        [Code.PATCH_REFUSED],
    )
    assert count.replica.prepared is None


BROKEN = {
    "syntax": ("def broken(:\n", Code.SYNTAX_ERROR, 1),
    "import": ("x = 1\nimport nowhere_to_be_found\n", Code.IMPORT_FAILED, 2),
    "body": ("x = 1\ny = 2\nz = x / 0\n", Code.IMPORT_FAILED, 3),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_save_changes_nothing_and_names_the_line(
    start: Start, tmp_path: Path, case: str
) -> None:
    text, code, line = BROKEN[case]
    first = write_package(tmp_path / "1", {"chain.py": V1, "helper.py": HELPER}, "Count")
    count = await start(first, judge=judged(), user_root="/home/me/proj")
    package = write_package(tmp_path / "2", {"chain.py": V2, "helper.py": text}, "Count")
    reply = await count.prepare(package, 2)
    assert not reply.ok
    (found,) = reply.diagnostics
    assert found.code is code
    assert found.location is not None
    assert (found.location.path, found.location.line) == ("/home/me/proj/helper.py", line)
    assert found.detail is not None
    assert "chains_runtime" not in found.detail
    assert await count.value({}, version=2) == "a one 1"
    assert (
        await count.prepare(write_package(tmp_path / "3", {"chain.py": V2, "helper.py": HELPER}, "Count"), 3)
    ).ok


async def test_an_init_that_fails_changes_nothing(start: Start, tmp_path: Path) -> None:
    first = write_package(tmp_path / "1", {"chain.py": V1, "helper.py": HELPER}, "Count")
    count = await start(first, judge=judged(Action.RELOADED))
    text = V2.replace("self.calls = 0", "raise SystemExit(1)")
    reply = await count.prepare(
        write_package(tmp_path / "2", {"chain.py": text, "helper.py": HELPER}, "Count"), 2
    )
    assert [d.code for d in reply.diagnostics] == [Code.INIT_FAILED]
    assert await count.value({}) == "a one 1"


async def test_a_patch_given_up_while_its_init_runs_does_not_hold_up_the_next(
    start: Start, tmp_path: Path
) -> None:
    """Its thread can't be ended: until it ends, a new process is asked for; nothing of it stays."""
    first = write_package(tmp_path / "1", {"chain.py": V1, "helper.py": HELPER}, "Count")
    count = await start(first, judge=judged(Action.RELOADED))
    began, end = tmp_path / "began", tmp_path / "end"
    hangs = (
        f"import pathlib, time; pathlib.Path({str(began)!r}).touch()\n"
        f"            while not pathlib.Path({str(end)!r}).exists(): time.sleep(0.005)\n"
        "            self.calls = 0"
    )
    text = V2.replace("self.calls = 0", hangs)
    preparing = asyncio.ensure_future(
        count.prepare(write_package(tmp_path / "2", {"chain.py": text, "helper.py": HELPER}, "Count"), 2)
    )
    await until(began.exists)

    await count.patcher.abort("t2")
    package = write_package(tmp_path / "3", {"chain.py": V2, "helper.py": HELPER}, "Count")
    meanwhile = await count.prepare(package, 3)
    async with asyncio.timeout(5):
        await count.patcher.abort("t3")
    end.touch()
    await preparing

    assert (meanwhile.ok, meanwhile.required) == (False, Action.RESTARTED)
    assert count.replica.prepared is None
    assert (await count.patch(package, 4)).ok
    assert await count.value({}) == "a two 1"


LAZY = """
    import asyncio
    import truss_chains as chains

    class Lazy(chains.ChainletBase):
        def __init__(self):
            self.gate = asyncio.Event()
        async def run_remote(self, wait: bool = False) -> str:
            if wait:
                await self.gate.wait()
            from late import WORD
            import importlib
            return f"one {WORD} {importlib.import_module('later').WORD}"
"""


async def test_an_old_call_finishes_on_old_code_also_in_a_late_import(start: Start, tmp_path: Path) -> None:
    files = {"chain.py": LAZY, "late.py": "WORD = 'old'", "later.py": "WORD = 'old'"}
    lazy = await start(write_package(tmp_path / "1", files, "Lazy"), judge=judged())
    old = asyncio.create_task(lazy.call({"wait": True}, version=1))
    await until(lambda: lazy.replica.in_flight)
    new = {"chain.py": LAZY.replace("one", "two"), "late.py": "WORD = 'new'", "later.py": "WORD = 'new'"}
    await lazy.patch(write_package(tmp_path / "2", new, "Lazy"), 2)
    assert await lazy.value({}, version=2) == "two new new"
    lazy.patcher.retire(2)
    assert [(g.number, g.in_flight) for g in lazy.replica.status().generations] == [(1, 1), (2, 0)]
    lazy.replica.newest.instance.gate.set()
    assert (await old).json() == "one old old"
    await until(lambda: not lazy.replica.in_flight)
    assert [g.number for g in lazy.replica.status().generations] == [2]


HOLDER = """
    import truss_chains as chains
    class Box:
        version = 1
    class Holder(chains.ChainletBase):
        def __init__(self):
            self.items = {"deep": [Box()]}
        async def run_remote(self) -> int:
            return self.items["deep"][0].version
"""


async def test_an_object_of_an_edited_class_in_the_state_asks_for_a_reload(
    start: Start, tmp_path: Path
) -> None:
    holder = await start(write_package(tmp_path / "1", {"chain.py": HOLDER}, "Holder"), judge=judged())
    text = HOLDER.replace("version = 1", "version = 2")
    reply = await holder.patch(write_package(tmp_path / "2", {"chain.py": text}, "Holder"), 2)
    assert reply.action is Action.RELOADED
    assert reply.reasons == ("`self.items` holds a `Box`, whose class is new",)
    assert await holder.value({}) == 2
    assert await holder.value({}, version=1) == 1


async def test_an_object_of_a_kept_class_does_not(start: Start, tmp_path: Path) -> None:
    holder = await start(
        write_package(tmp_path / "1", {"chain.py": HOLDER}, "Holder"),
        judge=judged(Action.PATCHED, Plan(modules={"chain": (Kept(1, ("Box",)),)})),
    )
    text = HOLDER.replace(".version", ".version + 10")
    reply = await holder.patch(write_package(tmp_path / "2", {"chain.py": text}, "Holder"), 2)
    assert reply.action is Action.PATCHED
    assert await holder.value({}) == 11


KEPT = """
    import truss_chains as chains
    from model import MODEL, touch

    class User(chains.ChainletBase):
        async def run_remote(self) -> list[int]:
            touch()
            return [id(MODEL), len(MODEL), 1]
"""
MODEL = """
    LOADS = []
    MODEL = [object()]
    LOADS.append(1)
    def touch():
        MODEL.append(1)
"""


async def test_module_values_survive_where_the_plan_says_so(start: Start, tmp_path: Path) -> None:
    plan = Plan(modules={"model": (Kept(0, ("LOADS",)), Kept(1, ("MODEL",)), Kept(2, ()))})
    user = await start(
        write_package(tmp_path / "1", {"chain.py": KEPT, "model.py": MODEL}, "User"),
        judge=judged(Action.PATCHED, plan),
    )
    identity, size, _ = await user.value({})
    edited = MODEL.replace("MODEL.append(1)", "MODEL.extend([1, 1])")
    await user.patch(write_package(tmp_path / "2", {"chain.py": KEPT, "model.py": edited}, "User"), 2)
    assert await user.value({}) == [identity, size + 2, 1]
    assert user.replica.newest.table.modules["model"].LOADS == [1]


async def test_shared_modules_are_the_same_objects(start: Start, tmp_path: Path) -> None:
    plan = Plan(shared=frozenset({"model"}))
    user = await start(
        write_package(tmp_path / "1", {"chain.py": KEPT, "model.py": MODEL}, "User"),
        judge=judged(Action.PATCHED, plan),
    )
    before = user.replica.newest.table.modules["model"]
    await user.patch(write_package(tmp_path / "2", {"chain.py": KEPT, "model.py": MODEL}, "User"), 2)
    assert user.replica.newest.table.modules["model"] is before
    user.patcher.retire(2)
    assert len(await user.value({})) == 3


async def test_a_traceback_shows_the_generation_that_raised(start: Start, tmp_path: Path) -> None:
    text = """
        import truss_chains as chains
        class Bad(chains.ChainletBase):
            async def run_remote(self) -> int:
                raise ValueError("first")
    """
    bad = await start(
        write_package(tmp_path / "1", {"chain.py": text}, "Bad"), judge=judged(), user_root="/me"
    )
    edited = text.replace("class Bad", "# moved\n        class Bad").replace("first", "second")
    await bad.patch(write_package(tmp_path / "2", {"chain.py": edited}, "Bad"), 2)
    (tmp_path / "1" / "packages" / "chain.py").unlink()
    frames = [
        (await bad.call({}, version=version)).json()["error"]["user_stack_trace"][0] for version in (1, 2)
    ]
    assert [(f["filename"], f["lineno"], f["line"]) for f in frames] == [
        ("/me/chain.py", 5, 'raise ValueError("first")'),
        ("/me/chain.py", 6, 'raise ValueError("second")'),
    ]


async def test_code_shared_with_a_retired_generation_shows_the_authors_path(
    start: Start, tmp_path: Path
) -> None:
    text = """
        import truss_chains as chains
        from shared_bad import fail
        class Bad(chains.ChainletBase):
            async def run_remote(self) -> int:
                return fail()
    """
    files = {"shared_bad.py": "def fail():\n    raise ValueError('here')\n"}
    plan = Plan(shared=frozenset({"shared_bad"}))
    first = write_package(tmp_path / "1", {"chain.py": text, **files}, "Bad")
    bad = await start(first, judge=judged(Action.PATCHED, plan), user_root="/me")
    edited = text.replace("return fail", "return 1 + fail")
    await bad.patch(write_package(tmp_path / "2", {"chain.py": edited, **files}, "Bad"), 2)
    bad.patcher.retire(2)
    frames = (await bad.call({})).json()["error"]["user_stack_trace"]
    assert [(f["filename"], f["line"]) for f in frames] == [
        ("/me/chain.py", "return 1 + fail()"),
        ("/me/shared_bad.py", "raise ValueError('here')"),
    ]


async def test_prepare_twice_is_answered_once(start: Start, tmp_path: Path) -> None:
    first = write_package(tmp_path / "1", {"chain.py": V1, "helper.py": HELPER}, "Count")
    count = await start(first, judge=judged(Action.RELOADED))
    package = write_package(tmp_path / "2", {"chain.py": V2, "helper.py": HELPER}, "Count")
    assert await count.prepare(package, 2) == await count.prepare(package, 2)
    count.patcher.commit("t2")
    count.patcher.commit("t2")
    assert count.replica.status().load_count == 2
    assert len(count.replica.generations) == 2


async def test_data_classes_and_models_resolve_names_in_their_own_generation(
    start: Start, tmp_path: Path
) -> None:
    """R-03: what is looked up through `sys.modules` while a generation loads is that generation's."""
    text = """
        from __future__ import annotations
        import dataclasses, pickle
        import truss_chains as chains
        from pydantic import BaseModel

        class Inner(BaseModel):
            x: int = 1

        class Outer(BaseModel):
            inner: Inner

        @dataclasses.dataclass
        class Plain:
            n: int = 1

        class Models(chains.ChainletBase):
            async def run_remote(self, outer: Outer) -> Outer:
                assert type(outer.inner) is Inner
                assert type(pickle.loads(pickle.dumps(Plain()))) is Plain
                return Outer(inner=Inner(x=outer.inner.x + 1))
    """
    models = await start(write_package(tmp_path / "1", {"chain.py": text}, "Models"), judge=judged())
    edited = text.replace("x: int = 1", "x: int = 1\n            y: int = 5")
    assert (await models.prepare(write_package(tmp_path / "2", {"chain.py": edited}, "Models"), 2)).ok
    assert await models.value({"outer": {"inner": {"x": 1}}}, version=1) == {"inner": {"x": 2}}
    assert await models.value({"outer": {"inner": {"x": 1}}}, version=2) == {"inner": {"x": 2, "y": 5}}


async def test_generations_are_bounded(start: Start, tmp_path: Path) -> None:
    """Old ones go when they are drained and retired; too many mean that a restart is due."""
    count = await start(
        write_package(tmp_path / "1", {"chain.py": V1, "helper.py": HELPER}, "Count"), judge=judged()
    )
    package = write_package(tmp_path / "2", {"chain.py": V2, "helper.py": HELPER}, "Count")
    for version in range(2, MAX_GENERATIONS + 1):
        await count.patch(package, version)
    reply = await count.prepare(package, MAX_GENERATIONS + 1)
    assert (reply.ok, reply.required) == (False, Action.RESTARTED)
    count.patcher.retire(MAX_GENERATIONS)
    assert [g.since for g in count.replica.generations] == [MAX_GENERATIONS]
    assert (await count.prepare(package, MAX_GENERATIONS + 1)).ok
    assert await count.value({}) == "a two 1"


async def test_versions_that_are_still_open_keep_their_generations(start: Start, tmp_path: Path) -> None:
    """A stream that stays open keeps its own code, not all that came after it."""
    count = await start(
        write_package(tmp_path / "1", {"chain.py": V1, "helper.py": HELPER}, "Count"), judge=judged()
    )
    package = write_package(tmp_path / "2", {"chain.py": V2, "helper.py": HELPER}, "Count")
    for version in (2, 4, 6, 8):
        await count.patch(package, version)
    count.patcher.retire(8, (1, 5))
    assert [g.since for g in count.replica.generations] == [1, 4, 8]
    assert await count.value({}, version=1) == "a one 1"
    count.patcher.retire(8)
    assert [g.since for g in count.replica.generations] == [8]


async def test_retiring_in_any_order_keeps_late_imports_working(start: Start, tmp_path: Path) -> None:
    """Code shared over several generations goes on importing after the ones it came from are gone."""
    source = """
        import truss_chains as chains
        import shared_part
        class Late(chains.ChainletBase):
            async def run_remote(self) -> str:
                return "1 " + shared_part.get()
    """
    files = {
        "shared_part.py": "def get():\n    import late_part\n    return late_part.V\n",
        "late_part.py": "V = 'v'",
    }
    plan = Plan(shared=frozenset({"shared_part", "late_part"}))
    late = await start(
        write_package(tmp_path / "1", {"chain.py": source, **files}, "Late"),
        judge=judged(Action.PATCHED, plan),
    )
    for version in (2, 3):
        edited = source.replace('"1 "', f'"{version} "')
        await late.patch(
            write_package(tmp_path / str(version), {"chain.py": edited, **files}, "Late"), version
        )
        if version == 3:
            late.patcher.retire(3)
    assert len(late.replica.generations) == 1
    assert await late.value({}) == "3 v"


# --- with the real analysis --------------------------------------------------------------------------------

REAL = """
    import truss_chains as chains
    from model import MODEL, touch

    class Box:
        n = 1

    class User(chains.ChainletBase):
        def __init__(self):
            self.box = Box()
            self.calls = 0

        async def run_remote(self) -> list[int]:
            self.calls += 1
            return [id(MODEL), self.box.n, touch(), self.calls]
"""
REAL_MODEL = """
    MODEL = [object()]
    def touch():
        return 10
"""


async def test_the_analysis_keeps_a_loaded_model_and_a_held_object(start: Start, tmp_path: Path) -> None:
    """A function beside `MODEL = ...` is edited, then the method: nothing is loaded again."""
    user = await start(write_package(tmp_path / "1", {"chain.py": REAL, "model.py": REAL_MODEL}, "User"))
    identity, _, _, _ = await user.value({})
    steps = (
        (REAL, REAL_MODEL.replace("10", "11")),
        (REAL.replace("+= 1", "+= 5"), REAL_MODEL.replace("10", "11")),
    )
    for version, (chain, model) in enumerate(steps, start=2):
        package = write_package(tmp_path / str(version), {"chain.py": chain, "model.py": model}, "User")
        reply = await user.patch(package, version)
        assert reply.action is Action.PATCHED, reply
        user.patcher.retire(version)
    assert await user.value({}) == [identity, 1, 11, 6]
    assert user.replica.status().load_count == 1


async def test_the_analysis_and_the_replica_agree_on_an_edited_class_in_the_state(
    start: Start, tmp_path: Path
) -> None:
    user = await start(write_package(tmp_path / "1", {"chain.py": REAL, "model.py": REAL_MODEL}, "User"))
    await user.value({})
    edited = {"chain.py": REAL.replace("n = 1", "n = 2"), "model.py": REAL_MODEL}
    reply = await user.patch(write_package(tmp_path / "2", edited, "User"), 2)
    assert reply.action is Action.RELOADED
    assert (await user.value({}))[1:] == [2, 10, 1]


async def test_a_change_of_nothing_is_still_a_generation(start: Start, tmp_path: Path) -> None:
    """Another package digest (data, a comment): everything is shared, the digest is the new one."""
    user = await start(write_package(tmp_path / "1", {"chain.py": REAL, "model.py": REAL_MODEL}, "User"))
    first = user.replica.newest
    commented = {"chain.py": REAL.replace("class Box", "# a comment\n    class Box"), "model.py": REAL_MODEL}
    reply = await user.patch(write_package(tmp_path / "2", commented, "User"), 2)
    assert reply.action is Action.PATCHED
    assert user.replica.newest.package_digest == f"{2:064x}"
    assert user.replica.newest.instance.__dict__ is first.instance.__dict__
    assert (await user.value({}))[1:] == [1, 10, 1]


async def test_a_retired_generation_is_freed(start: Start, tmp_path: Path) -> None:
    """Nothing of ours holds on to old code: its modules and classes go with it."""
    count = await start(
        write_package(tmp_path / "1", {"chain.py": V1, "helper.py": HELPER}, "Count"), judge=judged()
    )
    await count.value({})
    gone = weakref.ref(count.replica.newest.code), weakref.ref(count.replica.newest)
    await count.patch(write_package(tmp_path / "2", {"chain.py": V2, "helper.py": HELPER}, "Count"), 2)
    count.patcher.retire(2)
    assert await count.value({}) == "a two 2"
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


@pytest.mark.parametrize("statement", ["import helper", "from helper import label", "import pkg.helper"])
async def test_a_module_that_is_gone_can_not_be_imported_though_the_former_generation_has_it(
    start: Start, tmp_path: Path, statement: str
) -> None:
    code = """
        import truss_chains as chains
        {statement}

        class Count(chains.ChainletBase):
            async def run_remote(self) -> str:
                return "{answer}"
    """
    files = {"helper.py": HELPER, "pkg/__init__.py": "", "pkg/helper.py": HELPER}
    one, two = (code.format(statement=statement, answer=answer) for answer in ("one", "two"))
    count = await start(write_package(tmp_path / "1", {"chain.py": one, **files}, "Count"), judge=judged())

    reply = await count.prepare(write_package(tmp_path / "2", {"chain.py": two}, "Count"), 2)

    assert (reply.ok, reply.required) == (False, Action.RESTARTED)
    assert reply.reasons[0].startswith("the module `")
    assert await count.value({}) == "one"


CLOSURES = """
    import truss_chains as chains

    def scaler(by):
        def scale(n):
            return n * by
        return scale

    class Count(chains.ChainletBase):
        def __init__(self):
            self.scale = scaler(3)
        async def run_remote(self, n: int) -> int:
            return self.scale(n) + 1
"""


@pytest.mark.parametrize(
    ("edit", "action", "answer"),
    [
        (("(n) + 1", "(n) + 2"), Action.PATCHED, 8),
        (("n * by", "n * by * 2"), Action.RELOADED, 13),
        (("scaler(3)", "(lambda: lambda n: n)()"), Action.RELOADED, 3),
    ],
)
async def test_a_closure_of_a_function_that_is_kept_may_stay_in_the_state(
    start: Start, tmp_path: Path, edit: tuple[str, str], action: Action, answer: int
) -> None:
    """Judged by the analysis: what made the closure did not change, so its code is what it would be now."""
    count = await start(write_package(tmp_path / "1", {"chain.py": CLOSURES}, "Count"))
    reply = await count.patch(
        write_package(tmp_path / "2", {"chain.py": CLOSURES.replace(*edit)}, "Count"), 2
    )
    assert (reply.action, await count.value({"n": 2})) == (action, answer)


async def test_a_closure_of_a_method_goes_with_its_class(start: Start, tmp_path: Path) -> None:
    source = CLOSURES.replace("scaler(3)", "lambda n: n * 3")
    count = await start(write_package(tmp_path / "1", {"chain.py": source}, "Count"))
    edited = source.replace("(n) + 1", "(n) + 2")
    reply = await count.patch(write_package(tmp_path / "2", {"chain.py": edited}, "Count"), 2)
    assert (reply.action, await count.value({"n": 2})) == (Action.RELOADED, 8)


HELD = """
    import collections, itertools
    import truss_chains as chains
    import helper

    def keyworded(make):
        def use(*, make=make):
            return make()
        return use

    class Count(chains.ChainletBase):
        async def run_remote(self) -> str:
            if not hasattr(self, "held"):
                self.held = HELD
            return READ

        def spare(self) -> int:
            return 1
"""
LABEL = """
    def label(n=0):
        return "a"
"""


@pytest.mark.parametrize(
    ("held", "read"),
    [
        ("map(helper.label, itertools.count())", "next(self.held)"),
        ("enumerate(helper.label(n) for n in itertools.count())", "next(self.held)[1]"),
        ("itertools.chain.from_iterable(helper.label(n) for n in itertools.count())", "next(self.held)"),
        ("collections.defaultdict(helper.label)", "self.held.pop(1, '') or self.held[1]"),
        ("keyworded(helper.label)", "self.held()"),
        ("helper", "self.held.label()"),
    ],
)
async def test_old_code_is_found_wherever_the_state_keeps_it(
    start: Start, tmp_path: Path, held: str, read: str
) -> None:
    """A call put it there, so only the replica can see it."""
    chain = HELD.replace("HELD", held).replace("READ", read)
    count = await start(write_package(tmp_path / "1", {"chain.py": chain, "helper.py": LABEL}, "Count"))
    assert await count.value({}) == "a"
    edited = LABEL.replace('"a"', '"b"')
    reply = await count.patch(
        write_package(tmp_path / "2", {"chain.py": chain, "helper.py": edited}, "Count"), 2
    )
    assert (reply.action, await count.value({})) == (Action.RELOADED, "b"), reply
    assert "`self.held` holds" in reply.reasons[-1]


async def test_a_held_module_that_did_not_change_may_stay(start: Start, tmp_path: Path) -> None:
    chain = HELD.replace("HELD", "(helper, collections)").replace("READ", "self.held[0].label()")
    count = await start(write_package(tmp_path / "1", {"chain.py": chain, "helper.py": LABEL}, "Count"))
    await count.value({})
    edited = chain.replace("return 1", "return 2")
    reply = await count.patch(
        write_package(tmp_path / "2", {"chain.py": edited, "helper.py": LABEL}, "Count"), 2
    )
    assert (reply.action, await count.value({})) == (Action.PATCHED, "a"), reply


CACHED = """
    import functools

    def said(function):
        @functools.wraps(function)
        def use():
            return function()
        return use

    @functools.cache
    def first():
        return object()

    @said
    def second():
        return 1

    def label():
        return "a"
"""


async def test_decorated_functions_beside_an_edit_are_kept(start: Start, tmp_path: Path) -> None:
    """What `functools.cache` and `functools.wraps` wrap bears the name of the wrapper."""
    chain = HELD.replace("HELD", "1").replace("READ", "f'{id(helper.first())} {helper.label()}'")
    count = await start(write_package(tmp_path / "1", {"chain.py": chain, "helper.py": CACHED}, "Count"))
    before = await count.value({})
    edited = CACHED.replace('"a"', '"b"')
    reply = await count.prepare(
        write_package(tmp_path / "2", {"chain.py": chain, "helper.py": edited}, "Count"), 2
    )
    assert (reply.ok, reply.action) == (True, Action.PATCHED), reply
    count.patcher.commit("t2")
    assert await count.value({}) == before.replace(" a", " b")
