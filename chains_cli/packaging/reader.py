"""The only code of packaging that reads files: a workspace and other directories, each file once.

A `ContentCache` may be shared by several readers, so that a watch session reads and hashes
only what changed between two rounds.
"""

import errno
import hashlib
import os
import stat
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Final

from chains_analysis.imports import ImportFacts, import_facts
from chains_analysis.tree import SourceTree
from chains_cli.packaging.digests import WORTH_BYTES, Clock, KeptDigests, Signature
from chains_cli.packaging.ignore import (
    Rules,
    built_in_rules,
    is_written_package,
    named_files,
    workspace_rules,
)
from chains_protocol.digest import bytes_digest
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Location, Severity
from chains_protocol.paths import check_relative_path

Opener = Callable[[str], BinaryIO]

LARGE_BYTES: Final = 64 * 1024 * 1024
"""Larger files are not kept in memory: hashed piece by piece, and read again when they are sent."""
_PIECE_BYTES: Final = 1024 * 1024
_TRIES: Final = 5


class Content:
    """The bytes of a file, and their digest, which is taken when first asked for."""

    __slots__ = ("_digest", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._digest: str | None = None

    @property
    def digest(self) -> str:
        if self._digest is None:
            self._digest = bytes_digest(self.data)
        return self._digest

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def head(self, count: int) -> bytes:
        """The first bytes, at most `count`."""
        return self.data[:count]


class LargeContent(Content):
    """A file that is not kept in memory: what it held when it was hashed, else an error."""

    __slots__ = ("_path", "_size_bytes")

    def __init__(self, path: str, digest: str, size_bytes: int) -> None:
        self._path = path
        self._digest = digest
        self._size_bytes = size_bytes

    @property
    def data(self) -> bytes:  # type: ignore[override]  # read anew, where the base keeps it
        """Read the file.

        Raises:
            DiagnosticsError: CH209 if it cannot be read or changed since.
        """
        try:
            found = Path(self._path).read_bytes()
        except OSError as error:
            raise DiagnosticsError([unreadable(self._path, error)]) from error
        if bytes_digest(found) != self._digest:
            raise DiagnosticsError([unreadable(self._path, _changing())])
        return found

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def head(self, count: int) -> bytes:
        with Path(self._path).open("rb") as file:
            return file.read(count)


def _open(path: str) -> BinaryIO:
    return Path(path).open("rb")


class ContentCache:
    """Files read so far, valid while size, times and inode stay the same; and parsed imports by digest.

    A file that was written within the two seconds before it was read is read again: a second write
    in the same moment does not show in its times.
    """

    def __init__(
        self,
        opener: Opener = _open,
        large_bytes: int = LARGE_BYTES,
        *,
        digests: KeptDigests | None = None,
        clock: Clock = time.time_ns,
    ) -> None:
        """Make an empty one.

        Args:
            opener: opens a file for reading; its `fileno` is asked for size and times.
            large_bytes: from which size on a file is not kept in memory.
            digests: what earlier runs know of files; None knows nothing.
            clock: tells the time.
        """
        self._opener = opener
        self._large_bytes = large_bytes
        self._digests = digests
        self._clock = clock
        self._files: dict[str, _Read] = {}
        self._parsed: dict[bytes, ImportFacts] = {}

    def read(self, path: str) -> Content:
        """The content of the file; `OSError` if it cannot be read, or changes while it is read."""
        signature = Signature.of(os.stat(path))  # noqa: PTH116 (as text: thousands of files a round)
        known = self._files.get(path)
        if known is not None and known.signature == signature and signature.was_resting(known.at_ns):
            return known.content
        kept = self._kept(path, signature) if known is None else None
        if kept is not None:
            self._files[path] = _Read(signature, self._clock(), kept)
            return kept
        found = self._read_still(path)
        content = found.content
        is_kept = not isinstance(content, LargeContent)
        if known is not None and is_kept and known.content.digest == content.digest:
            found = _Read(found.signature, found.at_ns, known.content)
        if self._digests is not None and _is_worth_keeping(path, found.signature):
            self._digests.add(path, found.signature, content.digest, found.at_ns)
        self._files[path] = found
        return found.content

    def _kept(self, path: str, signature: Signature) -> Content | None:
        """What an earlier run knows of the file; its bytes are read when they are asked for."""
        if self._digests is None or not _is_worth_keeping(path, signature):
            return None
        digest = self._digests.find(path, signature)
        return LargeContent(path, digest, signature.size) if digest is not None else None

    def _read_still(self, path: str) -> "_Read":
        """Read until nothing changed meanwhile: half of an old and half of a new file is never packaged."""
        for _ in range(_TRIES):
            at_ns = self._clock()
            with self._opener(path) as file:
                before = Signature.of(os.fstat(file.fileno()))
                content = self._content(path, file, before.size)
                after = Signature.of(os.stat(path))  # noqa: PTH116 (as above)
            if before == after and content.size_bytes == before.size:
                return _Read(before, at_ns, content)
        raise _changing()

    def _content(self, path: str, file: BinaryIO, size: int) -> Content:
        if size < self._large_bytes:
            return Content(file.read())
        digest, count = hashlib.sha256(), 0
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            count += len(piece)
        return LargeContent(path, digest.hexdigest(), count)

    def facts(self, path: str, source: bytes) -> ImportFacts:
        """What the file imports; each content is parsed once. Raises CH152."""
        known = self._parsed.get(source)
        if known is None:
            known = self._parsed[source] = import_facts(path, source)
        return known


@dataclass(frozen=True, slots=True)
class _Read:
    """A content, the file's signature, and when its reading began."""

    signature: Signature
    at_ns: int
    content: Content


def _is_worth_keeping(path: str, signature: Signature) -> bool:
    """A module is read in any case, for its imports."""
    return signature.size >= WORTH_BYTES and not path.endswith(".py")


@dataclass(slots=True)
class _Listing:
    """One directory's files, relative POSIX path -> path on disk, and what was wrong with some."""

    paths: dict[str, str] = field(default_factory=dict)
    notes: list[Diagnostic] = field(default_factory=list)


class WorkspaceReader:
    """Reads one workspace as it is at the time of the first look; make a new one for a later state."""

    def __init__(self, root: Path, cache: ContentCache | None = None) -> None:
        self.root = root.absolute()
        self.cache = cache or ContentCache()
        self._directories: dict[str, Mapping[str, Content]] = {}
        self._notes: list[Diagnostic] = []

    @cached_property
    def _listing(self) -> _Listing:
        return list_files(self.root, workspace_rules(self.root))

    @property
    def notes(self) -> tuple[Diagnostic, ...]:
        """Files that were left out because they cannot be read (G-43)."""
        return (*self._listing.notes, *self._notes)

    @cached_property
    def named(self) -> frozenset[str]:
        """Absolute paths of files that the workspace's `.truss_ignore` says are meant."""
        return frozenset(str(self.root / path) for path in named_files(self.root))

    @property
    def paths(self) -> tuple[str, ...]:
        """All files of the workspace that the ignore rules leave, sorted."""
        return tuple(self._listing.paths)

    @cached_property
    def outline(self) -> SourceTree:
        """The paths of its Python files, without their contents: enough to know what is a module."""
        return SourceTree({path: b"" for path in self.paths if path.endswith(".py")})

    @cached_property
    def tree(self) -> SourceTree:
        """Its Python files, all of them read."""
        python = (path for path in self.paths if path.endswith(".py"))
        return SourceTree({path: self.read(path).data for path in python})

    def read(self, path: str) -> Content:
        """A file of the workspace by its relative path.

        Raises:
            DiagnosticsError: CH209 if it cannot be read.
        """
        return self.read_file(self._listing.paths.get(path, self.root / path))

    def read_file(self, path: str | Path) -> Content:
        """Any file. Raises CH209 as `read` does."""
        try:
            return self.cache.read(str(path))
        except OSError as error:
            raise DiagnosticsError([unreadable(str(path), error)]) from error

    def directory(self, path: Path) -> Mapping[str, Content]:
        """All files below another directory, by relative path; the built-in ignore rules apply.

        Raises:
            DiagnosticsError: CH202 if it is no directory.
        """
        key = str(path.absolute())
        if key not in self._directories:
            if not path.is_dir():
                raise DiagnosticsError([_no_directory(path)])
            listing = list_files(path.absolute(), built_in_rules())
            self._notes += [note for note in listing.notes if note not in self._notes]
            self._directories[key] = {name: self.read_file(file) for name, file in listing.paths.items()}
        return self._directories[key]


def list_files(root: Path, rules: Rules) -> _Listing:
    """Regular files below `root`; links to directories are not followed, broken ones are noted."""
    listing = _Listing()
    for path, on_disk in sorted(_walk(str(root), "", rules, listing.notes)):
        if path in listing.paths:
            same = OSError(errno.EEXIST, "another file has the same name in another Unicode form")
            listing.notes.append(unreadable(on_disk, same, Severity.WARNING))
        else:
            listing.paths[path] = on_disk
    return listing


def _walk(root: str, prefix: str, rules: Rules, notes: list[Diagnostic]) -> Iterator[tuple[str, str]]:
    try:
        with os.scandir(root) as entries:
            found = list(entries)
    except OSError as error:
        notes.append(unreadable(root, error, Severity.WARNING))
        return
    if prefix and _is_environment(found):
        return
    for entry in found:
        name = entry.name
        path = prefix + (name if name.isascii() else unicodedata.normalize("NFC", name))
        if entry.is_dir(follow_symlinks=False):
            hidden = rules.hides(path, is_directory=True) or is_written_package(entry.path)
            if not hidden and _has_usable_name(entry, path, notes):
                yield from _walk(entry.path, path + "/", rules, notes)
        elif not rules.hides(path, is_directory=False) and _is_usable(entry, path, notes):
            yield path, entry.path


def _is_environment(entries: Iterable[os.DirEntry[str]]) -> bool:
    """`ignore.is_environment` of the directory that has these entries."""
    for entry in entries:
        if entry.name == "pyvenv.cfg" and entry.is_file():
            return True
        if entry.name == "conda-meta" and entry.is_dir():
            return True
    return False


def _has_usable_name(entry: os.DirEntry[str], path: str, notes: list[Diagnostic]) -> bool:
    try:
        check_relative_path(path)
    except ValueError as error:
        notes.append(unreadable(entry.path, error, Severity.WARNING))
        return False
    return True


def _is_usable(entry: os.DirEntry[str], path: str, notes: list[Diagnostic]) -> bool:
    """Whether it is a regular file, or a link to one, that a package can name."""
    try:
        # what is no link tells its kind without a look at the file
        is_regular = stat.S_ISREG(entry.stat().st_mode) if entry.is_symlink() else entry.is_file()
        if not is_regular:
            return False
        if not os.access(entry.path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        notes.append(unreadable(entry.path, error, Severity.WARNING))
        return False
    return _has_usable_name(entry, path, notes)


def unreadable(path: str, error: OSError | ValueError, severity: Severity = Severity.ERROR) -> Diagnostic:
    """CH209; in a name, what is no UTF-8 or cannot be printed, such as a line's end, is shown escaped."""
    left_out = severity is not Severity.ERROR
    text = path.encode("utf-8", "backslashreplace").decode()
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    why = (error.strerror if isinstance(error, OSError) else None) or error
    if isinstance(error, UnicodeError):
        why = "its name is not valid UTF-8"
    return Diagnostic(
        code=Code.UNREADABLE_FILE,
        severity=severity,
        message=f"`{Path(shown).name}` cannot be read{' and is left out' if left_out else ''}: {why}",
        location=Location(path=shown),
        help="try again when nothing writes it any more"
        if isinstance(error, OSError) and error.errno == errno.EBUSY
        else "remove it, or name it in `.truss_ignore`",
    )


def _changing() -> OSError:
    return OSError(errno.EBUSY, "it changes while it is read")


def _no_directory(path: Path) -> Diagnostic:
    what = "is not a directory" if path.exists() else "does not exist"
    return Diagnostic(
        code=Code.PATH_NOT_FOUND,
        message=f"`{path}` {what}",
        location=Location(path=str(path)),
        help="correct the path in `docker_image` of the Chainlet's `remote_config`",
    )


__all__ = ["Content", "ContentCache", "LargeContent", "WorkspaceReader", "list_files", "unreadable"]
