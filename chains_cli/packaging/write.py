"""Packages on disk: `chains package --out DIR`."""

import os
import shutil
import tempfile
from pathlib import Path

from chains_cli.packaging.ignore import PACKAGE_DIRECTORY
from chains_cli.packaging.package import ChainPackages, Package
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError

_DRAFT_PREFIX = ".writing-"


def write_packages(packages: ChainPackages, out_dir: Path) -> tuple[Path, ...]:
    """Write each package to `out_dir/chainlet_<class name>/`, replacing what an earlier run wrote there.

    A directory is complete or absent: it is written beside and renamed. Files of equal content
    are one file with several names (hard links), as in the platform's own store: making a file
    costs far more than giving it another name.

    Returns:
        The directories, dependencies first.

    Raises:
        DiagnosticsError: CH207 if `out_dir` holds anything but earlier packages, or can't be written.
    """
    try:
        _check_out_dir(out_dir)
        return _write_all(packages, out_dir)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise _refused(
            f"`{out_dir}` cannot be written: {why}", "name a directory that you can write"
        ) from error


def _write_all(packages: ChainPackages, out_dir: Path) -> tuple[Path, ...]:
    out_dir.mkdir(parents=True, exist_ok=True)
    for left in out_dir.glob(f"{_DRAFT_PREFIX}*"):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    written: list[Path] = []
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=_DRAFT_PREFIX) as temporary:
        names = [f"{PACKAGE_DIRECTORY}{package.manifest.spec.class_name}" for package in packages]
        first: dict[str, str] = {}
        for name, package in zip(names, packages, strict=True):
            _write(package, f"{temporary}/{name}", first)
        for name in names:
            fresh, target = Path(temporary) / name, out_dir / name
            try:
                fresh.rename(target)
            except OSError:  # there is an earlier one
                shutil.rmtree(target)
                fresh.rename(target)
            written.append(target)
    return tuple(written)


def _write(package: Package, root: str, first: dict[str, str]) -> None:
    """Each directory is made once; `first` maps a digest to where the content was written first."""
    made: set[str] = set()
    for entry in package.manifest.files:
        path = f"{root}/{entry.path}"
        _make_directory(path.rpartition("/")[0], root, made)
        if entry.digest in first and _linked(first[entry.digest], path):
            continue
        _write_file(path, package.files[entry.path])
        first[entry.digest] = path


def _make_directory(path: str, root: str, made: set[str]) -> None:
    """Make `path` and what is missing above it, down from `root`, with one call each."""
    if path in made:
        return
    if path != root:
        _make_directory(path.rpartition("/")[0], root, made)
    os.mkdir(path)  # noqa: PTH102 (as text)
    made.add(path)


def _write_file(path: str, data: bytes) -> None:
    """Without the buffers of a file object: there are thousands of small files."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def _linked(source: str, target: str) -> bool:
    """False where the file system has no links, or no more of this file."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def _check_out_dir(out_dir: Path) -> None:
    if not out_dir.exists():
        return
    foreign = (
        sorted(e.name for e in out_dir.iterdir() if not e.name.startswith((PACKAGE_DIRECTORY, _DRAFT_PREFIX)))
        if out_dir.is_dir()
        else [out_dir.name]
    )
    if foreign:
        message = f"`{out_dir}` holds something else already: `{foreign[0]}`"
        raise _refused(message, "name a directory that does not exist or is empty")


def _refused(message: str, remedy: str) -> DiagnosticsError:
    return DiagnosticsError([Diagnostic(code=Code.OUTPUT_NOT_EMPTY, message=message, help=remedy)])


__all__ = ["write_packages"]
