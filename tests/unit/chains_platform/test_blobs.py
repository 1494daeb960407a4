"""Blobs and packages on disk: verified, atomic, shared."""

import os
from pathlib import Path

import pytest

from chains_platform.blobs import BlobStore
from chains_platform.engines.collecting import Collected
from chains_protocol.digest import bytes_digest
from chains_protocol.errors import Code, DiagnosticsError
from chains_protocol.manifest import PackageManifest
from tests.unit.chains_platform.fakes import BYTES, package


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    for name in ("blobs", "packages"):
        (tmp_path / name).mkdir()
    return BlobStore(tmp_path / "blobs", tmp_path / "packages")


def fill(store: BlobStore, found: PackageManifest) -> PackageManifest:
    store.put_all({e.digest: BYTES.by_digest[e.digest] for e in found.files})
    return found


def files_of(store: BlobStore, root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_blob_is_verified_before_it_is_there(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(DiagnosticsError, match="CH307"):
        store.put(bytes_digest(b"other"), b"data")

    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_blob_is_stored_once_and_read_only(store: BlobStore) -> None:
    digest = bytes_digest(b"data")

    assert store.put(digest, b"data")
    assert not store.put(digest, b"data")
    assert store.path(digest).stat().st_mode & 0o777 == 0o444


def test_of_many_none_is_stored_if_one_is_wrong(store: BlobStore) -> None:
    good = bytes_digest(b"good")

    with pytest.raises(DiagnosticsError):
        store.put_all({good: b"good", "0" * 64: b"bad"})

    assert not store.has(good)


def test_missing_blobs_are_told(store: BlobStore) -> None:
    found = package("Entry", "missing")
    assert set(store.missing([found])) == {e.digest for e in found.files}

    fill(store, found)
    assert store.missing([found]) == ()


def test_a_package_is_a_tree_of_hard_links(store: BlobStore) -> None:
    found = fill(store, package("Entry", "tree"))

    root = store.materialise(found)

    assert files_of(store, root) == {e.path: BYTES.by_digest[e.digest] for e in found.files}
    source = next(e for e in found.files if e.path == "packages/chain.py")
    assert (root / "packages/chain.py").samefile(store.path(source.digest))
    assert store.materialise(found) == root


def test_a_package_with_a_missing_blob_leaves_nothing(store: BlobStore, tmp_path: Path) -> None:
    found = fill(store, package("Entry", "incomplete"))
    store.path(found.files[-1].digest).unlink()

    with pytest.raises(DiagnosticsError, match="CH507"):
        store.materialise(found)

    assert list((tmp_path / "packages").iterdir()) == []
    assert store.missing([found]) == (found.files[-1].digest,)


def test_a_blob_that_was_cut_short_is_asked_for_again(store: BlobStore) -> None:
    found = fill(store, package("Entry", "cut short"))
    entry = found.files[-1]
    store.path(entry.digest).chmod(0o644)
    store.path(entry.digest).write_bytes(b"")

    with pytest.raises(DiagnosticsError, match="CH507"):
        store.materialise(found)

    assert store.missing([found]) == (entry.digest,)


def test_the_packages_own_spec_has_to_be_the_manifests(store: BlobStore, tmp_path: Path) -> None:
    found = fill(store, package("Entry", "forged"))
    forged = found.model_copy(update={"spec": package("Entry", secrets=("hf",)).spec})

    with pytest.raises(DiagnosticsError, match="CH507"):
        store.materialise(forged)

    assert list((tmp_path / "packages").iterdir()) == []


def test_a_full_disk_is_told(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "packages").rmdir()
    found = fill(store, package("Entry", "nowhere"))

    with pytest.raises(DiagnosticsError) as failed:
        store.materialise(found)

    assert [d.code for d in failed.value.diagnostics] == [Code.DISK_FULL]


def test_what_nobody_uses_is_collected_when_it_is_old(store: BlobStore) -> None:
    kept, dropped = fill(store, package("Entry", "kept")), fill(store, package("Entry", "dropped"))
    store.materialise(kept)
    store.materialise(dropped)

    assert store.collect([kept], older_than=0) == (Collected(0), Collected(0))
    would = store.collect([kept], older_than=2**40, dry_run=True)
    assert store.missing([dropped]) == ()
    removed = store.collect([kept], older_than=2**40)

    assert removed == would
    assert [found.count for found in removed] == [1, 1] and removed[1].freed_bytes > 0
    assert store.package_dir(kept.digest).is_dir()
    assert not store.package_dir(dropped.digest).exists()
    assert store.missing([kept]) == ()
    assert len(store.missing([dropped])) == 1


def test_a_file_with_too_many_links_is_copied(store: BlobStore, tmp_path: Path) -> None:
    """File systems bound the links of one file; an empty `__init__.py` is in every package."""
    found = fill(store, package("Entry", "many links"))
    made = BlobStore(tmp_path / "blobs", tmp_path / "packages", link=_refuse)

    root = made.materialise(found)

    assert files_of(made, root) == {e.path: BYTES.by_digest[e.digest] for e in found.files}


def _refuse(source: Path, target: Path) -> None:
    raise OSError(31, os.strerror(31))
