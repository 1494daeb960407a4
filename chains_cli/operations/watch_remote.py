"""What a watch does when its remote is lost, or when somebody else changes what runs."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from chains_cli import events
from chains_cli.events import Report
from chains_cli.remotes.remote import DEVELOPMENT, Remote
from chains_cli.watching.observer import EVERY_S, Back, Lost, Observation, Observer
from chains_cli.watching.session import WatchSession
from chains_protocol.control import Event, EventKind
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Severity


@dataclass(slots=True)
class Companion:
    """Handles observations between rounds, in the thread of the rounds.

    What is built is told at once, in the thread of the observer. `has_unsent` tells whether the last
    round could not reach the remote.
    """

    session: WatchSession
    remote: Remote
    chain: str
    report: Report
    has_unsent: Callable[[], bool]
    every_s: float = EVERY_S
    _observer: Observer | None = None

    @contextmanager
    def observing(self) -> Iterator[None]:
        """Observe while the body runs, in the running event loop."""
        loop = asyncio.get_running_loop()

        def tell(observation: Observation) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.handle, observation)

        observer = self._observer = Observer(self._look, tell, self.every_s)
        observer.start()
        try:
            yield
        finally:
            observer.stop()

    def after_round(self) -> None:
        """What could not be sent is sent once the remote answers, however short it was away."""
        if self._observer is not None and self.has_unsent():
            self._observer.doubt()

    def _look(self, seen: int) -> int:
        """The newest event of the development deployment."""
        newest = seen
        for event in self.remote.events(self.chain, DEVELOPMENT, after=seen, follow=False):
            newest = max(newest, event.id)
            if seen:  # before the first look others were told
                self._tell_build(event)
        return newest

    def _tell_build(self, event: Event) -> None:
        """An environment may take minutes, and the round is in the middle of it."""
        chainlet = event.chainlet or ""
        if event.kind is EventKind.BUILD_STARTED:
            self.report(events.Step(f"building the environment of {chainlet} ({event.message})"))
        elif event.kind is EventKind.BUILD_OUTPUT:
            self.report(events.BuildOutput(chainlet, event.message))

    def handle(self, observation: Observation) -> None:
        """Say what happened, and bring the deployment up to date if that was not possible before."""
        try:
            match observation:
                case Lost(error):
                    self._lost(error)
                case Back():
                    self.report(events.Step(f"{self.remote.name} can be reached again"))
                    if not self._is_overtaken() and self.has_unsent():
                        self.session.catch_up()
                        self.after_round()
                case _:
                    self._is_overtaken()
        except DiagnosticsError as error:  # the next look, or the next save, will say it again
            self.after_round()
            for diagnostic in error.diagnostics:
                self.report(events.Found(diagnostic.model_copy(update={"severity": Severity.WARNING})))

    def _lost(self, error: DiagnosticsError) -> None:
        warning = error.diagnostics[0].model_copy(
            update={
                "severity": Severity.WARNING,
                "help": "it is tried again until it answers; saves made meanwhile are sent then",
            }
        )
        self.report(events.Found(warning))

    def _is_overtaken(self) -> bool:
        if not self.session.look():
            return False
        version = self.session.state.base.version
        diagnostic = Diagnostic(
            code=Code.STALE_BASE,
            severity=Severity.WARNING,
            message=f"version {version} runs now, which this watch did not make",
            help=f"the next save replaces it; `chains history {self.chain}` shows what happened",
        )
        self.report(events.Found(diagnostic))
        return True


__all__ = ["Companion"]
