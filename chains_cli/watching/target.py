"""The development deployment of a remote, as a watch session sees it."""

from collections.abc import Mapping

from chains_cli.packaging.package import ChainPackages, Package
from chains_cli.planning.events import Report
from chains_cli.planning.executor import execute
from chains_cli.planning.planner import ChainletChange, make_patch_plan
from chains_cli.remotes.remote import DEVELOPMENT, Remote
from chains_protocol.control import PackageReply
from chains_protocol.manifest import SOURCE_DIR, PackageManifest
from chains_protocol.patch import PatchOutcome


class RemoteTarget:
    """Plans a patch and carries it out, like every other change of a remote.

    Args:
        remote: where it runs.
        chain: the Chain's name.
        report: told of the steps.
        smoke: the entrypoint's input for a call before a version becomes visible.
    """

    def __init__(
        self, remote: Remote, chain: str, report: Report, smoke: Mapping[str, object] | None = None
    ) -> None:
        self._remote = remote
        self._chain = chain
        self._report = report
        self._smoke = smoke

    def running(self) -> PackageReply:
        """What runs now. Raises `DiagnosticsError` CH304 if there is no development deployment."""
        return self._remote.manifest(self._chain, DEVELOPMENT)

    def package(self, manifest: PackageManifest, known: Mapping[str, bytes]) -> Package:
        """A package that runs, with its source files; `known` contents are not asked for.

        Raises:
            DiagnosticsError: CH3xx, also if the remote does not give them back.
        """
        files = {}
        for entry in manifest.files:
            if entry.digest in known:
                files[entry.path] = known[entry.digest]
            elif entry.path.startswith(f"{SOURCE_DIR}/"):
                files[entry.path] = self._remote.blob(entry.digest)
        return Package(files, manifest)

    def patch(
        self, packages: ChainPackages, base: PackageReply, changes: Mapping[str, ChainletChange]
    ) -> PatchOutcome:
        """Bring what runs from `base` to `packages`. Raises `DiagnosticsError` CH3xx, CH4xx."""
        plan = make_patch_plan(packages, base, changes, smoke=self._smoke)
        outcome = execute(plan, packages, self._remote, self._report)
        if outcome.patch is None:
            return PatchOutcome(committed=True, version=base.version)
        return outcome.patch


__all__ = ["RemoteTarget"]
