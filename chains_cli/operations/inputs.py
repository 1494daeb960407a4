"""Input from the command line: `JSON`, `@FILE` or `-` (standard input)."""

import json
from pathlib import Path
from typing import TextIO

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Location


def read_input(text: str, *, cwd: Path, stdin: TextIO) -> str:
    """The JSON document that the option's value means.

    Raises:
        DiagnosticsError: CH129 if a file cannot be read or the text is not JSON.
    """
    if text == "-":
        name, document = "standard input", stdin.read()
    elif text.startswith("@"):
        path = cwd / Path(text[1:]).expanduser()
        name, document = str(path), _read(path)
    else:
        name, document = "", text
    try:
        json.loads(document)
    except ValueError as error:
        raise DiagnosticsError([_not_json(name, document, error)]) from error
    return document


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        diagnostic = Diagnostic(
            code=Code.BAD_INPUT,
            message=f"the input file `{path}` cannot be read: {reason}",
            help="name a file that holds one JSON document",
        )
        raise DiagnosticsError([diagnostic]) from error


def _not_json(name: str, document: str, error: ValueError) -> Diagnostic:
    location = None
    what = str(error)
    if isinstance(error, json.JSONDecodeError):
        lines = document.splitlines() or [""]
        source = lines[error.lineno - 1] if error.lineno <= len(lines) else ""
        what = f"{error.msg[:1].lower()}{error.msg[1:]}, at character {error.colno}"
        if name:
            location = Location(path=name, line=error.lineno, column=error.colno, source_line=source[:200])
    return Diagnostic(
        code=Code.BAD_INPUT,
        message=f"the input is not JSON: {what}",
        location=location,
        help='quote it for the shell, for example \'{"names": ["Ada"]}\', or use `@FILE` or `-`',
    )


__all__ = ["read_input"]
