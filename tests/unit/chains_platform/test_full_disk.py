"""A disk without room: told as such, and nothing half written is ever seen.

The operating system's limit on the size of a file stands for the full disk: the write fails in
the middle, as it does there.
"""

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from chains_platform.blobs import BlobStore
from chains_protocol.blobs import encode_blobs
from chains_protocol.control import ApiError
from chains_protocol.digest import bytes_digest
from chains_protocol.errors import Code, DiagnosticsError
from tests.unit.chains_platform.conftest import Plane

LIMIT_BYTES = 4 * 1024 * 1024
DATA = b"x" * (LIMIT_BYTES + 1)
DIGEST = bytes_digest(DATA)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file of this process grows beyond the limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


@pytest.mark.parametrize("way", ["one", "many"])
@pytest.mark.usefixtures("full_disk")
async def test_an_upload_that_does_not_fit_leaves_nothing(plane: Plane, way: str) -> None:
    """CH318 for both ways to send blobs."""
    async with plane.client() as client:
        if way == "one":
            answer = await client.put(f"/v1/blobs/{DIGEST}", content=DATA)
        else:
            answer = await client.post("/v1/blobs", content=encode_blobs([(DIGEST, DATA)]))
    assert answer.status_code >= 500
    found = ApiError.model_validate_json(answer.content).diagnostics
    assert [d.code for d in found] == [Code.DISK_FULL]
    assert files(plane.layout.blobs) == []
    assert not plane.services.blobs.has(DIGEST)


@pytest.mark.usefixtures("full_disk")
def test_a_blob_that_does_not_fit_is_not_there(tmp_path: Path) -> None:
    """CH318."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "packages").mkdir()
    store = BlobStore(tmp_path / "blobs", tmp_path / "packages")
    with pytest.raises(DiagnosticsError) as caught:
        store.put(DIGEST, DATA)
    assert [d.code for d in caught.value.diagnostics] == [Code.DISK_FULL]
    assert files(tmp_path) == []
    small = b"small"
    assert store.put(bytes_digest(small), small), "what fits is still taken"
