"""Where everything is kept below one home directory, and the file that says what runs."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs
from pydantic import ValidationError

from chains_protocol.base import Reply
from chains_protocol.version import PROTOCOL_VERSION

HOME_VARIABLE: Final = "CHAINS_HOME"
MAX_SOCKET_BYTES: Final = 103
"""Room for a socket's path: 107 bytes on Linux, 103 on macOS."""

_OWNER_ONLY_DIR: Final = 0o700


class PlatformFile(Reply):
    """`platform/platform.json`: what runs, where; written when both processes listen.

    `started` and `gateway_started` are process start times (Unix seconds): with the pid they
    tell a process from a later one.
    """

    protocol: int = PROTOCOL_VERSION
    pid: int
    started: float
    control_url: str
    gateway_url: str
    gateway_pid: int
    gateway_started: float = 0.0
    instance: str


@dataclass(frozen=True)
class Layout:
    """Paths below the home. Making one creates nothing; `create` does."""

    home: Path
    sockets: Path

    @property
    def platform(self) -> Path:
        return self.home / "platform"

    @property
    def platform_file(self) -> Path:
        return self.platform / "platform.json"

    @property
    def ports_file(self) -> Path:
        """The ports chosen on first start, kept when nothing runs."""
        return self.platform / "ports.json"

    @property
    def token_file(self) -> Path:
        return self.platform / "token"

    @property
    def key_file(self) -> Path:
        return self.platform / "key"

    @property
    def database(self) -> Path:
        return self.platform / "state.db"

    @property
    def control_lock(self) -> Path:
        return self.platform / "control.lock"

    @property
    def gateway_lock(self) -> Path:
        return self.platform / "gateway.lock"

    @property
    def gateway_table(self) -> Path:
        """The gateway's last table, which it serves from after a restart."""
        return self.platform / "gateway.json"

    @property
    def gateway_file(self) -> Path:
        """Which process the gateway is and where it listens (`daemons.gateway.GatewayRun`)."""
        return self.platform / "gateway-process.json"

    @property
    def sockets_file(self) -> Path:
        """The socket directory, so that a start from another kind of session finds the same one."""
        return self.platform / "sockets"

    @property
    def logs(self) -> Path:
        return self.platform / "logs"

    @property
    def blobs(self) -> Path:
        return self.home / "blobs"

    @property
    def packages(self) -> Path:
        return self.home / "packages"

    @property
    def environments(self) -> Path:
        return self.home / "envs"

    @property
    def runtimes(self) -> Path:
        return self.home / "runtime"

    @property
    def replicas(self) -> Path:
        return self.home / "replicas"

    def replica(self, replica_id: str) -> Path:
        """The log directory of one replica."""
        return self.replicas / replica_id

    @property
    def gateway_socket(self) -> Path:
        return self.sockets / "gateway.sock"

    def replica_socket(self, replica_id: str) -> Path:
        """A short path of its own for each replica, whatever its id looks like."""
        name = hashlib.sha256(replica_id.encode()).hexdigest()[:16]
        return self.sockets / f"r-{name}.sock"

    def create(self) -> "Layout":
        """Make every directory, readable by its owner only.

        The home itself is the user's: it keeps the mode it has, all below gets ours.

        Raises:
            PermissionError: the socket directory exists and belongs to someone else.
        """
        for path in (
            self.home,
            self.platform,
            self.logs,
            self.blobs,
            self.packages,
            self.environments,
            self.runtimes,
            self.replicas,
        ):
            path.mkdir(mode=_OWNER_ONLY_DIR, parents=True, exist_ok=True)
            if path != self.home:
                path.chmod(_OWNER_ONLY_DIR)
        self.sockets.mkdir(mode=_OWNER_ONLY_DIR, parents=True, exist_ok=True)
        # the name is guessable and the parent may be /tmp: someone else may have been first
        found = self.sockets.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(f"{self.sockets} is not a directory of this user")
        self.sockets.chmod(_OWNER_ONLY_DIR)
        write_private(self.sockets_file, os.fsencode(self.sockets))
        return self

    def remove_sockets(self) -> None:
        """Remove the socket directory, which nobody else would clean up, once no socket is left in it."""
        with contextlib.suppress(OSError):  # somebody listens there, or it is gone already
            self.sockets.rmdir()

    def read_platform_file(self) -> PlatformFile | None:
        """What `platform.json` says; None if it is missing or unreadable. Says nothing about life."""
        try:
            return PlatformFile.model_validate_json(self.platform_file.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def write_platform_file(self, content: PlatformFile) -> None:
        """Replace `platform.json` in one step, mode 0600."""
        write_private(self.platform_file, content.model_dump_json(indent=2).encode() + b"\n")


def find_layout(environ: Mapping[str, str], home: Path | None = None) -> Layout:
    """The layout of `home`, else of `CHAINS_HOME`, else of the user's data directory."""
    chosen = home or Path(environ.get(HOME_VARIABLE) or platformdirs.user_data_dir("chains"))
    chosen = chosen.expanduser().absolute()
    bare = Layout(home=chosen, sockets=chosen)
    return Layout(home=chosen, sockets=_kept_sockets(bare.sockets_file) or _choose_sockets(chosen, environ))


def _kept_sockets(file: Path) -> Path | None:
    """The directory used before, if it can still be used."""
    try:
        kept = Path(os.fsdecode(file.read_bytes()))
    except FileNotFoundError:
        return None
    return kept if kept.is_absolute() and kept.parent.is_dir() else None


def _choose_sockets(home: Path, environ: Mapping[str, str]) -> Path:
    mark = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    run = environ.get("XDG_RUNTIME_DIR", "")
    sockets = Path(run) / f"chains-{mark}"
    if run and Path(run).is_dir() and _socket_bytes(sockets) <= MAX_SOCKET_BYTES:
        return sockets
    return Path("/tmp") / f"chains-{os.getuid()}-{mark}"  # noqa: S108 (checked in `create`)


def write_private(path: Path, data: bytes) -> None:
    """Replace a file in one step, mode 0600: a reader sees the old content or the new."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    draft.replace(path)


def _socket_bytes(directory: Path) -> int:
    return len(os.fsencode(directory / f"r-{'0' * 16}.sock"))


__all__ = ["HOME_VARIABLE", "MAX_SOCKET_BYTES", "Layout", "PlatformFile", "find_layout", "write_private"]
