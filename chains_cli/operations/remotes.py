"""Name the platforms that `--remote` may go to."""

from dataclasses import dataclass
from pathlib import Path

from chains_cli.exits import Exit
from chains_cli.remotes.book import NamedRemote, book_path, read_book, write_book
from chains_cli.settings import LOCAL_REMOTE
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError


@dataclass(frozen=True, slots=True)
class RemoteLine:
    """A remote as it is shown: never its token. `url` is empty for the platform of this machine."""

    name: str
    url: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class RemotesResult:
    """All remotes, `local` first; `changed` is the one that was added, chosen or removed."""

    file: str
    remotes: tuple[RemoteLine, ...]
    changed: str | None = None
    exit_code: int = Exit.OK


def list_remotes(home: Path, changed: str | None = None) -> RemotesResult:
    """All remotes by name."""
    book = read_book(home)
    named = (RemoteLine(n, r.url, book.chosen == n) for n, r in sorted(book.remotes.items()))
    local = RemoteLine(LOCAL_REMOTE, "", book.chosen == LOCAL_REMOTE)
    return RemotesResult(str(book_path(home)), (local, *named), changed)


def add_remote(home: Path, name: str, url: str, token: str) -> RemotesResult:
    """Name a platform; contacts nobody.

    Raises:
        DiagnosticsError: CH306 for a wrong name or URL, CH302 for an empty token.
    """
    if not token:
        diagnostic = Diagnostic(
            code=Code.REMOTE_REFUSED_TOKEN,
            message=f"the token of remote `{name}` is empty",
            help="type it when asked, or send it on standard input; "
            "on the platform's machine it is in `platform/token` below its home",
        )
        raise DiagnosticsError([diagnostic])
    write_book(home, read_book(home).adding(NamedRemote(name, url.rstrip("/"), token)))
    return list_remotes(home, name)


def use_remote(home: Path, name: str) -> RemotesResult:
    """Choose the remote that commands use when none is asked for."""
    write_book(home, read_book(home).using(name))
    return list_remotes(home, name)


def remove_remote(home: Path, name: str) -> RemotesResult:
    """Forget a remote and its token; what runs there goes on."""
    write_book(home, read_book(home).removing(name))
    return list_remotes(home, name)


__all__ = ["RemoteLine", "RemotesResult", "add_remote", "list_remotes", "remove_remote", "use_remote"]
