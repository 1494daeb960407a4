"""How heavy the step from one package to the next is, asked of the analysis."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chains_protocol.patch import Action, JudgedStep
from chains_runtime.hotswap.plan import CarryPlanLike, FreshPlan, HandedPlan
from chains_runtime.package import OpenPackage

if TYPE_CHECKING:
    from chains_analysis.cache import AnalysisCache


_GRAPHS: Final = 8
"""A replica judges one Chainlet: what runs, what is to come, and a few that were refused."""


@dataclass(frozen=True)
class Judgement:
    """The lightest sufficient action, why, and what may be taken over."""

    action: Action
    reasons: tuple[str, ...] = ()
    carry: CarryPlanLike = field(default_factory=FreshPlan)


Judge = Callable[[OpenPackage, OpenPackage], Judgement]
"""The package that runs and the one to come -> judgement."""


class PackageJudge:
    """Asks `chains_analysis`. Not for several threads at once."""

    def __init__(self) -> None:
        self._cache: AnalysisCache | None = None

    def warm_up(self, package: OpenPackage) -> None:
        """Read the package that runs, so that the first patch is as quick as the others."""
        from chains_analysis.identity import analysis_identity

        self(package, package)
        analysis_identity()

    def __call__(self, before: OpenPackage, after: OpenPackage) -> Judgement:
        from chains_analysis.cache import AnalysisCache
        from chains_analysis.outcome import ChainletRef
        from chains_analysis.tree import SourceTree
        from chains_analysis.verdict import carry_plan, judge

        if self._cache is None:
            self._cache = AnalysisCache(graphs=_GRAPHS)
        spec = after.spec
        ref = ChainletRef(spec.display_name, spec.module, spec.qualname, spec.endpoint.method_name)
        old, new = (SourceTree(read_files(package.source_root)) for package in (before, after))
        verdict = judge(old, new, ref, self._cache)
        carry = verdict.carry
        if verdict.action is Action.UNCHANGED:
            carry = carry_plan(old, new, ref, self._cache)
        return Judgement(verdict.action, tuple(reason.text for reason in verdict.reasons), carry)


def handed_over(judged: JudgedStep | None, before: str, after: str) -> Judgement | None:
    """What the author's side was told of the step between these packages; None if it has to be asked again.

    It was told by the same analysis, of the same bytes, so there would be no other answer.
    """
    if judged is None or (judged.before, judged.after) != (before, after):
        return None
    from chains_analysis.identity import analysis_identity

    if judged.analysis != analysis_identity():
        return None
    return Judgement(judged.action, judged.reasons, HandedPlan.of(judged))


def read_files(root: Path) -> dict[str, bytes]:
    """Every file below `root` by relative POSIX path; what Python keeps beside sources is left out."""
    found: dict[str, bytes] = {}
    for directory, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name != "__pycache__")
        for file in sorted(files):
            path = Path(directory, file)
            if path.is_file():
                found[path.relative_to(root).as_posix()] = path.read_bytes()
    return found


__all__ = ["Judge", "Judgement", "PackageJudge", "handed_over", "read_files"]
