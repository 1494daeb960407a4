"""Colour as an addition: text that reads the same without it."""

from dataclasses import dataclass
from typing import TextIO

_RESET = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Palette:
    """Wraps text in terminal colours, or leaves it alone."""

    enabled: bool = False

    def _wrap(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}{_RESET}" if self.enabled and text else text

    def bold(self, text: str) -> str:
        return self._wrap(text, "1")

    def dim(self, text: str) -> str:
        return self._wrap(text, "2")

    def good(self, text: str) -> str:
        return self._wrap(text, "32")

    def warn(self, text: str) -> str:
        return self._wrap(text, "33")

    def bad(self, text: str) -> str:
        return self._wrap(text, "1;31")

    def accent(self, text: str) -> str:
        return self._wrap(text, "36")

    def state(self, state: str) -> str:
        """The word for a state, green when it serves, red when it does not."""
        if state in ("active", "ready"):
            return self.good(state)
        if state in ("failed", "unhealthy"):
            return self.bad(state)
        if state in ("inactive", "stopped", "deleted"):
            return self.dim(state)
        return self.warn(state)


def palette_for(stream: TextIO, color: bool | None) -> Palette:
    """Colours for this stream: as chosen, else if it is a terminal."""
    return Palette(stream.isatty() if color is None else color)


__all__ = ["Palette", "palette_for"]
