"""What the analysis said, in the form in which a replica can use it."""

from collections.abc import Mapping

from chains_analysis import Verdict
from chains_analysis.identity import analysis_identity
from chains_cli.packaging.package import ChainPackages
from chains_protocol.digest import Digest
from chains_protocol.patch import Action, JudgedStep


def judged_steps(
    old: ChainPackages, new: ChainPackages, verdicts: Mapping[str, Verdict]
) -> dict[str, JudgedStep]:
    """By display name: the steps that change running code in place, each bound to its two packages."""
    known = {package.display_name: package.manifest.digest for package in old}
    found = {
        package.display_name: judged_step(
            verdicts[package.display_name], known[package.display_name], package.manifest.digest
        )
        for package in new
        if package.display_name in verdicts and package.display_name in known
    }
    return {name: step for name, step in found.items() if step is not None}


def judged_step(verdict: Verdict, before: Digest, after: Digest) -> JudgedStep | None:
    """What was said of the step between two packages; None if running code is not to be changed in place."""
    if verdict.action not in (Action.PATCHED, Action.RELOADED):
        return None
    return JudgedStep(
        analysis=analysis_identity(),
        before=before,
        after=after,
        action=verdict.action,
        reasons=tuple(reason.text for reason in verdict.reasons),
        shared=tuple(sorted(verdict.carry.shared)),
        modules={
            name: tuple((s.index, s.names, s.carry) for s in statements)
            for name, statements in sorted(verdict.carry.modules.items())
        },
    )


__all__ = ["judged_step", "judged_steps"]
