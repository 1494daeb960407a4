"""What the analysis said, in the form in which a replica can use it."""

from collections.abc import Iterator, Mapping

from chains_analysis import Verdict
from chains_analysis.identity import analysis_identity
from chains_cli.packaging.package import ChainPackages
from chains_protocol.patch import Action, JudgedStep


def judged_steps(
    old: ChainPackages, new: ChainPackages, verdicts: Mapping[str, Verdict]
) -> dict[str, JudgedStep]:
    """By display name: the steps that change running code in place, each bound to its two packages."""
    return dict(_steps(old, new, verdicts))


def _steps(
    old: ChainPackages, new: ChainPackages, verdicts: Mapping[str, Verdict]
) -> Iterator[tuple[str, JudgedStep]]:
    known = {package.display_name: package.manifest.digest for package in old}
    for package in new:
        verdict, before = verdicts.get(package.display_name), known.get(package.display_name)
        if verdict is None or before is None or verdict.action not in (Action.PATCHED, Action.RELOADED):
            continue
        yield (
            package.display_name,
            JudgedStep(
                analysis=analysis_identity(),
                before=before,
                after=package.manifest.digest,
                action=verdict.action,
                reasons=tuple(reason.text for reason in verdict.reasons),
                shared=tuple(sorted(verdict.carry.shared)),
                modules={
                    name: tuple((s.index, s.names, s.carry) for s in statements)
                    for name, statements in sorted(verdict.carry.modules.items())
                },
            ),
        )


__all__ = ["judged_steps"]
