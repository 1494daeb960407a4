"""What ended a command, told: diagnostics, an interruption, a closed pipe, or a bug of ours."""

import os
import platform
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from chains_cli.console import open_console
from chains_cli.console.console import OutputLost
from chains_cli.exits import Exit, diagnostics_exit
from chains_cli.settings import Settings, World
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, sort_diagnostics

_SENSITIVE: Final = ("--secret", "--data", "--input", "-d", "-i")
_LIBRARIES: Final = ("chains-toolchain", "typer", "rich", "pydantic", "httpx", "watchfiles", "jinja2")


def report_failure(error: BaseException, settings: Settings, world: World) -> int:
    """Tell what `error` means to the user; returns the exit status."""
    if isinstance(error, BrokenPipeError):
        _silence_stdout(world)
        return Exit.BROKEN_PIPE
    if isinstance(error, OutputLost):
        return _output_lost(error, world)
    if isinstance(error, KeyboardInterrupt):
        diagnostics: tuple[Diagnostic, ...] = ()
        code = Exit.INTERRUPTED
    elif isinstance(error, DiagnosticsError):
        diagnostics = sort_diagnostics(error.diagnostics)
        code = diagnostics_exit(diagnostics) or Exit.INVALID
    else:
        diagnostics = (_internal(error, settings, world),)
        code = Exit.INTERNAL
    try:
        with open_console(settings, world.stdout, world.stderr) as console:
            console.fail(diagnostics)
            console.end(code, diagnostics)
    except BrokenPipeError:
        _silence_stdout(world)
    except OutputLost as lost:
        return _output_lost(lost, world)
    return code


def _output_lost(error: OutputLost, world: World) -> int:
    """Nobody got the result, so the status must not be that of a success."""
    _silence_stdout(world)
    why = (error.strerror or "").lower()
    with suppress(OSError):
        world.stderr.write(f"error: the output cannot be written: {why}\n")
        world.stderr.flush()
    return Exit.BROKEN_PIPE


def _silence_stdout(world: World) -> None:
    """Keep the interpreter's last flush from complaining about the pipe that is gone."""
    if world.stdout is sys.stdout:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _internal(error: BaseException, settings: Settings, world: World) -> Diagnostic:
    text = report_text(error, sys.argv[1:] if world.stdout is sys.stdout else (), settings)
    path = _write_report(text, settings.home, world.clock())
    where = f"please report it with the file {path}" if path else "please report it with the text above"
    return Diagnostic(
        code=Code.INTERNAL,
        message=f"chains failed in a way it should not: {type(error).__name__}: {error}",
        help=where,
        detail=None if path else text,
    )


def redact(argv: Sequence[str]) -> list[str]:
    """`argv` without the values of options that may carry data or secrets."""
    shown: list[str] = []
    hide_next = False
    for word in argv:
        option, equals, _ = word.partition("=")
        if hide_next:
            shown.append("***")
        elif equals and option in _SENSITIVE:
            shown.append(f"{option}=***")
        else:
            shown.append(word)
        hide_next = not hide_next and word in _SENSITIVE
    return shown


def report_text(error: BaseException, argv: Sequence[str], settings: Settings) -> str:
    """The report: command line, versions, traceback."""
    versions = []
    for name in _LIBRARIES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"{name} is not installed")
    trace = "".join(traceback.format_exception(error))
    if settings.token:
        trace = trace.replace(settings.token, "***")
    lines = [
        f"command: chains {' '.join(redact(argv))}",
        f"python:  {sys.version.split()[0]} ({sys.executable})",
        f"system:  {platform.platform()}",
        f"parts:   {', '.join(versions)}",
        "",
        trace,
    ]
    return "\n".join(lines)


def _write_report(text: str, home: Path, at: float) -> Path | None:
    import tempfile

    for directory in (home / "reports", Path(tempfile.gettempdir())):
        path = directory / f"chains-{int(at * 1000)}-{os.getpid()}.txt"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=False)
            path.write_text(text, "utf-8")
        except OSError:
            continue
        return path
    return None


__all__ = ["redact", "report_failure", "report_text"]
