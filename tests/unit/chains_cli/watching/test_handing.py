"""What a watch hands over is what the replica would have found out itself."""

from pathlib import Path

import pytest

from chains_analysis import AnalysisCache
from chains_analysis.identity import analysis_identity
from chains_cli.packaging.package import Package
from chains_cli.packaging.reader import WorkspaceReader
from chains_cli.watching.decide import judge_sources
from chains_cli.watching.handing import judged_steps
from chains_protocol.patch import Action, JudgedStep
from chains_runtime.hotswap.judging import Judgement, PackageJudge, handed_over
from chains_runtime.package import OpenPackage, open_package
from tests.unit.chains_cli.watching.fakes import CHAIN, TEXT, build, chain


def write(package: Package, root: Path) -> OpenPackage:
    for path, data in package.files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return open_package(root)


def facts(judgement: Judgement) -> object:
    plan = judgement.carry
    statements = {
        name: [(s.index, tuple(s.names), s.carry) for s in found] for name, found in plan.modules.items()
    }
    return judgement.action, judgement.reasons, frozenset(plan.shared), statements


@pytest.mark.parametrize(
    ("chain_py", "text_py", "actions"),
    [
        (CHAIN, TEXT.replace("strip", "lower"), {"Model": Action.PATCHED}),
        (CHAIN.replace('"> "', '">> "'), TEXT, {"Glue": Action.PATCHED}),
        (CHAIN.replace("LIMIT = 3", "LIMIT = 4"), TEXT, {"Model": Action.RELOADED}),
        (CHAIN.replace("LIMIT = 3", "LIMIT = 3\nchains.wild()"), TEXT, {}),
        (CHAIN + "\n# nothing\n", TEXT, {}),
    ],
    ids=["a function", "a method", "what `__init__` reads", "an effect", "a comment"],
)
def test_the_replica_is_told_what_it_would_judge(
    tmp_path: Path, chain_py: str, text_py: str, actions: dict[str, Action]
) -> None:
    root = tmp_path / "work"
    root.mkdir()
    (root / "chain.py").write_text(CHAIN)
    (root / "text.py").write_text(TEXT)
    before = build(chain(root), WorkspaceReader(root))
    (root / "chain.py").write_text(chain_py)
    (root / "text.py").write_text(text_py)
    after = build(chain(root), WorkspaceReader(root))

    steps = judged_steps(before, after, judge_sources(before, after, AnalysisCache()))

    assert {name: step.action for name, step in steps.items()} == actions
    for name, step in steps.items():
        sent = JudgedStep.model_validate_json(step.model_dump_json())
        old, new = before.package(name), after.package(name)
        told = handed_over(sent, old.manifest.digest, new.manifest.digest)
        own = PackageJudge()(write(old, tmp_path / name / "1"), write(new, tmp_path / name / "2"))
        assert told is not None
        assert facts(told) == facts(own)


@pytest.mark.parametrize("other", ["analysis", "before", "after"])
def test_what_was_told_of_something_else_counts_for_nothing(other: str) -> None:
    step = JudgedStep(analysis=analysis_identity(), before="1" * 64, after="2" * 64, action=Action.PATCHED)
    assert handed_over(step, "1" * 64, "2" * 64) is not None

    assert handed_over(step.model_copy(update={other: "3" * 64}), "1" * 64, "2" * 64) is None
    assert handed_over(None, "1" * 64, "2" * 64) is None
