"""Digests that are kept between runs: a file that changed is never taken for what it was."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains_cli.packaging.build import build_packages
from chains_cli.packaging.digests import RESTING_NS, WORTH_BYTES, KeptDigests, Signature
from chains_cli.packaging.package import ChainPackages
from chains_cli.packaging.reader import ContentCache, WorkspaceReader
from chains_protocol.digest import bytes_digest
from chains_protocol.errors import Code, DiagnosticsError
from chains_protocol.spec import LocalSources
from tests.unit.chains_cli.packaging.conftest import Write, chain, chainlet

MS = 1_000_000
DATA = b"w" * WORTH_BYTES


def later() -> int:
    """When all files of the test are at rest."""
    return time.time_ns() + 2 * RESTING_NS


class Disk:
    """One file of one size on a file system that keeps times in steps of `tick_ns`."""

    def __init__(self, tick_ns: int) -> None:
        self.tick_ns = tick_ns
        self.now_ns = 10**18
        self.skew_ns = 0
        self.inode = 1
        self.data = b"a"
        self.mtime_ns = self.ctime_ns = self.stamp()

    def stamp(self) -> int:
        return self.now_ns // self.tick_ns * self.tick_ns + self.skew_ns

    def write(self, data: bytes) -> None:
        self.data = data
        self.mtime_ns = self.ctime_ns = self.stamp()

    def touch(self, mtime_ns: int) -> None:
        """What `os.utime` can do: any time of modification, but not that of the change."""
        self.mtime_ns, self.ctime_ns = mtime_ns, self.stamp()

    def replace(self, data: bytes) -> None:
        """Move another file there, with its own time of modification."""
        self.data, self.inode = data, self.inode + 1
        self.ctime_ns = self.stamp()

    def go_back(self, by_ns: int) -> None:
        """A clock that is set back does not meet its old steps to the nanosecond."""
        self.now_ns -= by_ns
        self.skew_ns += 1

    def signature(self) -> Signature:
        return Signature(1, self.mtime_ns, self.ctime_ns, self.inode, 1)


contents = st.sampled_from([b"a", b"b"])
waits = st.sampled_from([0, 1, MS, 5 * MS, 900 * MS, 2_100 * MS, 3_600_000 * MS])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), contents),
        st.tuples(st.just("replace"), contents),
        st.tuples(st.just("touch"), st.integers(0, 3)),
        st.tuples(st.just("wait"), waits),
        st.tuples(st.just("back"), waits),
        st.tuples(st.just("look"), st.none()),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=40,
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([1, 4 * MS, 1_000 * MS, RESTING_NS]), steps)
def test_a_digest_is_always_that_of_the_bytes(tick_ns: int, steps: list[tuple[str, object]]) -> None:
    """Edits of one size within one step of the times, files moved there, touched, a clock that goes back."""
    disk = Disk(tick_ns)
    seen = [disk.mtime_ns]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "digests.json"
        kept = KeptDigests(file, lambda: disk.now_ns)
        for step, value in [*steps, ("look", None)]:
            if step in ("write", "replace"):
                assert isinstance(value, bytes)
                (disk.write if step == "write" else disk.replace)(value)
                seen.append(disk.mtime_ns)
            elif step == "look":
                found = kept.find("data.bin", disk.signature())
                if found is None:
                    found = bytes_digest(disk.data)
                    kept.add("data.bin", disk.signature(), found, disk.now_ns)
                assert found == bytes_digest(disk.data)
            elif step == "restart":
                kept.save()
                kept = KeptDigests(file, lambda: disk.now_ns)
            else:
                assert isinstance(value, int)
                if step == "wait":
                    disk.now_ns += value
                elif step == "back":
                    disk.go_back(value)
                else:
                    disk.touch(seen[-1 - value % len(seen)])


class Counting:
    """Opens files and remembers which."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, path: str) -> BinaryIO:
        self.names.append(Path(path).name)
        return Path(path).open("rb")


def build(root: Path, cache_file: Path, clock: Callable[[], int] = later) -> tuple[ChainPackages, list[str]]:
    """As one run of the tool builds a chain with a data directory; and the files it opened."""
    digests = KeptDigests(cache_file, clock)
    opener = Counting()
    reader = WorkspaceReader(root, ContentCache(opener, digests=digests, clock=clock))
    found = chainlet(sources=LocalSources(data_dir=str(root / "data")))
    packages = build_packages(chain(root, found), reader=reader)
    digests.save()
    return packages, opener.names


@pytest.fixture
def root(write: Write) -> Path:
    root = write({"chain.py": "import big\n", "big.py": "X = 1\n" + "#" * WORTH_BYTES, "data/small.bin": "x"})
    (root / "data" / "weights.bin").write_bytes(DATA)
    return root


@pytest.fixture
def kept_file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "cache" / "digests.json"


def test_the_second_run_reads_no_large_data_and_makes_the_same_bytes(root: Path, kept_file: Path) -> None:
    first, opened = build(root, kept_file)
    assert "weights.bin" in opened
    second, opened = build(root, kept_file)
    assert "weights.bin" not in opened and {"small.bin", "big.py", "chain.py"} <= set(opened)
    plain = build_packages(
        chain(root, chainlet(sources=LocalSources(data_dir=str(root / "data")))), reader=WorkspaceReader(root)
    )
    assert first.manifest == second.manifest == plain.manifest
    for other in (first, second):
        for package, expected in zip(other, plain, strict=True):
            assert dict(package.files) == dict(expected.files)


def test_every_way_to_change_a_file_is_seen(root: Path, kept_file: Path) -> None:
    """The same size, the same time of modification, another file in its place."""
    weights = root / "data" / "weights.bin"
    build(root, kept_file)
    before = weights.stat()

    def rewrite() -> None:
        weights.write_bytes(b"1" * WORTH_BYTES)
        os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))

    def replace() -> None:
        other = root / "other.bin"
        other.write_bytes(b"2" * WORTH_BYTES)
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(weights)

    def patch() -> None:
        with weights.open("r+b") as file:
            file.write(b"3")

    for change in (rewrite, replace, patch):
        change()
        packages, _ = build(root, kept_file)
        (entry,) = [e for e in packages.package("Hello").manifest.files if e.path == "data/weights.bin"]
        assert entry.digest == bytes_digest(weights.read_bytes()), change.__name__


def test_a_file_that_was_just_written_is_not_kept(root: Path, kept_file: Path) -> None:
    """Git's rule for racily clean entries."""
    build(root, kept_file, time.time_ns)
    _, opened = build(root, kept_file, time.time_ns)
    assert "weights.bin" in opened and not kept_file.exists()


def test_bytes_that_are_sent_are_those_of_the_digest(root: Path, kept_file: Path) -> None:
    """CH209: the data changed between the look at it and the sending."""
    build(root, kept_file)
    packages, _ = build(root, kept_file)
    (root / "data" / "weights.bin").write_bytes(b"n" * WORTH_BYTES)
    with pytest.raises(DiagnosticsError) as caught:
        _ = packages.package("Hello").files["data/weights.bin"]
    assert caught.value.diagnostics[0].code is Code.UNREADABLE_FILE


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "null",
        lambda text: "\x00" + text,
        lambda text: text.replace(bytes_digest(DATA), "../../etc/passwd"),
        lambda text: text.replace(f"[{WORTH_BYTES},", '["large",'),
        lambda text: text.replace(f"[{WORTH_BYTES},", f"[{WORTH_BYTES},1,"),
        lambda text: text.replace('"format":1', '"format":2'),
    ],
)
def test_a_damaged_file_is_as_none(root: Path, kept_file: Path, damage: Callable[[str], str]) -> None:
    expected, _ = build(root, kept_file)
    changed = damage(kept_file.read_text())
    assert changed != kept_file.read_text()
    kept_file.write_text(changed)
    packages, opened = build(root, kept_file)
    assert "weights.bin" in opened
    assert packages.manifest == expected.manifest
    assert "weights.bin" not in build(root, kept_file)[1]


def test_what_a_clock_wrote_that_went_back_since_is_not_believed(root: Path, kept_file: Path) -> None:
    build(root, kept_file)
    _, opened = build(root, kept_file, lambda: later() - 3600 * 10**9)
    assert "weights.bin" in opened


def test_a_place_that_cannot_be_written_costs_nothing(root: Path, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    packages, _ = build(root, tmp_path / "home" / "cache" / "digests.json")
    assert len(packages) == 1


def test_runs_side_by_side_leave_one_whole_file(kept_file: Path) -> None:
    first, second = KeptDigests(kept_file, later), KeptDigests(kept_file, later)
    for number, run in enumerate((first, second, first)):
        run.add(f"/data/{number}", Signature(1, 1, 1, number, 1), bytes_digest(b"%d" % number), later())
        run.save()
    known = KeptDigests(kept_file, later)
    found = [known.find(f"/data/{n}", Signature(1, 1, 1, n, 1)) for n in range(3)]
    assert found == [bytes_digest(b"0"), None, bytes_digest(b"2")]
    assert [path.name for path in kept_file.parent.iterdir()] == ["digests.json"]
    assert kept_file.stat().st_mode & 0o077 == 0


def test_what_was_used_last_stays(kept_file: Path) -> None:
    """It is bounded."""
    digests = KeptDigests(kept_file, later, kept=3)
    for number in range(4):
        digests.add(f"/data/{number}", Signature(1, 1, 1, number, 1), bytes_digest(b""), later())
    digests.find("/data/0", Signature(1, 1, 1, 0, 1))
    digests.save()
    assert list(json.loads(kept_file.read_text())["files"]) == ["/data/2", "/data/3", "/data/0"]
    shutil.rmtree(kept_file.parent)
    digests.save()
    assert not kept_file.exists()
