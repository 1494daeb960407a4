"""Files that cannot be packaged as they are: each is said with its place, and nothing half is packaged."""

import os
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from chains_cli.packaging.build import build_packages
from chains_cli.packaging.digests import RESTING_NS
from chains_cli.packaging.package import ChainPackages
from chains_cli.packaging.reader import Content, ContentCache, LargeContent, WorkspaceReader
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Severity
from chains_protocol.spec import LocalSources
from tests.unit.chains_cli.packaging.conftest import Write, chain, chainlet

READS_ALL = "from pathlib import Path\nFILES = list(Path(__file__).parent.iterdir())\n"


def refused(build: Callable[[], object]) -> tuple[Diagnostic, ...]:
    with pytest.raises(DiagnosticsError) as caught:
        build()
    return caught.value.diagnostics


def noted(packages: ChainPackages, code: Code) -> list[Diagnostic]:
    return [note for note in packages.notes if note.code is code]


class Busy(FileIO):
    """A file that something else appends to right after it was read."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size)
        with Path(str(self.name)).open("ab") as other:
            other.write(b"# more\n")
        return data or b""


class Growing:
    """Opens files; the first `times` of them change while they are read."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, path: str) -> BinaryIO:
        self.times -= 1
        return cast(BinaryIO, Busy(path)) if self.times >= 0 else Path(path).open("rb")


def test_a_file_that_changes_while_it_is_read_is_read_again(write: Write) -> None:
    root = write({"chain.py": "X = 1\n"})
    content = ContentCache(Growing(2)).read(str(root / "chain.py"))
    assert content.data == b"X = 1\n# more\n# more\n" == (root / "chain.py").read_bytes()


def test_a_file_that_never_stops_changing_is_an_error(write: Write) -> None:
    """CH209."""
    root = write({"chain.py": "X = 1\n"})
    reader = WorkspaceReader(root, ContentCache(Growing(10**6)))
    (found,) = refused(lambda: build_packages(chain(root), reader=reader))
    assert found.code is Code.UNREADABLE_FILE
    assert "changes while it is read" in found.message
    assert found.location is not None and found.location.path.endswith("chain.py")


def test_a_huge_file_is_not_kept_in_memory_and_told(write: Write) -> None:
    """CH205; its content is read when it is sent, and must be what was hashed."""
    root = write({"chain.py": "", "big/model.bin": b"m" * 11_000_000})
    found = chainlet(sources=LocalSources(data_dir=str(root / "big")))
    reader = WorkspaceReader(root, ContentCache(large_bytes=1_000_000))
    packages = build_packages(chain(root, found), reader=reader)
    (entry,) = [e for e in packages.package("Hello").manifest.files if e.path == "data/model.bin"]
    assert entry.size_bytes == 11_000_000
    assert entry.digest == Content(b"m" * 11_000_000).digest
    (note,) = noted(packages, Code.LARGE_PACKAGE)
    assert note.severity is Severity.WARNING and "data/model.bin" in note.message
    blobs = packages.blobs([entry.digest])
    assert blobs[entry.digest] == b"m" * 11_000_000
    (root / "big" / "model.bin").write_bytes(b"n" * 11_000_000)
    (error,) = refused(lambda: blobs[entry.digest])
    assert error.code is Code.UNREADABLE_FILE and "changes" in error.message


def test_a_large_content_that_is_gone_is_an_error(tmp_path: Path) -> None:
    """CH209."""
    (found,) = refused(lambda: LargeContent(str(tmp_path / "gone"), "0" * 64, 1).data)
    assert found.code is Code.UNREADABLE_FILE


def test_loops_of_links_are_left_out_with_a_warning(write: Write) -> None:
    """G-43, CH209."""
    root = write({"chain.py": READS_ALL, "note.txt": "n"})
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    (root / "up").symlink_to("..")
    packages = build_packages(chain(root))
    assert {note.severity for note in noted(packages, Code.UNREADABLE_FILE)} == {Severity.WARNING}
    assert len(noted(packages, Code.UNREADABLE_FILE)) == 2
    assert {p for p in packages.package("Hello").files if p.startswith("packages/")} == {
        "packages/chain.py",
        "packages/note.txt",
    }


def test_unreadable_files_of_a_data_directory_are_warned_about(write: Write) -> None:
    """CH209 for files outside the workspace's own list too."""
    root = write({"chain.py": "", "data/ok.txt": "x"})
    (root / "data" / "broken").symlink_to("nowhere")
    found = chainlet(sources=LocalSources(data_dir=str(root / "data")))
    packages = build_packages(chain(root, found))
    (note,) = noted(packages, Code.UNREADABLE_FILE)  # once, though the workspace has it, too
    assert "broken" in note.message
    assert "data/ok.txt" in packages.package("Hello").files


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission_is_left_out_with_a_warning(write: Write) -> None:
    """CH209."""
    root = write({"chain.py": "", "other.py": ""})
    (root / "other.py").chmod(0)
    (note,) = noted(build_packages(chain(root)), Code.UNREADABLE_FILE)
    assert "Permission denied" in note.message


def test_a_device_or_a_pipe_is_no_file(write: Write) -> None:
    root = write({"chain.py": READS_ALL})
    os.mkfifo(root / "pipe.txt")
    assert "packages/pipe.txt" not in build_packages(chain(root)).package("Hello").files


def test_names_that_differ_only_in_case_are_told(write: Write) -> None:
    """CH201: an error where a platform may keep files anywhere, a warning for an image."""
    root = write({"chain.py": "import Tools, tools\n", "Tools.py": "", "tools.py": "X = 1\n"})
    if len(list(root.iterdir())) < 3:
        pytest.skip("this file system ignores case")
    (error,) = refused(lambda: build_packages(chain(root)))
    (note,) = noted(build_packages(chain(root), target="truss"), Code.FORBIDDEN_FILE_NAME)
    assert (error.code, error.severity) == (Code.FORBIDDEN_FILE_NAME, Severity.ERROR)
    assert note.severity is Severity.WARNING
    assert "`packages/Tools.py` and `packages/tools.py`" in note.message == error.message
    assert ".truss_ignore" in (error.help or "")


def test_a_name_with_a_line_end_is_left_out_and_told_in_one_line(write: Write) -> None:
    root = write({"chain.py": "open(__file__)\n", "two\nlines.txt": ""})
    (note,) = build_packages(chain(root)).notes
    assert note.message.startswith(r"`two\nlines.txt` cannot be read and is left out: ")
    assert note.location is not None
    assert "\n" not in note.location.path


def test_names_that_are_no_utf8_are_left_out_and_can_be_printed(write: Write) -> None:
    """CH209: also for a directory, once."""
    root = write({"chain.py": READS_ALL})
    (root / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    (root / os.fsdecode(b"d\xff")).mkdir()
    (root / os.fsdecode(b"d\xff") / "in.txt").write_text("x")
    notes = noted(build_packages(chain(root)), Code.UNREADABLE_FILE)
    assert len(notes) == 2
    for note in notes:
        assert "not valid UTF-8" in note.message
        note.model_dump_json().encode()


def test_one_of_two_unicode_forms_of_a_name_is_left_out(write: Write) -> None:
    """CH209: a package names files in one form (NFC)."""
    root = write({"chain.py": READS_ALL, "caf\u00e9.txt": "composed", "cafe\u0301.txt": "apart"})
    if len(list(root.iterdir())) < 3:
        pytest.skip("this file system knows one form only")
    packages = build_packages(chain(root))
    (note,) = noted(packages, Code.UNREADABLE_FILE)
    assert "another Unicode form" in note.message


@pytest.mark.parametrize("field", ["data_dir", "external_package_dirs"])
@pytest.mark.parametrize("what", ["missing", "chain.py"])
def test_a_directory_that_is_none_is_an_error(write: Write, field: str, what: str) -> None:
    """CH202, G-44 and G-45."""
    root = write({"chain.py": ""})
    path = str(root / what)
    given = path if field == "data_dir" else (path,)
    found = chainlet(sources=LocalSources.model_validate({field: given}))
    (error,) = refused(lambda: build_packages(chain(root, found)))
    assert error.code is Code.PATH_NOT_FOUND
    assert ("is not a directory" if what == "chain.py" else "does not exist") in error.message


def test_an_external_package_directory_may_lie_outside_the_workspace(write: Write, tmp_path: Path) -> None:
    """G-44; a module of the workspace finds it, and its own imports of the workspace too."""
    outside = tmp_path / "elsewhere" / "vendored"
    outside.mkdir(parents=True)
    (outside / "__init__.py").write_text("import helper\n")
    root = write({"chain.py": "import vendored\n", "helper.py": "", "unused.py": ""})
    found = chainlet(sources=LocalSources(external_package_dirs=(str(outside.parent),)))
    package = build_packages(chain(root, found)).package("Hello")
    assert {p for p in package.files if p.startswith("packages/")} == {
        "packages/chain.py",
        "packages/vendored/__init__.py",
        "packages/helper.py",
    }
    assert package.origins["packages/vendored/__init__.py"].startswith("below the external package directory")


def test_a_file_that_was_just_written_is_opened_again(write: Write) -> None:
    """A second write in the same moment does not show in its times."""
    root = write({"chain.py": "X = 1\n"})
    cache = ContentCache()
    assert cache.read(str(root / "chain.py")).data == b"X = 1\n"
    before = (root / "chain.py").stat()
    (root / "chain.py").write_text("X = 2\n")
    os.utime(root / "chain.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert cache.read(str(root / "chain.py")).data == b"X = 2\n"


def test_an_opener_is_only_used_for_what_changed(write: Write) -> None:
    opened: list[str] = []

    def opener(path: str) -> BinaryIO:
        opened.append(path)
        return Path(path).open("rb")

    root = write({"chain.py": "X = 1\n"})
    cache = ContentCache(opener, clock=lambda: time.time_ns() + 2 * RESTING_NS)
    first = cache.read(str(root / "chain.py"))
    assert cache.read(str(root / "chain.py")) is first
    assert len(opened) == 1
