"""What must hold for a manifest."""

import pytest

from chains_platform.deploying.validation import check_manifest
from chains_protocol.digest import tree_digest
from chains_protocol.errors import Code
from chains_protocol.manifest import FileEntry, PackageManifest
from tests.unit.chains_platform.fakes import manifest, package

MODEL = package("Model")
ENTRY = package("Entry", calls=["Model"])


def with_files(found: PackageManifest, *paths: str, without: str = "") -> PackageManifest:
    digest = found.files[0].digest
    files = tuple(f for f in found.files if f.path != without)
    files += tuple(FileEntry(path=p, digest=digest, size_bytes=found.files[0].size_bytes) for p in paths)
    return found.model_copy(update={"files": files, "digest": tree_digest({f.path: f.digest for f in files})})


def test_a_good_manifest_has_no_problem() -> None:
    assert check_manifest(manifest(MODEL, ENTRY), "poems") == ()


def test_another_protocol_is_told_first() -> None:
    wrong = manifest(ENTRY).model_copy(update={"protocol": 2})

    assert [d.code for d in check_manifest(wrong, "other")] == [Code.PROTOCOL_MISMATCH]


@pytest.mark.parametrize(
    ("wrong", "chain", "word"),
    [
        (manifest(MODEL, ENTRY), "other", "other"),
        (manifest(MODEL, ENTRY, chain="a b"), "a b", "name"),
        (manifest(MODEL, ENTRY, entrypoint="Nobody"), "poems", "Nobody"),
        (manifest(ENTRY), "poems", "no package"),
        (manifest(ENTRY, MODEL), "poems", "before"),
        (manifest(MODEL, MODEL, ENTRY), "poems", "2 packages"),
        (manifest(MODEL.model_copy(update={"digest": "0" * 64}), ENTRY), "poems", "digest"),
        (manifest(with_files(MODEL, without="chains.json"), ENTRY), "poems", "chains.json"),
        (manifest(with_files(MODEL, "packages/CHAIN.py"), ENTRY), "poems", "case"),
        (manifest(with_files(MODEL, "packages/chain.py/x"), ENTRY), "poems", "directory"),
        (manifest(with_files(MODEL, "Packages/Chain.py/x"), ENTRY), "poems", "directory"),
    ],
)
def test_what_is_wrong_is_named(wrong: object, chain: str, word: str) -> None:
    found = check_manifest(wrong, chain)  # type: ignore[arg-type] # a ChainManifest

    assert found
    assert any(word in d.message for d in found)
    assert all(d.help for d in found)


def test_everything_wrong_is_collected() -> None:
    broken = manifest(ENTRY, entrypoint="Nobody")

    assert len(check_manifest(broken, "other")) == 3
