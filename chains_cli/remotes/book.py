"""The remotes a user has named, in one private file below the home.

{"schema": 1, "chosen": "lab", "remotes": {"lab": {"url": "https://...", "token": "..."}}}
"""

import json
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from chains_cli.settings import LOCAL_REMOTE
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError

_FILE: Final = "remotes.json"
_SCHEMA: Final = 1
_MODE: Final = 0o600
_NAME: Final = re.compile(r"[0-9a-zA-Z][0-9a-zA-Z_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class NamedRemote:
    """A platform elsewhere: its control plane's URL and the token that opens it."""

    name: str
    url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RemoteBook:
    """All named remotes; `chosen` is the one used when none is asked for."""

    remotes: Mapping[str, NamedRemote] = field(default_factory=dict)
    chosen: str = LOCAL_REMOTE

    def find(self, name: str) -> NamedRemote:
        """The remote of that name.

        Raises:
            DiagnosticsError: CH301 if there is none.
        """
        if name in self.remotes:
            return self.remotes[name]
        known = ", ".join((LOCAL_REMOTE, *sorted(self.remotes)))
        raise DiagnosticsError(
            [
                Diagnostic(
                    code=Code.REMOTE_UNREACHABLE,
                    message=f"`{name}` is not a remote",
                    help=f"there are {known}; `chains remote add {name} --url URL` adds one, "
                    "and `--remote` takes a URL too",
                )
            ]
        )

    def adding(self, remote: NamedRemote) -> "RemoteBook":
        """With this remote, in the place of one of the same name.

        Raises:
            DiagnosticsError: CH306 if its name or its URL can't be one.
        """
        if remote.name == LOCAL_REMOTE or not _NAME.fullmatch(remote.name):
            raise _wrong(
                f"`{remote.name}` can't name a remote",
                "use letters, digits, `_`, `.` and `-`; `local` is the platform of this machine",
            )
        parts = urlsplit(remote.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise _wrong(
                f"`{remote.url}` is not the URL of a platform", "write it as `https://chains.example.com`"
            )
        return replace(self, remotes={**self.remotes, remote.name: remote})

    def removing(self, name: str) -> "RemoteBook":
        """Without that remote; if it was the chosen one, `local` is."""
        self.find(name)
        left = {k: v for k, v in self.remotes.items() if k != name}
        return RemoteBook(left, LOCAL_REMOTE if self.chosen == name else self.chosen)

    def using(self, name: str) -> "RemoteBook":
        """With that remote as the one used when none is asked for."""
        if name != LOCAL_REMOTE:
            self.find(name)
        return replace(self, chosen=name)


def book_path(home: Path) -> Path:
    """Where the remotes of a home are kept."""
    return home / _FILE


def read_book(home: Path) -> RemoteBook:
    """The remotes of a home; none if there is no file.

    Raises:
        DiagnosticsError: CH302 if others may read the file, CH306 if it is damaged or can't be read.
    """
    path = book_path(home)
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read()
    except (FileNotFoundError, NotADirectoryError):  # what the home is, is the platform's to tell
        return RemoteBook()
    except OSError as error:
        raise _unusable(path, "read", error) from error
    if mode & 0o077:
        raise DiagnosticsError(
            [
                Diagnostic(
                    code=Code.REMOTE_REFUSED_TOKEN,
                    message=f"`{path}` holds tokens, and others may read it",
                    help=f"`chmod 600 {path}`, and change the tokens if somebody else may have read them",
                )
            ]
        )
    try:
        return _parse(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _wrong(f"`{path}` can't be read: {error}", "repair or delete it") from error


def write_book(home: Path, book: RemoteBook) -> None:
    """Replace the file as a whole; only its owner may read it, from the first byte on.

    Raises:
        DiagnosticsError: CH306 if it can't be written.
    """
    path = book_path(home)
    try:
        _write(path, book)
    except OSError as error:
        raise _unusable(path, "written", error) from error


def _write(path: Path, book: RemoteBook) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(f".{os.getpid()}")
    data = {
        "schema": _SCHEMA,
        "chosen": book.chosen,
        "remotes": {name: {"url": r.url, "token": r.token} for name, r in sorted(book.remotes.items())},
    }
    with suppress(FileNotFoundError):
        draft.unlink()
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "w") as file:
        json.dump(data, file, indent=1)
    draft.replace(path)


def _parse(data: Any) -> RemoteBook:  # Any: whatever JSON the file holds
    if data["schema"] != _SCHEMA:
        raise ValueError(f"its schema is {data['schema']}, this tool reads {_SCHEMA}")
    remotes = {
        str(name): NamedRemote(str(name), str(r["url"]), str(r["token"]))
        for name, r in data["remotes"].items()
    }
    return RemoteBook(remotes, str(data["chosen"]))


def _unusable(path: Path, what: str, error: OSError) -> DiagnosticsError:
    why = (error.strerror or str(error)).lower()
    return _wrong(f"`{path}` can't be {what}: {why}", "name a directory of your own with CHAINS_HOME")


def _wrong(message: str, help_: str) -> DiagnosticsError:
    return DiagnosticsError([Diagnostic(code=Code.BAD_REQUEST, message=message, help=help_)])


__all__ = ["NamedRemote", "RemoteBook", "book_path", "read_book", "write_book"]
