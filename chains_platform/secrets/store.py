"""Secrets: encrypted at rest with the platform's key, handed to Chainlets that declare them."""

from collections.abc import Callable, Iterable
from typing import Final

from cryptography.fernet import Fernet, InvalidToken

from chains_platform.store.writer import Writer
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Severity
from chains_protocol.spec import ChainletSpec

CHAIN_KEY: Final = "baseten_chain_api_key"
"""The Chain's own key: every Chainlet may read it."""


class SecretStore:
    """Set, list, delete; values come out only for the launch of a replica."""

    def __init__(self, writer: Writer, key: bytes, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._fernet = Fernet(key)
        self._clock = clock

    async def put(self, name: str, value: str) -> None:
        token, at = self._fernet.encrypt(value.encode()), self._clock()
        await self._writer.read(lambda store: store.put_secret(name, token, at))

    async def delete(self, name: str) -> bool:
        """False if there is none of that name."""
        return await self._writer.read(lambda store: store.delete_secret(name))

    async def names(self) -> tuple[str, ...]:
        return tuple(sorted(await self._writer.read(lambda store: store.secrets())))

    async def of(self, spec: ChainletSpec) -> dict[str, str]:
        """Those that this Chainlet declares and that are set.

        Raises:
            DiagnosticsError: CH508 if one can't be decrypted with this platform's key.
        """
        stored = await self._writer.read(lambda store: store.secrets())
        wanted = {*spec.assets.secret_keys, CHAIN_KEY} & stored.keys()
        try:
            return {name: self._fernet.decrypt(stored[name]).decode() for name in sorted(wanted)}
        except InvalidToken as error:
            raise DiagnosticsError([_unreadable(spec)]) from error


def missing_secrets(specs: Iterable[ChainletSpec], names: Iterable[str]) -> tuple[Diagnostic, ...]:
    """A warning for every declared secret that is not set."""
    known = set(names)
    return tuple(
        Diagnostic(
            code=Code.MISSING_SECRET,
            severity=Severity.WARNING,
            message=f"secret `{name}` is not set; reading it will fail",
            help=f"set it with `chains secrets set {name}`; what runs gets it then",
            chainlet=spec.display_name,
        )
        for spec in specs
        for name in sorted(set(spec.assets.secret_keys) - known - {CHAIN_KEY})
    )


def _unreadable(spec: ChainletSpec) -> Diagnostic:
    return Diagnostic(
        code=Code.MISSING_SECRET,
        message="a stored secret can't be decrypted: the platform's key was replaced",
        help="set the secrets again with `chains secrets set`",
        chainlet=spec.display_name,
    )


__all__ = ["CHAIN_KEY", "SecretStore", "missing_secrets"]
