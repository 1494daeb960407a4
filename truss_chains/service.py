"""A deployed Chain, as `push` returns it."""

import codecs
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, Final, Protocol

from chains_protocol.control import ChainletStatus, DeploymentInfo, DeploymentKind
from chains_protocol.errors import Code, DiagnosticsError
from chains_protocol.replica import ReplicaState
from truss_chains.errors import ChainsDeploymentError

INFO_TIMEOUT_S: Final = 300.0
"""How long `get_info` asks again while the remote can't be reached."""

_INFO_PAUSE_S: Final = 1.0


class CallReply(Protocol):
    """The answer of a call: a status, and a body that is read once."""

    @property
    def status(self) -> int: ...

    @property
    def content_type(self) -> str: ...

    @property
    def chunks(self) -> Iterator[bytes]: ...


class ServiceRemote(Protocol):
    """What a service needs of the remote that it was pushed to."""

    def deployment(self, chain: str, selector: str) -> DeploymentInfo: ...

    def delete_deployment(self, chain: str, selector: str) -> None: ...

    def call(self, chain: str, selector: str, body: bytes) -> AbstractContextManager[CallReply]: ...


@dataclass(frozen=True)
class DeployedChainlet:
    """One Chainlet of a deployment. `status` is upper case; `ACTIVE` serves."""

    name: str
    is_entrypoint: bool
    is_draft: bool
    status: str
    logs_url: str
    oracle_name: str
    oracle_id: str
    oracle_version_id: str
    hostname: str


@dataclass
class ChainService:
    """A handle to one deployment of a Chain.

    Args:
        remote: where it runs.
        deployment: what the remote said about it when it was pushed.
        clock: seconds that only grow.
        pause: waits for seconds.
    """

    remote: ServiceRemote = field(repr=False)
    deployment: DeploymentInfo
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    pause: Callable[[float], None] = field(default=time.sleep, repr=False)
    _fake_json_data: Any = field(default=None, repr=False)  # a JSON value

    @property
    def name(self) -> str:
        """The name of the Chain."""
        return self.deployment.chain_name

    @property
    def run_remote_url(self) -> str:
        """The address that invokes this deployment."""
        return self.deployment.run_remote_url

    @property
    def is_websocket(self) -> bool:
        """Whether the entrypoint has a websocket."""
        return self.deployment.is_websocket

    @property
    def chain_deployment_id(self) -> str:
        """The id of this deployment."""
        return self.deployment.id

    @property
    def status_page_url(self) -> str:
        """The address of the Chain: of its environment if it has one, else of this deployment."""
        return self.deployment.environment_url or self.deployment.run_remote_url

    @property
    def keepalive_ping_paths(self) -> Mapping[str, str]:
        """Display name -> path to ping; empty, since the platform needs no pings."""
        return {}

    @property
    def entrypoint_fake_json_data(self) -> Any:  # a JSON value
        """An example input for the entrypoint, once it was set.

        Raises:
            ValueError: it was not set.
        """
        if self._fake_json_data is None:
            raise ValueError("`entrypoint_fake_json_data` was read before it was set")
        return self._fake_json_data

    @entrypoint_fake_json_data.setter
    def entrypoint_fake_json_data(self, value: Any) -> None:  # a JSON value
        self._fake_json_data = value

    def run_remote(self, json_data: Any) -> Any:  # JSON values
        """Call the entrypoint.

        Returns:
            The JSON value it answers with (an `{"error": ...}` object is returned as it is); for
            a stream a generator of text.

        Raises:
            ValueError: the remote refuses the key.
            ChainsDeploymentError: the remote can't be reached.
        """
        body = json.dumps(json_data).encode()
        with ExitStack() as stack:
            try:
                call = self.remote.call(self.name, f"deployment/{self.deployment.id}", body)
                reply = stack.enter_context(call)
            except DiagnosticsError as error:
                raise deployment_error(error) from error
            if reply.status == 401:
                raise ValueError(f"{self.run_remote_url} refused the key (401)")
            if self.deployment.is_streaming and reply.status < 300:
                return _decoded(reply, stack.pop_all())
            return json.loads(b"".join(reply.chunks) or b"null")

    def get_info(self) -> list[DeployedChainlet]:
        """The Chainlets and their states, asked now.

        Raises:
            ChainsDeploymentError: the remote could not be reached for `INFO_TIMEOUT_S`, or it
                does not know the deployment any more.
        """
        ends_at = self.clock() + INFO_TIMEOUT_S
        while True:
            try:
                info = self.remote.deployment(self.name, self.deployment.id)
                return [_deployed(info, status) for status in info.chainlets]
            except DiagnosticsError as error:
                is_lost = any(d.code is Code.REMOTE_UNREACHABLE for d in error.diagnostics)
                if not is_lost or self.clock() + _INFO_PAUSE_S > ends_at:
                    raise deployment_error(error) from error
            self.pause(_INFO_PAUSE_S)

    def deactivate(self) -> None:
        """Stop this deployment and remove it from the Chain.

        Raises:
            ChainsDeploymentError: the remote refuses or can't be reached.
        """
        try:
            self.remote.delete_deployment(self.name, self.deployment.id)
        except DiagnosticsError as error:
            raise deployment_error(error) from error


def deployment_error(error: DiagnosticsError) -> ChainsDeploymentError:
    """What the tool found, as an exception that user code may catch."""
    return ChainsDeploymentError(str(error), diagnostics=error.diagnostics)


def _decoded(reply: CallReply, stack: ExitStack) -> Iterator[str]:
    """The stream as text; characters that span chunks arrive whole."""
    with stack:
        decoder = codecs.getincrementaldecoder(_charset(reply.content_type))()
        for chunk in reply.chunks:
            if text := decoder.decode(chunk):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text


def _charset(content_type: str) -> str:
    message = Message()
    message["content-type"] = content_type
    return message.get_content_charset("utf-8")


def _deployed(info: DeploymentInfo, status: ChainletStatus) -> DeployedChainlet:
    is_ready = status.state is ReplicaState.READY
    return DeployedChainlet(
        name=status.display_name,
        is_entrypoint=status.is_entrypoint,
        is_draft=info.kind is DeploymentKind.DEVELOPMENT,
        status="ACTIVE" if is_ready else status.state.value.upper(),
        logs_url="",
        oracle_name=status.display_name,
        oracle_id=status.class_name,
        oracle_version_id=status.package_digest,
        hostname=info.run_remote_url.partition("://")[2].partition("/")[0],
    )


__all__ = [
    "INFO_TIMEOUT_S",
    "CallReply",
    "ChainService",
    "DeployedChainlet",
    "ServiceRemote",
    "deployment_error",
]
