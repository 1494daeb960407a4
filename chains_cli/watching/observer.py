"""Looks every now and then whether somebody else changed the deployment, and whether it can be reached."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chains_protocol.errors import Code, DiagnosticsError

EVERY_S: Final = 1.0
LONGEST_S: Final = 15.0
"""Between two looks; the first while all is well, up to the second while nothing answers."""


@dataclass(frozen=True, slots=True)
class News:
    """Something happened to the deployment."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The remote can't be reached; told once."""

    error: DiagnosticsError


@dataclass(frozen=True, slots=True)
class Back:
    """It can be reached again; also after a loss that was over before the next look."""


Observation = News | Lost | Back
Look = Callable[[int], int]
"""The id of the newest event that was seen -> the newest there is. Raises `DiagnosticsError`."""


class Observer:
    """A thread of its own, since a look may take long; `tell` is called in it.

    Args:
        look: asks the remote.
        tell: told of each observation.
        every_s: seconds between two looks.
    """

    def __init__(self, look: Look, tell: Callable[[Observation], None], every_s: float = EVERY_S) -> None:
        self._look = look
        self._tell = tell
        self._every_s = every_s
        self._stop = threading.Event()
        self._doubt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chains-observer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends it; a look that is under way is not waited for."""
        self._stop.set()

    def doubt(self) -> None:
        """Something could not be sent: whoever sent it waits for the next look that succeeds."""
        self._doubt.set()

    def _run(self) -> None:
        seen: int | None = None
        is_lost = False
        pause_s = self._every_s
        while not self._stop.is_set():
            try:
                newest = self._look(seen or 0)
            except DiagnosticsError as error:
                if any(d.code is Code.REMOTE_UNREACHABLE for d in error.diagnostics) and not is_lost:
                    is_lost = True
                    self._say(Lost(error))
                pause_s = min(pause_s * 2, LONGEST_S)
            else:
                pause_s = self._every_s
                if is_lost or self._doubt.is_set():
                    self._doubt.clear()
                    self._say(Back())
                elif seen is not None and newest > seen:
                    self._say(News())
                is_lost, seen = False, newest
            self._stop.wait(pause_s)

    def _say(self, observation: Observation) -> None:
        if not self._stop.is_set():
            self._tell(observation)


__all__ = ["Back", "Lost", "News", "Observation", "Observer"]
