"""The content store: blobs by digest, and packages as trees of hard links to them.

A blob is verified before it is visible, written beside and renamed, and never changes. A
package directory is complete or absent.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from chains_platform.engines.collecting import Collected
from chains_platform.partial_blobs import PARTIAL_DIR, PartialBlobs
from chains_protocol.digest import bytes_digest
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.manifest import SPEC_FILE, PackageManifest
from chains_protocol.spec import ChainletSpec

_READ_ONLY: Final = 0o444
_OPEN_DIRECTORY: Final = 0o755


class BlobStore:
    """Blobs below one directory, packages below another of the same file system."""

    def __init__(self, blobs: Path, packages: Path, link: Callable[[Path, Path], None] = os.link) -> None:
        self._blobs = blobs
        self._packages = packages
        self._link_file = link
        self.partials = PartialBlobs(blobs)
        self._known: set[str] = set()

    def path(self, digest: str) -> Path:
        return self._blobs / digest[:2] / digest

    def package_dir(self, digest: str) -> Path:
        return self._packages / digest

    def has(self, digest: str) -> bool:
        if digest in self._known:
            return True
        found = self.path(digest).is_file()
        if found:
            self._known.add(digest)
        return found

    def missing(self, packages: Iterable[PackageManifest]) -> tuple[str, ...]:
        """The blobs these packages need and that are not here; sorted."""
        wanted = {
            entry.digest
            for package in packages
            if not self.package_dir(package.digest).is_dir()
            for entry in package.files
        }
        return tuple(sorted(d for d in wanted if not self.has(d)))

    def put(self, digest: str, data: bytes) -> bool:
        """Store `data`; False if it was there.

        Raises:
            DiagnosticsError: CH307 if it is not what `digest` says; CH318 if the disk is full.
        """
        if bytes_digest(data) != digest:
            raise DiagnosticsError([_mismatch(digest)])
        if self.has(digest):
            return False
        target = self.path(digest)
        try:
            target.parent.mkdir(mode=0o700, exist_ok=True)
            handle, draft = tempfile.mkstemp(prefix=".new-", dir=target.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    os.fchmod(file.fileno(), _READ_ONLY)
                Path(draft).replace(target)
            except BaseException:
                Path(draft).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise DiagnosticsError([unwritable(error)]) from error
        self._known.add(digest)
        return True

    def take(self, digest: str, draft: Path, found: Callable[[], str]) -> bool:
        """Store a file that was written below the blobs' directory; it is gone from there afterwards.

        Args:
            digest: what it is meant to be.
            draft: the file.
            found: returns the digest of its bytes.
        """
        try:
            if found() != digest:
                raise DiagnosticsError([_mismatch(digest)])
            if self.has(digest):
                return False
            target = self.path(digest)
            target.parent.mkdir(mode=0o700, exist_ok=True)
            draft.chmod(_READ_ONLY)
            draft.replace(target)
        except OSError as error:
            raise DiagnosticsError([unwritable(error)]) from error
        finally:
            draft.unlink(missing_ok=True)
        self._known.add(digest)
        return True

    def put_all(self, blobs: Mapping[str, bytes]) -> int:
        """Store many; how many were new. All are verified before the first is stored."""
        for digest, data in blobs.items():
            if bytes_digest(data) != digest:
                raise DiagnosticsError([_mismatch(digest)])
        return sum(self.put(digest, data) for digest, data in blobs.items())

    def materialise(self, package: PackageManifest) -> Path:
        """The package as a directory, made now if it is not there.

        Raises:
            DiagnosticsError: CH507 if a blob is missing or has another size than the manifest
                says, or if the package's own spec is another than the manifest's.
        """
        target = self.package_dir(package.digest)
        if target.is_dir():
            return target
        try:
            # not in a directory that would have to be removed: that may take longer than all the rest
            draft = Path(tempfile.mkdtemp(prefix=".new-", dir=self._packages))
            try:
                self._link(package, draft)
                _check_spec(package, draft)
                draft.chmod(_OPEN_DIRECTORY)
                draft.rename(target)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
        except OSError as error:
            if target.is_dir():
                return target  # another task was first
            raise DiagnosticsError([unwritable(error)]) from error
        return target

    def _link(self, package: PackageManifest, root: Path) -> None:
        made = {""}
        for entry in package.files:
            parent, _, _ = entry.path.rpartition("/")
            if parent not in made:
                (root / parent).mkdir(parents=True, exist_ok=True)
                made.add(parent)
            source = self.path(entry.digest)
            try:
                size = source.stat().st_size
            except FileNotFoundError:
                size = -1
            if size != entry.size_bytes:
                self._known.discard(entry.digest)
                if size >= 0:
                    source.unlink()  # cut short by a power failure: ask for it again
                raise DiagnosticsError([_bad_file(package, entry.path)])
            self._place(source, root / entry.path)

    def _place(self, source: Path, target: Path) -> None:
        try:
            self._link_file(source, target)
        except OSError as error:
            # too many links of one file, or a file system without them
            if error.errno not in (errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.EXDEV):
                raise
            shutil.copy(source, target)

    def collect(
        self, kept: Iterable[PackageManifest], older_than: float, *, dry_run: bool = False
    ) -> tuple[Collected, Collected]:
        """Remove packages and blobs that none of `kept` uses and that are older; what went of each.

        `dry_run` only counts.
        """
        packages = list(kept)
        names = {p.digest for p in packages}
        trees = [t for t in self._packages.iterdir() if t.name not in names and _is_older(t, older_than)]
        used = {entry.digest for p in packages for entry in p.files}
        places = (place for place in self._blobs.iterdir() if place.name != PARTIAL_DIR and place.is_dir())
        blobs = [b for p in places for b in p.iterdir() if b.name not in used and _is_older(b, older_than)]
        freed = sum(blob.stat().st_size for blob in blobs)
        partial = self.partials.collect(older_than, dry_run=dry_run)
        if not dry_run:
            for tree in trees:
                shutil.rmtree(tree, ignore_errors=True)
            for blob in (*blobs, *(d for d in self._blobs.glob(".new-*") if _is_older(d, older_than))):
                blob.unlink(missing_ok=True)
                self._known.discard(blob.name)
        return Collected(len(trees)), Collected(len(blobs) + partial.count, freed + partial.freed_bytes)


def _is_older(path: Path, than: float) -> bool:
    return path.stat().st_mtime < than


def _check_spec(package: PackageManifest, root: Path) -> None:
    """The manifest's spec decides secrets and edges, the package's is what runs: they must be one."""
    try:
        spec = ChainletSpec.model_validate_json((root / SPEC_FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        spec = None
    if spec != package.spec:
        raise DiagnosticsError(
            [
                Diagnostic(
                    code=Code.BAD_PACKAGE,
                    message=f"`{SPEC_FILE}` of the package differs from what its manifest says",
                    help="package the chain again",
                    chainlet=package.spec.display_name,
                )
            ]
        )


def _mismatch(digest: str) -> Diagnostic:
    return Diagnostic(
        code=Code.BLOB_MISMATCH,
        message=f"the content of a blob does not match its digest `{digest[:12]}`",
        help="send it again",
    )


def _bad_file(package: PackageManifest, path: str) -> Diagnostic:
    return Diagnostic(
        code=Code.BAD_PACKAGE,
        message=f"file `{path}` of the package is missing or has another size than its manifest says",
        help="push again; what is missing is sent again",
        chainlet=package.spec.display_name,
    )


def unwritable(error: OSError) -> Diagnostic:
    """CH318."""
    return Diagnostic(
        code=Code.DISK_FULL,
        message=f"the platform can't write below `CHAINS_HOME`: {error.strerror or error}",
        help="free some space or permit writing there, then repeat the command",
    )


__all__ = ["BlobStore", "unwritable"]
