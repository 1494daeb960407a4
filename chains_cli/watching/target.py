"""The development deployment of a remote, as a watch session sees it."""

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress

from chains_cli.packaging.package import ChainPackages, Package
from chains_cli.planning.events import Report
from chains_cli.planning.executor import execute
from chains_cli.planning.planner import ChainletChange, make_patch_plan
from chains_cli.remotes.remote import DEVELOPMENT, Remote
from chains_protocol.control import PackageReply
from chains_protocol.errors import DiagnosticsError
from chains_protocol.manifest import SOURCE_DIR, PackageManifest
from chains_protocol.patch import PatchOutcome


class RemoteTarget:
    """Plans a patch and carries it out, like every other change of a remote.

    Args:
        remote: where it runs.
        chain: the Chain's name.
        report: told of the steps.
        smoke: the entrypoint's input for a call before a version becomes visible.
        new_id: makes a name that nothing had before.
    """

    def __init__(
        self,
        remote: Remote,
        chain: str,
        report: Report,
        smoke: Mapping[str, object] | None = None,
        new_id: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._remote = remote
        self._chain = chain
        self._report = report
        self._smoke = smoke
        self._new_id = new_id
        self._attempt = ""

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
        self._attempt = self._new_id()
        plan = make_patch_plan(packages, base, changes, smoke=self._smoke, attempt=self._attempt)
        try:
            outcome = execute(plan, packages, self._remote, self._report)
        finally:
            self._attempt = ""
        if outcome.patch is None:
            return PatchOutcome(committed=True, version=base.version)
        return outcome.patch

    def give_up(self) -> None:
        """End the patch that is under way in another thread, if there is one that can be ended."""
        if attempt := self._attempt:
            with suppress(DiagnosticsError):  # the patch itself will say so
                self._remote.give_up(self._chain, attempt)


__all__ = ["RemoteTarget"]
