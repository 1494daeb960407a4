"""File events -> saves: bursts of real changes.

Directories are watched, not files, because editors replace files. Events are only a hint to
look: a save is what differs from the content known before. While a round runs, the operating
system's events gather, and come as one save afterwards.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from watchfiles import Change, awatch

from chains_cli.watching.snapshot import Snapshot

DEBOUNCE_MS: Final = 20
STEP_MS: Final = 2
"""A burst ends when nothing happens for one step, or after the debounce time.

The watcher wakes up every step to look: shorter ones cost more while nothing happens than they gain.
"""

SETTLE_S: Final = 0.002
MOVED_S: Final = 1.0
"""Between two looks whether the directories are still those that are watched."""

_MOST_LOOKS: Final = 50
_DIRECTORY: Final = -2

Events = Callable[[Sequence[Path], asyncio.Event], AsyncIterator[Iterable[Path]]]
"""Directories to watch and a signal to end -> sets of paths to which something happened."""

Sleep = Callable[[float], Awaitable[None]]
_Place = tuple[int, int]


async def system_events(roots: Sequence[Path], stop: asyncio.Event) -> AsyncIterator[Iterable[Path]]:
    """The operating system's own events."""
    changes: set[tuple[Change, str]]
    own = asyncio.Event()  # the watcher sets it when it is cancelled
    stopping = asyncio.ensure_future(stop.wait())
    stopping.add_done_callback(lambda _: own.set())
    try:
        async for changes in awatch(
            *roots, watch_filter=None, debounce=DEBOUNCE_MS, step=STEP_MS, stop_event=own, recursive=True
        ):
            yield {Path(path) for _, path in changes}
    finally:
        stopping.cancel()


async def saves(
    snapshot: Snapshot,
    stop: asyncio.Event,
    *,
    on_ready: Callable[[], None] = lambda: None,
    events: Events = system_events,
    sleep: Sleep = asyncio.sleep,
) -> AsyncGenerator[tuple[Path, ...], None]:
    """Files whose content changed, one tuple a burst, until `stop` is set.

    What changed after the snapshot was taken and before watching began is the first burst. If a
    directory goes, its files are said to be gone, and watched again once it is back.

    Args:
        snapshot: what the files held when the caller looked at them last.
        stop: ends the iteration.
        on_ready: called once nothing can be missed any more.
        events: where events come from.
        sleep: waits for some seconds.
    """
    roots = distinct_roots(root.path for root in snapshot.roots)
    following: asyncio.Future[Iterable[Path] | None] | None = None
    try:
        while True:
            places = await _places(roots, sleep)
            bursts = events(roots, stop)
            following = asyncio.ensure_future(_next(bursts))
            await asyncio.sleep(0)  # lets the source begin to watch
            on_ready()
            if missed := snapshot.recheck():
                yield missed
            while (paths := await _unless_moved(following, roots, places)) is not None:
                wanted = {path for path in paths if snapshot.wants(path) or path.is_dir()}
                if wanted:
                    await _settled(wanted, snapshot, sleep)
                    if changed := snapshot.changed(wanted):
                        yield changed
                following = asyncio.ensure_future(_next(bursts))
            if following.done():
                return
            following.cancel()  # it watches what is no longer there
            if gone := snapshot.recheck():
                yield gone
    finally:
        if following is not None:
            following.cancel()


async def _places(roots: Sequence[Path], sleep: Sleep) -> tuple[_Place, ...]:
    """Where the directories are on their disks, once there are all of them."""
    while (found := _look_for(roots)) is None:
        await sleep(MOVED_S)
    return found


def _look_for(roots: Sequence[Path]) -> tuple[_Place, ...] | None:
    try:
        return tuple((found.st_dev, found.st_ino) for found in map(os.stat, roots))
    except OSError:
        return None


async def _unless_moved(
    following: "asyncio.Future[Iterable[Path] | None]", roots: Sequence[Path], places: tuple[_Place, ...]
) -> Iterable[Path] | None:
    """The next burst; None if there is none, or if a directory that is watched is not where it was.

    Of a directory that was removed or moved away, the operating system tells nothing any more, also
    not once there is one of that name again.
    """
    while not (await asyncio.wait((following,), timeout=MOVED_S))[0]:
        if _look_for(roots) != places:
            return None
    return following.result()


async def _next(bursts: AsyncIterator[Iterable[Path]]) -> Iterable[Path] | None:
    return await anext(bursts, None)


async def _settled(paths: Iterable[Path], snapshot: Snapshot, sleep: Sleep) -> None:
    """Wait until these files stop changing.

    A file may be seen half written, empty before it is written, or gone before another one is
    put in its place.
    """
    before = _looks(paths)
    for _ in range(_MOST_LOOKS):
        await sleep(SETTLE_S)
        after = _looks(paths)
        is_whole = all(size > 0 or size == _DIRECTORY or not snapshot.knows(path) for path, size, _ in after)
        if after == before and is_whole:
            return
        before = after


def _looks(paths: Iterable[Path]) -> tuple[tuple[Path, int, int], ...]:
    return tuple((path, *_look(path)) for path in sorted(paths))


def _look(path: Path) -> tuple[int, int]:
    """Size and time of a file; size -1 if there is none."""
    try:
        found = path.stat()
    except OSError:
        return (-1, 0)
    return (_DIRECTORY, 0) if path.is_dir() else (found.st_size, found.st_mtime_ns)


def distinct_roots(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Directories without duplicates and without those inside others (P-03)."""
    kept: list[Path] = []
    for path in sorted(set(paths)):
        if not any(path.is_relative_to(other) for other in kept):
            kept.append(path)
    return tuple(kept)


__all__ = [
    "DEBOUNCE_MS",
    "SETTLE_S",
    "STEP_MS",
    "Events",
    "distinct_roots",
    "saves",
    "system_events",
]
