"""1.6: the handle that `push` returns."""

from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from chains_protocol.control import ChainletStatus, DeploymentInfo, DeploymentKind, DeploymentState
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.replica import ReplicaState
from truss_chains.errors import ChainsDeploymentError
from truss_chains.service import INFO_TIMEOUT_S, ChainService


@dataclass
class Reply:
    chunks: object
    status: int = 200
    content_type: str = "application/json"


@dataclass
class FakeRemote:
    """Answers calls with `reply`; fails `failures` first."""

    info: DeploymentInfo
    reply: Reply | None = None
    failures: list[Code] = field(default_factory=list)
    calls: list[object] = field(default_factory=list)
    open_calls: int = 0

    def _maybe_fail(self) -> None:
        if self.failures:
            raise DiagnosticsError([Diagnostic(code=self.failures.pop(0), message="no")])

    def deployment(self, chain, selector):
        self.calls.append((chain, selector))
        self._maybe_fail()
        return self.info

    def delete_deployment(self, chain, selector):
        self._maybe_fail()
        self.calls.append(("deleted", chain, selector))

    @contextmanager
    def call(self, chain, selector, body):
        self._maybe_fail()
        self.calls.append((chain, selector, body))
        self.open_calls += 1
        try:
            yield self.reply
        finally:
            self.open_calls -= 1


def deployment(**fields) -> DeploymentInfo:
    return DeploymentInfo(
        **{
            "id": "d1",
            "chain_name": "poems",
            "kind": DeploymentKind.PUBLISHED,
            "state": DeploymentState.ACTIVE,
            "entrypoint": "Front",
            "created_at": 0.0,
            "run_remote_url": "http://localhost:1/chains/poems/deployment/d1/run_remote",
            "chainlets": (
                ChainletStatus(
                    display_name="front",
                    class_name="Front",
                    is_entrypoint=True,
                    package_digest="0" * 64,
                    state=ReplicaState.READY,
                ),
                ChainletStatus(
                    display_name="back",
                    class_name="Back",
                    package_digest="1" * 64,
                    state=ReplicaState.LOADING,
                ),
            ),
            **fields,
        }
    )


def service(remote: FakeRemote) -> ChainService:
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds

    return ChainService(remote, remote.info, clock=lambda: now[0], pause=pause)


def test_facts():
    found = service(FakeRemote(deployment()))
    assert (found.name, found.chain_deployment_id, found.is_websocket) == ("poems", "d1", False)
    assert found.run_remote_url.endswith("/deployment/d1/run_remote") and found.status_page_url
    assert found.keepalive_ping_paths == {}


def test_a_call_returns_the_json_value():
    remote = FakeRemote(deployment(), Reply(iter([b'{"error"', b': "x"}'])))
    assert service(remote).run_remote({"a": 1}) == {"error": "x"}
    assert remote.calls == [("poems", "deployment/d1", b'{"a": 1}')]


@pytest.mark.parametrize(
    ("body", "value"), [(b"3", 3), (b"true", True), (b"null", None), (b'"an error"', "an error")]
)
def test_wp70_any_json_value_is_a_result(body, value):
    assert service(FakeRemote(deployment(), Reply(iter([body])))).run_remote(None) == value


def test_a_refused_key_is_a_value_error():
    with pytest.raises(ValueError, match="401"):
        service(FakeRemote(deployment(), Reply(iter([b""]), status=401))).run_remote({})


def test_wp16_a_stream_is_a_generator_of_text_with_whole_characters():
    chunks = [b"a\xc3", b"\xa4", "ö".encode()]
    remote = FakeRemote(deployment(is_streaming=True), Reply(iter(chunks), content_type="text/plain"))
    stream = service(remote).run_remote({})
    assert remote.open_calls == 1
    assert list(stream) == ["a", "ä", "ö"]
    assert remote.open_calls == 0


def test_a_stream_in_another_encoding():
    reply = Reply(iter(["ä".encode("latin-1")]), content_type="text/plain; charset=latin-1")
    assert list(service(FakeRemote(deployment(is_streaming=True), reply)).run_remote({})) == ["ä"]


def test_info_tells_every_chainlet():
    first, second = service(FakeRemote(deployment())).get_info()
    assert (first.name, first.is_entrypoint, first.is_draft, first.status) == ("front", True, False, "ACTIVE")
    assert (second.name, second.status, second.hostname) == ("back", "LOADING", "localhost:1")


def test_info_is_asked_again_while_the_remote_is_away():
    remote = FakeRemote(deployment(), failures=[Code.REMOTE_UNREACHABLE] * 3)
    assert len(service(remote).get_info()) == 2
    assert len(remote.calls) == 4


def test_info_gives_up_in_the_end_and_at_once_if_asking_again_is_no_use():
    away = FakeRemote(deployment(), failures=[Code.REMOTE_UNREACHABLE] * 1000)
    with pytest.raises(ChainsDeploymentError, match="CH301"):
        service(away).get_info()
    assert len(away.calls) == INFO_TIMEOUT_S + 1
    unknown = FakeRemote(deployment(), failures=[Code.UNKNOWN_DEPLOYMENT])
    with pytest.raises(ChainsDeploymentError, match="CH304"):
        service(unknown).get_info()
    assert len(unknown.calls) == 1


def test_deactivate():
    remote = FakeRemote(deployment())
    service(remote).deactivate()
    assert remote.calls == [("deleted", "poems", "d1")]
    with pytest.raises(ChainsDeploymentError):
        service(FakeRemote(deployment(), failures=[Code.UNKNOWN_CHAIN])).deactivate()


def test_an_unreachable_remote_is_an_error_users_can_catch():
    with pytest.raises(ChainsDeploymentError, match="CH301") as caught:
        service(FakeRemote(deployment(), failures=[Code.REMOTE_UNREACHABLE])).run_remote({})
    assert caught.value.diagnostics[0].code == "CH301"


def test_the_example_input_has_to_be_set():
    found = service(FakeRemote(deployment()))
    with pytest.raises(ValueError, match="before it was set"):
        _ = found.entrypoint_fake_json_data
    found.entrypoint_fake_json_data = {"a": 1}
    assert found.entrypoint_fake_json_data == {"a": 1}
