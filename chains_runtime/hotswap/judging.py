"""How heavy the step from one package to the next is, asked of the analysis."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from chains_protocol.patch import Action
from chains_runtime.hotswap.plan import CarryPlanLike, FreshPlan
from chains_runtime.package import OpenPackage


@dataclass(frozen=True)
class Judgement:
    """The lightest sufficient action, why, and what may be taken over."""

    action: Action
    reasons: tuple[str, ...] = ()
    carry: CarryPlanLike = field(default_factory=FreshPlan)


Judge = Callable[[OpenPackage, OpenPackage], Judgement]
"""The package that runs and the one to come -> judgement."""


def judge_packages(before: OpenPackage, after: OpenPackage) -> Judgement:
    """Ask `chains_analysis`; loaded with the first patch, because most replicas never get one."""
    from chains_analysis.outcome import ChainletRef
    from chains_analysis.tree import SourceTree
    from chains_analysis.verdict import judge

    spec = after.spec
    ref = ChainletRef(spec.display_name, spec.module, spec.qualname, spec.endpoint.method_name)
    verdict = judge(
        SourceTree(read_files(before.source_root)), SourceTree(read_files(after.source_root)), ref
    )
    return Judgement(verdict.action, tuple(reason.text for reason in verdict.reasons), verdict.carry)


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


__all__ = ["Judge", "Judgement", "judge_packages", "read_files"]
