"""Every token of the platform, from two files that only their owner can read.

`platform/token` is the user's API token, random. All others are derived from
`platform/key` by HMAC-SHA256 over their purpose, so they need no storage, survive restarts
and can't be computed from one another.
"""

import base64
import hmac
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chains_platform.layout import Layout

_KEY_BYTES: Final = 32


@dataclass(frozen=True)
class Tokens:
    """The API token, and a key from which the other tokens derive. Its `repr` shows neither."""

    api_token: str = field(repr=False)
    key: bytes = field(repr=False)

    @classmethod
    def load(cls, layout: Layout) -> "Tokens":
        """Read both files, making those that are missing (mode 0600)."""
        token = _read_or_create(layout.token_file, lambda: secrets.token_urlsafe(32).encode())
        key = _read_or_create(layout.key_file, lambda: secrets.token_bytes(_KEY_BYTES))
        if len(key) != _KEY_BYTES:
            raise ValueError(f"{layout.key_file} does not hold {_KEY_BYTES} bytes")
        return cls(api_token=token.decode("ascii").strip(), key=key)

    @property
    def gateway_admin(self) -> str:
        """Opens the gateway's `/_chains/` routes."""
        return self._derive("gateway-admin")

    def replica_admin(self, replica_id: str) -> str:
        """Opens one replica's `/_chains/` routes."""
        return self._derive("replica-admin", replica_id)

    def edge(self, set_id: str, callee: str) -> str:
        """Opens one callee for the callers it was given to; `set_id` names the callee's replica set."""
        return self._derive("edge", set_id, callee)

    @property
    def secrets_key(self) -> bytes:
        """A Fernet key, for secrets at rest."""
        return base64.urlsafe_b64encode(self._mac("secrets"))

    @property
    def instance(self) -> str:
        """Tells this state directory from any other; not a secret."""
        return self._mac("instance").hex()[:16]

    def _derive(self, *purpose: str) -> str:
        return base64.urlsafe_b64encode(self._mac(*purpose)).rstrip(b"=").decode("ascii")

    def _mac(self, *purpose: str) -> bytes:
        # lengths make the parts unambiguous, whatever they contain
        message = b"".join(b"%d:%b" % (len(p.encode()), p.encode()) for p in purpose)
        return hmac.digest(self.key, message, "sha256")


def check(given: str, expected: str) -> bool:
    """Whether two tokens are equal, in time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _read_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """The file's content; a file that appears complete or not at all, even when two start at once."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(make())
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first: its content is the truth
    finally:
        draft.unlink()
    return path.read_bytes()


__all__ = ["Tokens", "check"]
