"""One large blob to a control plane: in pieces that are told, and after a cut only what is missing."""

from collections.abc import Callable, Iterator
from typing import Final

from chains_cli.remotes.http import ControlClient
from chains_protocol.blobs import UPLOAD_OFFSET
from chains_protocol.control import BlobReply
from chains_protocol.errors import Code, DiagnosticsError

UPLOAD_TIMEOUT_S: Final = 3600.0
_PIECE_BYTES: Final = 1024 * 1024


def send_large_blob(client: ControlClient, digest: str, data: bytes, told: Callable[[int], None]) -> None:
    """Send what the remote lacks of one blob.

    A remote that says nothing about offsets gets all of it, as does one whose part turns out to
    be something else.

    Args:
        client: of the remote.
        digest: of `data`.
        data: the blob.
        told: told how many of its bytes have arrived or are on their way; never fewer than before.

    Raises:
        DiagnosticsError: CH301 if the connection breaks for too long without any progress, or
            what the remote said.
    """
    path = f"/v1/blobs/{digest}"
    patience = client.patience()
    arrived = told_last = 0

    def tell(done: int) -> None:
        nonlocal told_last
        if done > told_last:
            told_last = done
            told(done)

    is_part_trusted = True
    while True:
        offset = 0
        try:
            offset = _offset(client, path) if is_part_trusted else 0
            if offset > arrived:
                arrived = offset
                patience.renew()
            headers = {UPLOAD_OFFSET: str(offset), "content-length": str(len(data) - offset)}
            pieces = _pieces(data, offset, tell)
            client.ask("PUT", path, BlobReply, content=pieces, headers=headers, timeout_s=UPLOAD_TIMEOUT_S)
        except DiagnosticsError as error:
            codes = {d.code for d in error.diagnostics}
            if offset and Code.BLOB_MISMATCH in codes:
                is_part_trusted = False  # what was here before is not the beginning of this
                continue
            patience.wait(error, also=(Code.STALE_BASE,))
        else:
            return


def _offset(client: ControlClient, path: str) -> int:
    text = client.headers_of(path).get(UPLOAD_OFFSET, "0")
    return int(text) if text.isdecimal() else 0


def _pieces(data: bytes, offset: int, tell: Callable[[int], None]) -> Iterator[bytes]:
    view = memoryview(data)
    for start in range(offset, len(data), _PIECE_BYTES):
        yield bytes(view[start : start + _PIECE_BYTES])
        tell(min(start + _PIECE_BYTES, len(data)))


__all__ = ["UPLOAD_TIMEOUT_S", "send_large_blob"]
