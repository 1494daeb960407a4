"""A replica asks the analysis once more only if it was not told what that said."""

from pathlib import Path

import pytest

from chains_analysis.identity import analysis_identity
from chains_protocol.patch import Action, JudgedStep
from chains_runtime.hotswap.judging import Judgement
from chains_runtime.package import OpenPackage
from tests.unit.chains_runtime.conftest import DIGEST, Start
from tests.unit.chains_runtime.packages import write_package

V1 = """
    import truss_chains as chains

    KEPT = object()

    class Count(chains.ChainletBase):
        async def run_remote(self) -> tuple[str, int]:
            return "one", id(KEPT)
"""
NEXT = f"{2:064x}"


def step(**changes: object) -> JudgedStep:
    """The method changed; the other statements are kept."""
    statements = ((0, ("chains",), True), (1, ("KEPT",), True), (2, ("Count",), False))
    known = JudgedStep(
        analysis=analysis_identity(),
        before=DIGEST,
        after=NEXT,
        action=Action.PATCHED,
        reasons=("told",),
        modules={"chain": statements},
    )
    return known.model_copy(update=changes)


class Asked:
    """A judge that counts."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, before: OpenPackage, after: OpenPackage) -> Judgement:
        self.times += 1
        return Judgement(Action.PATCHED, ("asked",))


async def test_what_was_told_is_carried_out(start: Start, tmp_path: Path) -> None:
    judge = Asked()
    count = await start(write_package(tmp_path / "1", {"chain.py": V1}, "Count"), judge=judge)
    _, kept = await count.value({})

    edited = write_package(tmp_path / "2", {"chain.py": V1.replace("one", "two")}, "Count")
    reply = await count.prepare(edited, 2, judged=step())
    count.patcher.commit("t2")

    assert (reply.ok, reply.action, reply.reasons, judge.times) == (True, Action.PATCHED, ("told",), 0)
    assert await count.value({}) == ["two", kept]


@pytest.mark.parametrize(
    "changes",
    [{"analysis": "3.9-of-others"}, {"before": "1" * 64}, {"after": "1" * 64}],
    ids=["by another analysis", "of another package that runs", "of another next package"],
)
async def test_what_was_told_of_another_step_is_asked_again(
    start: Start, tmp_path: Path, changes: dict[str, str]
) -> None:
    judge = Asked()
    count = await start(write_package(tmp_path / "1", {"chain.py": V1}, "Count"), judge=judge)

    reply = await count.prepare(
        write_package(tmp_path / "2", {"chain.py": V1}, "Count"), 2, judged=step(**changes)
    )

    assert (reply.ok, reply.reasons, judge.times) == (True, ("asked",), 1)


async def test_the_replica_still_looks_at_its_own_state(start: Start, tmp_path: Path) -> None:
    """What only it can see may need more than what was told."""
    holding = (
        V1.replace("KEPT = object()", "class Kept: pass")
        .replace("async def", "def __init__(self):\n            self.kept = Kept()\n        async def")
        .replace("id(KEPT)", "1")
    )
    count = await start(write_package(tmp_path / "1", {"chain.py": holding}, "Count"), judge=Asked())
    none_kept = {"chain": tuple((n, (), False) for n in range(3))}

    reply = await count.prepare(
        write_package(tmp_path / "2", {"chain.py": holding}, "Count"), 2, judged=step(modules=none_kept)
    )

    assert (reply.ok, reply.action) == (True, Action.RELOADED)
    assert count.replica.load_count == 2
