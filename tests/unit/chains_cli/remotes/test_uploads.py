"""Uploads over connections that are cut. The server is a socket that closes when it feels like it."""

import re
import socket
import threading
from contextlib import closing

import httpx
import pytest

from chains_cli.remotes.http import RESUME_WITHIN_S
from chains_cli.remotes.platform import PlatformRemote
from chains_protocol.blobs import decode_blobs
from chains_protocol.digest import bytes_digest
from chains_protocol.errors import Code, DiagnosticsError

MIB = 1024 * 1024


class Cutting:
    """Stores what arrives whole; the first `cuts` requests are cut after `after` bytes of their body.

    Of blobs that come alone it keeps what arrived before the cut, and says so, if it `resumes`.
    """

    def __init__(self, cuts: int, after: int, *, resumes: bool = True) -> None:
        self.cuts = cuts
        self.after = after
        self.resumes = resumes
        self.stored: dict[str, bytes] = {}
        self.parts: dict[str, bytes] = {}
        self.bodies: list[int] = []
        self.received = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                try:
                    while self._request(connection):
                        pass
                except OSError:
                    continue

    def _request(self, connection: socket.socket) -> bool:
        """One request; False if the connection is over."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return False
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        digest = head.split()[1].rpartition(b"/")[2].decode()
        if head.startswith(b"HEAD"):
            told = b"upload-offset: %d\r\n" % len(self.parts.get(digest, b"")) if self.resumes else b""
            connection.sendall(b"HTTP/1.1 200 OK\r\n%scontent-length: 0\r\n\r\n" % told)
            return True
        body = self._body(connection, body, number(rb"content-length", head))
        is_alone = head.startswith(b"PUT /v1/blobs/")
        if is_alone:
            offset = number(rb"upload-offset", head)
            assert offset <= len(self.parts.get(digest, b""))
            body_of_all = self.parts.get(digest, b"")[:offset] + body
            self.parts[digest] = body_of_all if self.resumes else b""
        if len(body) < number(rb"content-length", head):
            return False
        self.bodies.append(len(body))
        self.stored.update({digest: body_of_all} if is_alone else decode_blobs(body))
        reply = b'{"stored": 1, "received_bytes": 1}'
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(reply), reply))
        return True

    def _body(self, connection: socket.socket, body: bytes, wanted: int) -> bytes:
        """What arrives of a body before it is whole, or is cut."""
        parts, size = [body], len(body)
        while size < wanted:
            if self.cuts and size >= self.after:
                self.cuts -= 1
                break
            piece = connection.recv(65536)
            if not piece:
                break
            parts.append(piece)
            size += len(piece)
        self.received += size
        return b"".join(parts)


def number(name: bytes, head: bytes) -> int:
    found = re.search(name + rb": (\d+)", head.lower())
    return int(found.group(1)) if found is not None else 0


@pytest.fixture
def blobs() -> dict[str, bytes]:
    """Two batches of small ones, and one that goes by itself."""
    small = [bytes([n]) * (3 * MIB) for n in range(4)]
    return {bytes_digest(data): data for data in (*small, b"large" * (2 * MIB))}


def server(cuts: int, after: int, **options: bool) -> "closing[Cutting]":
    return closing(Cutting(cuts, after, **options))


@pytest.mark.parametrize("cuts", [1, 3])
def test_an_upload_goes_on_after_the_connection_was_cut(blobs: dict[str, bytes], cuts: int) -> None:
    waited: list[float] = []
    with server(cuts, after=2 * MIB) as peer:
        remote = PlatformRemote(peer.url, "t", sleep=waited.append)
        seen: list[int] = []
        sent = remote.upload(blobs, seen.append)
        remote.close()
    assert peer.stored == blobs
    assert sent == sum(map(len, blobs.values())) == seen[-1]
    assert seen == sorted(seen)
    assert len(waited) == cuts


def test_what_arrived_is_not_sent_again(blobs: dict[str, bytes]) -> None:
    """Only the request that was cut is repeated."""
    with server(1, after=9 * MIB) as peer:  # the large one is the only that has so many bytes
        remote = PlatformRemote(peer.url, "t", sleep=lambda seconds: None)
        remote.upload(blobs)
        remote.close()
    assert peer.stored == blobs
    assert sum(peer.bodies) < sum(map(len, blobs.values())) + 1000


@pytest.mark.parametrize("resumes", [True, False])
def test_a_large_blob_goes_on_where_it_was_cut(resumes: bool) -> None:
    """Every cut costs what was on its way; a remote that keeps no parts gets it from the start."""
    data = bytes(range(256)) * (64 * 1024)
    digest = bytes_digest(data)
    seen: list[int] = []
    with server(3, after=4 * MIB, resumes=resumes) as peer:
        remote = PlatformRemote(peer.url, "t", sleep=lambda seconds: None)
        assert remote.upload({digest: data}, seen.append) == len(data)
        remote.close()
    assert peer.stored == {digest: data}
    assert seen == sorted(seen) and seen[-1] == len(data)
    assert peer.received < len(data) + (MIB if resumes else 14 * MIB)


def test_progress_renews_the_patience() -> None:
    """Only a connection that gets nothing through is given up."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += RESUME_WITHIN_S

    data = b"x" * (12 * MIB)
    with server(5, after=2 * MIB) as peer:
        remote = PlatformRemote(peer.url, "t", sleep=sleep, clock=lambda: now[0])
        remote.upload({bytes_digest(data): data})
        remote.close()
    assert list(peer.stored.values()) == [data]


def test_a_part_that_is_something_else_is_sent_anew() -> None:
    """CH307 after a resumed upload: what was there is not the beginning of this blob."""
    offsets: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "HEAD":
            return httpx.Response(200, headers={"upload-offset": "5"})
        offsets.append(request.headers["upload-offset"])
        if len(offsets) == 1:
            return httpx.Response(400, json={"diagnostics": [{"code": "CH307", "message": "no"}]})
        return httpx.Response(200, json={"stored": 1, "received_bytes": 1})

    remote = PlatformRemote("http://127.0.0.1:1", "t", transport=httpx.MockTransport(handler))
    remote.upload({bytes_digest(b"x" * 9 * MIB): b"x" * 9 * MIB})
    assert offsets == ["5", "0"]


def test_a_connection_that_never_holds_is_given_up() -> None:
    """CH301."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with server(10**6, after=0) as peer:
        remote = PlatformRemote(peer.url, "t", sleep=sleep, clock=lambda: now[0])
        with pytest.raises(DiagnosticsError) as caught:
            remote.upload({bytes_digest(b"x" * MIB): b"x" * MIB})
        remote.close()
    assert caught.value.diagnostics[0].code is Code.REMOTE_UNREACHABLE
    assert RESUME_WITHIN_S <= now[0] <= 2 * RESUME_WITHIN_S
    assert peer.stored == {}


def test_a_refusal_is_not_asked_again() -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(400, json={"diagnostics": [{"code": "CH307", "message": "no"}]})

    remote = PlatformRemote("http://127.0.0.1:1", "t", transport=httpx.MockTransport(handler))
    with pytest.raises(DiagnosticsError) as caught:
        remote.upload({bytes_digest(b"x"): b"x"})
    assert caught.value.diagnostics[0].code is Code.BLOB_MISMATCH
    assert asked == ["/v1/blobs"]
