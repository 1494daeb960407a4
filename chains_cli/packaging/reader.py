"""The only code of packaging that reads files: a workspace and other directories, each file once.

A `ContentCache` may be shared by several readers, so that a watch session reads and hashes
only what changed between two rounds.
"""

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pathspec import GitIgnoreSpec

from chains_analysis.imports import ImportFacts, import_facts
from chains_analysis.tree import SourceTree
from chains_cli.packaging.ignore import built_in_rules, is_environment, workspace_rules
from chains_protocol.digest import bytes_digest
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Location, Severity
from chains_protocol.paths import check_relative_path

_Signature = tuple[int, int, int, int]


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


class ContentCache:
    """Files read so far, valid while size, times and inode stay the same; and parsed imports by digest."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[_Signature, Content]] = {}
        self._parsed: dict[bytes, ImportFacts] = {}

    def read(self, path: str) -> Content:
        """The content of the file; `OSError` if it cannot be read."""
        found = os.stat(path)  # noqa: PTH116 (as text: thousands of files a round)
        signature = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        known = self._files.get(path)
        if known is not None and known[0] == signature:
            return known[1]
        content = Content(Path(path).read_bytes())
        if known is not None and known[1].data == content.data:
            content = known[1]
        self._files[path] = (signature, content)
        return content

    def facts(self, path: str, source: bytes) -> ImportFacts:
        """What the file imports; each content is parsed once. Raises CH152."""
        known = self._parsed.get(source)
        if known is None:
            known = self._parsed[source] = import_facts(path, source)
        return known


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

    @cached_property
    def _listing(self) -> _Listing:
        return list_files(self.root, workspace_rules(self.root))

    @property
    def notes(self) -> tuple[Diagnostic, ...]:
        """Files that were left out because they cannot be read (G-43)."""
        return tuple(self._listing.notes)

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
            raise DiagnosticsError([_unreadable(str(path), error)]) from error

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
            self._directories[key] = {name: self.read_file(file) for name, file in listing.paths.items()}
        return self._directories[key]


def list_files(root: Path, rules: GitIgnoreSpec) -> _Listing:
    """Regular files below `root`; links to directories are not followed, broken ones are noted."""
    listing = _Listing()
    listing.paths = dict(sorted(_walk(str(root), "", rules, listing.notes)))
    return listing


def _walk(root: str, prefix: str, rules: GitIgnoreSpec, notes: list[Diagnostic]) -> Iterator[tuple[str, str]]:
    try:
        with os.scandir(root) as entries:
            found = list(entries)
    except OSError as error:
        notes.append(_unreadable(root, error, Severity.WARNING))
        return
    for entry in found:
        path = prefix + unicodedata.normalize("NFC", entry.name)
        if entry.is_dir(follow_symlinks=False):
            if not rules.match_file(path + "/") and not is_environment(Path(entry.path)):
                yield from _walk(entry.path, path + "/", rules, notes)
        elif not rules.match_file(path) and _is_usable(entry, path, notes):
            yield path, entry.path


def _is_usable(entry: os.DirEntry[str], path: str, notes: list[Diagnostic]) -> bool:
    """Whether it is a regular file, or a link to one, that a package can name."""
    try:
        if not stat.S_ISREG(entry.stat().st_mode):
            return False
        if not os.access(entry.path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        check_relative_path(path)
    except (OSError, ValueError) as error:
        notes.append(_unreadable(entry.path, error, Severity.WARNING))
        return False
    return True


def _unreadable(path: str, error: OSError | ValueError, severity: Severity = Severity.ERROR) -> Diagnostic:
    left_out = severity is not Severity.ERROR
    return Diagnostic(
        code=Code.UNREADABLE_FILE,
        severity=severity,
        message=f"`{Path(path).name}` cannot be read{' and is left out' if left_out else ''}: "
        f"{(error.strerror if isinstance(error, OSError) else None) or error}",
        location=Location(path=path),
        help="remove it, or name it in `.truss_ignore`",
    )


def _no_directory(path: Path) -> Diagnostic:
    what = "is not a directory" if path.exists() else "does not exist"
    return Diagnostic(
        code=Code.PATH_NOT_FOUND,
        message=f"`{path}` {what}",
        location=Location(path=str(path)),
        help="correct the path in `docker_image` of the Chainlet's `remote_config`",
    )


__all__ = ["Content", "ContentCache", "WorkspaceReader", "list_files"]
