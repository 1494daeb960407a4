"""Removes what nobody needs any more: packages, blobs, logs, old rows. Runs now and then."""

import asyncio
import shutil
from pathlib import Path
from typing import Final

from chains_platform import changes
from chains_platform.parts import Parts
from chains_platform.rounds import Rounds
from chains_platform.state import DeploymentRecord
from chains_platform.store.writer import Writer
from chains_protocol.control import DeploymentState, GcReply, GcRequest
from chains_protocol.manifest import PackageManifest

_EVERY_S: Final = 3600.0
_KEPT_LOGS: Final = 50
"""Replicas a deployment whose logs are kept after they are gone."""
_KEPT_EVENTS: Final = 100_000
_KEPT_FILES_S: Final = 7 * 24 * 3600.0
"""Unused packages and blobs stay a week: the next push may well want them again."""


class Housekeeping:
    """What it removes is only what no record refers to. `rounds` tidies up over and over."""

    def __init__(self, parts: Parts, writer: Writer, replicas: Path) -> None:
        self._ledger = parts.ledger
        self._engine = parts.engine
        self._blobs = parts.blobs
        self._clock = parts.clock
        self._writer = writer
        self._replicas = replicas
        self.rounds = Rounds(self.tidy, _EVERY_S)

    async def tidy(self) -> None:
        """One round."""
        gone = set(changes.surplus_log_sources(self._ledger.state, _KEPT_LOGS))
        self._ledger.apply(lambda s: s.without_log_sources(gone))
        state = self._ledger.state
        known = set(state.log_sources) | set(state.replicas)
        await self.collect(GcRequest(older_than_s=_KEPT_FILES_S))
        await asyncio.to_thread(_remove_others, self._replicas, known)
        await self._writer.read(lambda store: store.prune_events(_KEPT_EVENTS))
        await self._writer.read(lambda store: store.prune_packages())

    async def collect(self, request: GcRequest) -> GcReply:
        """Remove packages, blobs and environments that no deployment refers to.

        What was sent or wanted a moment ago may belong to a push that is under way, so only
        what is older goes.
        """
        state = self._ledger.state
        packages = [p for d in state.deployments.values() for p in _needed(d)]
        packages += [s.package for s in state.sets.values()]
        older_than = self._clock() - request.older_than_s
        trees, blobs = await asyncio.to_thread(
            self._blobs.collect, packages, older_than, dry_run=request.dry_run
        )
        specs = {p.environment for p in packages}
        environments = await asyncio.to_thread(
            self._engine.collect_environments, specs, older_than, dry_run=request.dry_run
        )
        return GcReply(
            environments=environments.count,
            packages=trees.count,
            blobs=blobs.count,
            freed_bytes=environments.freed_bytes + blobs.freed_bytes,
            kept_environments=len(specs),
        )


def _needed(record: DeploymentRecord) -> tuple[PackageManifest, ...]:
    """What a deployment may still need: one that is deleted will never start again."""
    if record.state is DeploymentState.DELETED:
        return ()
    return (*record.packages, *(p for v in record.versions for p in v.packages))


def _remove_others(directory: Path, known: set[str]) -> None:
    """A replica's directory is made after its record, so one without a record is old."""
    for path in directory.iterdir():
        if path.name not in known:
            shutil.rmtree(path, ignore_errors=True)


__all__ = ["Housekeeping"]
