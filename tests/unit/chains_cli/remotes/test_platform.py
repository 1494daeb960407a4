"""The HTTP remote: what it sends, and what failures become. The server is a function."""

import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from chains_cli.remotes.platform import PlatformRemote
from chains_cli.remotes.sse import ServerEvent, read_events
from chains_protocol.blobs import decode_blobs
from chains_protocol.control import Event, EventKind, LogLine
from chains_protocol.digest import bytes_digest
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError

URL = "http://127.0.0.1:1"
TOKEN = "s3cret"
HEALTH = {"ok": True, "protocol": 1, "instance": "i", "gateway_url": "http://127.0.0.1:2"}
Handler = Callable[[httpx.Request], httpx.Response]


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def remote(handler: Handler, clock: Clock | None = None, token: str | None = None) -> PlatformRemote:
    clock, token = clock or Clock(), TOKEN if token is None else token
    transport = httpx.MockTransport(handler)
    return PlatformRemote(URL, token, transport=transport, sleep=clock.sleep, clock=clock)


def refused(action: Callable[[], object]) -> Diagnostic:
    with pytest.raises(DiagnosticsError) as caught:
        action()
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def answer(status: int, body: object) -> Handler:
    return lambda request: httpx.Response(status, json=body)


@pytest.mark.parametrize("token", ["", " ", "ü", "a\nb"])
def test_what_no_header_can_carry_is_sent_as_no_token(token: str) -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(200, json={"chains": []})

    remote(handler, token=token).chains()
    assert seen == ["Bearer"]


def test_every_request_carries_the_token() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"chains": []})

    remote(handler).chains()
    assert seen[0].headers["authorization"] == "Bearer s3cret"
    assert str(seen[0].url) == f"{URL}/v1/chains"


def test_names_are_escaped_in_paths() -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path.decode())
        return httpx.Response(200, json={"name": "x", "created_at": 0})

    remote(handler).chain("a/b?c")
    assert seen == ["/v1/chains/a%2Fb%3Fc"]


# --- failures


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow")])
def test_a_remote_that_cannot_be_reached(error: httpx.TransportError) -> None:
    """CH301."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise error

    diagnostic = refused(remote(handler).chains)
    assert diagnostic.code is Code.REMOTE_UNREACHABLE
    assert URL in diagnostic.message and str(error) in diagnostic.message


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, Code.REMOTE_REFUSED_TOKEN),
        (403, Code.REMOTE_REFUSED_TOKEN),
        (409, Code.STALE_BASE),
        (404, Code.BAD_REQUEST),
        (502, Code.BAD_REQUEST),
    ],
)
def test_an_answer_that_is_none_of_ours_is_judged_by_its_status(status: int, code: Code) -> None:
    """CH302, CH305, CH306; the body is shown."""

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text="<html>Bad Gateway</html>")

    diagnostic = refused(remote(handler).chains)
    assert (diagnostic.code, diagnostic.detail) == (code, "<html>Bad Gateway</html>")


def test_the_remotes_own_diagnostics_are_passed_on() -> None:
    said = Diagnostic(code=Code.UNKNOWN_CHAIN, message="there is no chain `x`", help="look")
    body = {"diagnostics": [said.model_dump(mode="json")]}
    assert refused(lambda: remote(answer(404, body)).chain("x")) == said


def test_a_success_that_is_not_understood() -> None:
    assert refused(lambda: remote(answer(200, {"nope": 1})).chain("x")).code is Code.BAD_REQUEST


def test_another_protocol_is_refused() -> None:
    """CH314."""
    assert refused(remote(answer(200, {**HEALTH, "protocol": 99})).health).code is Code.PROTOCOL_MISMATCH


def test_fields_of_a_newer_platform_are_ignored() -> None:
    assert remote(answer(200, {**HEALTH, "new_field": 1})).health().ok


# --- blobs


def test_small_blobs_travel_together_and_large_ones_alone() -> None:
    requests: list[tuple[str, str, bytes]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method != "HEAD":
            requests.append((request.method, request.url.path, request.read()))
        return httpx.Response(200, json={"stored": 1, "received_bytes": 1})

    small = [b"a" * 10, b"b" * 20, b"c" * 30]
    large = b"L" * (9 * 1024 * 1024)
    blobs = {bytes_digest(data): data for data in (*small[:2], large, small[2])}
    seen: list[int] = []
    assert remote(handler).upload(blobs, seen.append) == 60 + len(large)
    assert [(method, path) for method, path, _ in requests] == [
        ("POST", "/v1/blobs"),
        ("PUT", f"/v1/blobs/{bytes_digest(large)}"),
        ("POST", "/v1/blobs"),
    ]
    assert [data for _, data in decode_blobs(requests[0][2])] == small[:2]
    assert requests[1][2] == large
    assert (seen[0], seen[-2:]) == (30, [30 + len(large), 60 + len(large)])
    assert seen == sorted(seen) and len(seen) > 9  # a large one is told piece by piece


def test_no_blobs_are_no_request() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing to send")

    assert remote(handler).upload({}) == 0


# --- streams


def event(number: int) -> Event:
    return Event(id=number, kind=EventKind.DEPLOYMENT_STATE, at=0.0, chain_name="c", deployment="d")


def frame(number: int) -> bytes:
    return f"id: {number}\nevent: deployment_state\ndata: {event(number).model_dump_json()}\n\n".encode()


class Breaking(httpx.SyncByteStream):
    """A body that ends with a broken connection."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts
        raise httpx.ReadError("connection reset")


def test_a_broken_event_stream_is_resumed_after_the_last_event() -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["after"])
        if len(asked) == 1:
            return httpx.Response(200, stream=Breaking(frame(5), frame(6), b"id: 7\nda"))
        if len(asked) == 2:
            raise httpx.ConnectError("restarting")
        return httpx.Response(200, content=frame(7))

    stream = remote(handler).events("c", "d", after=4)
    assert [next(stream).id for _ in range(3)] == [5, 6, 7]
    assert asked == ["4", "6", "6"]
    stream.close()  # type: ignore[attr-defined]  # a generator


def test_a_stream_that_stays_broken_is_given_up() -> None:
    clock = Clock()

    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("gone")

    stream = remote(handler, clock).events("c", "d")
    assert refused(lambda: next(stream)).code is Code.REMOTE_UNREACHABLE
    assert 30 <= clock.now < 40


def test_a_stream_that_is_not_followed_ends() -> None:
    stream = remote(lambda request: httpx.Response(200, content=frame(1) + frame(2))).events(
        "c", "d", follow=False
    )
    assert [e.id for e in stream] == [1, 2]


def test_a_refused_stream_is_not_tried_again() -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(401, text="no")

    assert refused(lambda: next(remote(handler).events("c", "d"))).code is Code.REMOTE_REFUSED_TOKEN
    assert len(asked) == 1


def test_a_resumed_log_repeats_no_line() -> None:
    lines = [LogLine(at=float(n // 2), chainlet="C", replica_id="r", text=f"line {n}") for n in range(4)]
    frames = [f"event: log\ndata: {line.model_dump_json()}\n\n".encode() for line in lines]
    asked: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("since"))
        if len(asked) == 1:
            return httpx.Response(200, stream=Breaking(*frames[:3]))
        return httpx.Response(200, content=b"".join(frames[2:]))

    stream = remote(handler).logs("c", "d", follow=True)
    assert [next(stream).text for _ in range(4)] == [line.text for line in lines]
    assert asked == [None, "1.0"]


def test_server_sent_events_are_read_as_the_standard_says() -> None:
    text = ": hi\n\nid: 1\nevent: a\ndata: x\ndata: y\n\ndata:z\nretry: 3\n\nevent: b\n\ndata: lost"
    assert list(read_events(text.split("\n"))) == [
        ServerEvent("a", "x\ny", "1"),
        ServerEvent("message", "z"),
    ]


# --- calls


def test_a_call_goes_to_the_gateway_and_its_answer_streams() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.url.path == "/v1/health":
            return httpx.Response(200, json=HEALTH)
        return httpx.Response(200, content=iter([b"a", b"b"]), headers={"content-type": "text/plain"})

    caller = remote(handler)
    for _ in range(2):
        with caller.call("c", "environments/staging", b"{}") as reply:
            assert (reply.is_success, reply.is_json, list(reply.chunks)) == (True, False, [b"a", b"b"])
    assert [str(r.url) for r in seen] == [
        f"{URL}/v1/health",
        *["http://127.0.0.1:2/chains/c/environments/staging/run_remote"] * 2,
    ]
    assert seen[1].headers["content-type"] == "application/json"


def test_an_error_of_the_chain_is_an_answer() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/health":
            return httpx.Response(200, json=HEALTH)
        return httpx.Response(500, json={"error": "boom"})

    with remote(handler).call("c", "latest", b"{}") as reply:
        assert (reply.status, json.loads(reply.read())) == (500, {"error": "boom"})


def test_an_answer_that_breaks_off_is_a_failed_call() -> None:
    """CH506, not CH301: the remote was reached."""

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/health":
            return httpx.Response(200, json=HEALTH)
        return httpx.Response(200, stream=Breaking(b"part"))

    def run() -> None:
        with remote(handler).call("c", "latest", b"{}") as reply:
            reply.read()

    assert refused(run).code is Code.CALL_FAILED
