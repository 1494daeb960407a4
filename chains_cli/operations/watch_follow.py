"""Rounds of a watch: one save after the other, until the user ends it."""

import asyncio
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from chains_cli import events
from chains_cli.events import Report
from chains_cli.operations.watch_remote import Companion
from chains_cli.packaging.ignore import TRUSS_IGNORE
from chains_cli.watching.newer import Newer
from chains_cli.watching.session import WatchSession
from chains_cli.watching.snapshot import Snapshot, WatchRoot
from chains_protocol.spec import ChainSpec

Saves = Callable[[Snapshot], AsyncGenerator[tuple[Path, ...], None]]
"""Bursts of files whose content changed since the snapshot, until the user ends it."""


@dataclass(frozen=True, slots=True)
class Follower:
    """Makes a round of each save.

    Args:
        session: makes them.
        companion: tells what happens elsewhere meanwhile.
        roots: the directories that a Chain is made of.
        saves: where saves come from.
        report: told what happens.
    """

    session: WatchSession
    companion: Companion
    roots: Callable[[ChainSpec], tuple[WatchRoot, ...]]
    saves: Saves
    report: Report

    def run(self, snapshot: Snapshot) -> None:
        """Until the user ends it, or there are no more saves."""
        with suppress(KeyboardInterrupt), _interrupted_at_once():  # the way to end it (P-15)
            asyncio.run(self._run(snapshot))

    async def _run(self, snapshot: Snapshot) -> None:
        self._say_watching(snapshot)
        following: Snapshot | None = snapshot
        with self.companion.observing():
            while following is not None:
                following = await self._rounds(following)

    def _say_watching(self, snapshot: Snapshot) -> None:
        base, chain = self.session.state.base, self.session.state.packages.chain_name
        paths = tuple(str(root.path) for root in snapshot.roots)
        self.report(events.Watching(chain, base.deployment, base.version, paths))

    def _say_slow(self) -> None:
        self.report(events.Step("this takes a while; saving the file again, or Ctrl-C, gives it up"))

    async def _rounds(self, snapshot: Snapshot) -> Snapshot | None:
        """Rounds until the Chain is made of other directories; what to go on with, or None at the end."""
        spec = self.session.state.spec
        newer = Newer(snapshot.known, self.session.give_up, self._say_slow)
        async with aclosing(self.saves(snapshot)) as saves:
            async for changed in saves:
                self._round(changed, snapshot, newer)
                rules = any(path.name == TRUSS_IGNORE for path in changed)
                if rules or self.session.state.spec != spec:
                    spec = self.session.state.spec
                    roots = self.roots(spec)
                    if rules or [r.path for r in roots] != [r.path for r in snapshot.roots]:
                        return snapshot.with_roots(roots)
        return None

    def _round(self, changed: tuple[Path, ...], snapshot: Snapshot, newer: Newer) -> None:
        """One round; another one at once if its files were saved again while it ran."""
        is_newer, looked_at = True, changed
        while is_newer:
            with newer.looking(looked_at):
                self.session.run_round(changed)
            self.companion.after_round()
            if is_newer := newer.is_found:
                snapshot.changed(changed)  # the next round reads them as they are now
                # A log that goes on growing, be it our own output, must not give every round up.
                looked_at = tuple(path for path in changed if path.suffix == ".py")


@contextmanager
def _interrupted_at_once() -> Iterator[None]:
    """Let Ctrl-C end a round in the middle.

    With Python's own handler in place, asyncio takes it over, and waits until the round, which
    blocks its loop, is done.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


__all__ = ["Follower", "Saves"]
