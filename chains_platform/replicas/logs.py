"""Replicas' log files as streams of `LogLine`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chains_platform.ledger import Ledger
from chains_platform.state import LogSource, State
from chains_protocol.control import LogLine

STREAMS: Final = ("stdout", "stderr")
_POLL_S: Final = 0.2
_MAX_LINE: Final = 64 * 1024
_CHUNK: Final = 256 * 1024


@dataclass
class _Tail:
    """One file, read from the start and on as it grows."""

    source: LogSource
    stream: str
    path: Path
    position: int = 0
    rest: bytes = b""

    def read(self, at: Callable[[Path], float]) -> list[LogLine]:
        """The complete lines since the last call, at most one chunk."""
        try:
            size = self.path.stat().st_size
            if size < self.position:  # cut: begin again
                self.position, self.rest = 0, b""
            if size == self.position:
                return []
            with self.path.open("rb") as file:
                file.seek(self.position)
                data = file.read(_CHUNK)
        except FileNotFoundError:
            return []
        self.position += len(data)
        *lines, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > _MAX_LINE:
            lines.append(self.rest)
            self.rest = b""
        when = at(self.path)
        return [self._line(line, when) for line in lines]

    def finish(self, at: Callable[[Path], float]) -> list[LogLine]:
        """The last line, if it has no end."""
        rest, self.rest = self.rest, b""
        return [self._line(rest, at(self.path))] if rest else []

    def _line(self, data: bytes, at: float) -> LogLine:
        return LogLine(
            at=at,
            chainlet=self.source.display_name,
            replica_id=self.source.replica_id,
            stream=self.stream,
            text=data.decode(errors="replace").rstrip("\r"),
        )


class Logs:
    """Reads what the engine's replicas wrote; never writes."""

    def __init__(self, ledger: Ledger, log_dir: Callable[[str], Path], clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._log_dir = log_dir
        self._clock = clock
        self._closed = False

    async def stream(
        self, deployment: str, chainlet: str | None, since: float, follow: bool
    ) -> AsyncIterator[LogLine | None]:
        """Lines of all replicas that a deployment has or had.

        Args:
            deployment: its id.
            chainlet: only of the Chainlet with this display name, if given.
            since: only of files written to since then, Unix seconds.
            follow: go on with lines to come; None is yielded when there are none right now.

        A replica's output carries no times: `at` is when its file was last written, and for
        lines that are followed when they were seen.
        """
        tails: dict[Path, _Tail] = {}
        is_first = True
        while True:
            known = len(tails)
            tails = self._open(deployment, chainlet) | tails
            found = await asyncio.to_thread(self._read, list(tails.values()), is_first)
            for line in found:
                if line.at >= since:
                    yield line
            if found or len(tails) > known:
                continue
            if not follow or self._closed:
                for line in (last for tail in tails.values() for last in tail.finish(_modified)):
                    yield line
                return
            is_first = False
            yield None
            await asyncio.sleep(_POLL_S)

    def close(self) -> None:
        """End the streams that follow."""
        self._closed = True

    def _open(self, deployment: str, chainlet: str | None) -> dict[Path, _Tail]:
        found = (
            _Tail(source, stream, self._log_dir(source.replica_id) / f"{stream}.log")
            for source in sources(self._ledger.state, deployment, chainlet)
            for stream in STREAMS
        )
        return {tail.path: tail for tail in found}

    def _read(self, tails: Iterable[_Tail], is_first: bool) -> list[LogLine]:
        at = _modified if is_first else self._seen
        return [line for tail in tails for line in tail.read(at)]

    def _seen(self, _: Path) -> float:
        return self._clock()


def sources(state: State, deployment: str, chainlet: str | None) -> tuple[LogSource, ...]:
    """The replicas whose logs belong to a deployment, oldest first."""
    found = (
        s
        for s in state.log_sources.values()
        if deployment in s.deployments and chainlet in (None, s.display_name)
    )
    return tuple(sorted(found, key=lambda s: (s.created_at, s.replica_id)))


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


__all__ = ["Logs", "sources"]
