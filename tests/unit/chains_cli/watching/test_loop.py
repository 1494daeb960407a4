"""Events become saves: bursts of real changes, nothing else."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

import pytest

from chains_cli.watching.loop import Events, distinct_roots, saves
from chains_cli.watching.snapshot import Snapshot, WatchRoot

Step = Callable[[], Iterable[Path]]


def scripted(*steps: Step) -> Events:
    """Events that come when the one before was dealt with."""

    async def events(roots: Sequence[Path], stop: asyncio.Event) -> AsyncIterator[Iterable[Path]]:
        for step in steps:
            yield step()

    return events


async def no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


def writing(path: Path, text: str) -> Step:
    def step() -> Iterable[Path]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return [path]

    return step


async def collected(snapshot: Snapshot, *steps: Step) -> list[list[str]]:
    root = snapshot.roots[0].path
    bursts = saves(snapshot, asyncio.Event(), events=scripted(*steps), sleep=no_sleep)
    return [[path.relative_to(root).as_posix() async for path in _each(files)] async for files in bursts]


async def _each(files: Iterable[Path]) -> AsyncIterator[Path]:
    for file in files:
        yield file


def nothing_ignored(path: str) -> bool:
    return False


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a.py").write_text("a = 1\n")
    (tmp_path / "b.py").write_text("b = 1\n")
    return tmp_path


@pytest.fixture
def snapshot(root: Path) -> Snapshot:
    return Snapshot([WatchRoot(root, nothing_ignored)])


async def test_a_save_is_told_once(root: Path, snapshot: Snapshot) -> None:
    assert await collected(snapshot, writing(root / "a.py", "a = 2\n"), lambda: [root / "a.py"]) == [["a.py"]]


async def test_a_touch_or_the_same_text_again_is_nothing(root: Path, snapshot: Snapshot) -> None:
    assert await collected(snapshot, writing(root / "a.py", "a = 1\n"), lambda: [root / "b.py"]) == []


async def test_a_burst_is_one_save(root: Path, snapshot: Snapshot) -> None:
    def burst() -> Iterable[Path]:
        return [
            *writing(root / "a.py", "2")(),
            *writing(root / "b.py", "2")(),
            *writing(root / "c.py", "2")(),
        ]

    assert await collected(snapshot, burst) == [["a.py", "b.py", "c.py"]]


async def test_a_removed_file_is_a_change(root: Path, snapshot: Snapshot) -> None:
    def remove() -> Iterable[Path]:
        (root / "a.py").unlink()
        return [root / "a.py"]

    assert await collected(snapshot, remove) == [["a.py"]]


async def test_an_editor_that_replaces_the_file_makes_one_save(root: Path, snapshot: Snapshot) -> None:
    def replace() -> Iterable[Path]:
        beside = root / "a.py.tmp"
        beside.write_text("a = 3\n")
        beside.replace(root / "a.py")
        return [beside, root / "a.py"]

    assert await collected(snapshot, replace) == [["a.py"]]


async def test_a_directory_moved_in_stands_for_its_files(
    root: Path, snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "pkg"
    outside.mkdir()
    (outside / "mod.py").write_text("x = 1\n")

    def move() -> Iterable[Path]:
        outside.rename(root / "pkg")
        return [root / "pkg"]

    def move_back() -> Iterable[Path]:
        (root / "pkg").rename(outside)
        return [root / "pkg"]

    assert await collected(snapshot, move, move_back) == [["pkg/mod.py"], ["pkg/mod.py"]]


async def test_rules_apply_to_the_path_relative_to_the_root(tmp_path: Path) -> None:
    """P-04, WP-25: a project below a directory called `build` is watched."""
    root = tmp_path / "build" / "project"
    root.mkdir(parents=True)
    snapshot = Snapshot([WatchRoot(root, lambda path: path.startswith("build/") or path == "build/")])
    steps = [writing(root / "a.py", "1"), writing(root / "build" / "out.py", "1")]
    assert await collected(snapshot, *steps) == [["a.py"]]


async def test_what_changed_before_watching_began_is_the_first_save(root: Path, snapshot: Snapshot) -> None:
    (root / "a.py").write_text("changed\n")
    assert await collected(snapshot) == [["a.py"]]


async def test_a_file_that_is_still_being_written_is_waited_for(root: Path, snapshot: Snapshot) -> None:
    path = root / "a.py"
    contents = iter(["", "a = 2\nb", "a = 2\nb = 3\n"])

    async def goes_on(seconds: float) -> None:
        text = next(contents, None)
        if text is not None:
            path.write_text(text)

    found = [
        path.read_text()
        async for _ in saves(snapshot, asyncio.Event(), events=scripted(lambda: [path]), sleep=goes_on)
    ]
    assert found == ["a = 2\nb = 3\n"]


async def test_changes_during_a_round_are_one_later_save(root: Path, snapshot: Snapshot) -> None:
    """While the consumer is busy nothing is taken from the source, which gathers."""
    taken: list[str] = []

    async def events(roots: Sequence[Path], stop: asyncio.Event) -> AsyncIterator[Iterable[Path]]:
        for text in ("2", "3"):
            taken.append(text)
            yield writing(root / "a.py", text)()

    async for _ in saves(snapshot, asyncio.Event(), events=events, sleep=no_sleep):
        assert taken[-1] == (root / "a.py").read_text()
    assert taken == ["2", "3"]


async def test_ready_is_told_after_watching_began(root: Path, snapshot: Snapshot) -> None:
    order: list[str] = []

    async def events(roots: Sequence[Path], stop: asyncio.Event) -> AsyncIterator[Iterable[Path]]:
        order.append("watching")
        yield []

    async for _ in saves(snapshot, asyncio.Event(), on_ready=lambda: order.append("ready"), events=events):
        pass
    assert order == ["watching", "ready"]


async def test_large_files_are_compared_by_size_and_time(root: Path) -> None:
    big = root / "weights.bin"
    with big.open("wb") as file:
        file.truncate(5 * 1024 * 1024)
    snapshot = Snapshot([WatchRoot(root, nothing_ignored)])

    def grow() -> Iterable[Path]:
        with big.open("ab") as file:
            file.write(b"x")
        return [big]

    assert await collected(snapshot, grow) == [["weights.bin"]]


def test_nested_roots_are_merged(tmp_path: Path) -> None:
    """P-03."""
    inner, other = tmp_path / "a" / "b", tmp_path / "c"
    assert distinct_roots([inner, tmp_path / "a", other, other]) == (tmp_path / "a", other)


async def test_the_system_tells_a_real_save(root: Path, snapshot: Snapshot) -> None:
    stop = asyncio.Event()
    ready = asyncio.Event()
    found: list[tuple[Path, ...]] = []

    async def consume() -> None:
        async for files in saves(snapshot, stop, on_ready=ready.set):
            found.append(files)
            stop.set()

    task = asyncio.create_task(consume())
    async with asyncio.timeout(20):
        await ready.wait()
        (root / "a.py").write_text("a = 2\n")
        await task
    assert found == [(root / "a.py",)]


async def test_a_directory_that_goes_and_comes_back_is_watched_again(tmp_path: Path) -> None:
    """As `rm -r` and `git clone` do it; the system's events of the first one are over by then."""
    root = tmp_path / "work"
    root.mkdir()
    (root / "a.py").write_text("a = 1\n")
    snapshot = Snapshot([WatchRoot(root, nothing_ignored)])
    watched: list[int] = []
    told = asyncio.Event()

    async def events(roots: Sequence[Path], stop: asyncio.Event) -> AsyncIterator[Iterable[Path]]:
        watched.append(root.stat().st_ino)
        if len(watched) == 1:
            root.rename(tmp_path / "elsewhere")
            await asyncio.Event().wait()
        await told.wait()
        yield writing(root / "b.py", "b = 1\n")()

    async def come_back(seconds: float) -> None:
        if not root.exists():
            root.mkdir()
            (root / "a.py").write_text("a = 2\n")

    bursts = []
    async for files in saves(snapshot, asyncio.Event(), events=events, sleep=come_back):
        bursts.append([path.name for path in files])
        if len(bursts) == 2:
            told.set()

    assert bursts == [["a.py"], ["a.py"], ["b.py"]]
    assert len(set(watched)) == 2
