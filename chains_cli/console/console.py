"""The console: one object that shows events while they come and the result at the end."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol, TextIO

from chains_cli import events
from chains_cli.console.diagnostics import diagnostic_lines
from chains_cli.console.palette import Palette, palette_for
from chains_cli.console.story import story_lines
from chains_cli.settings import Output, Settings
from chains_protocol.errors import Diagnostic, Severity


class OutputLost(OSError):
    """What the tool says cannot be written, to a full disk for example; a closed pipe is none."""


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLost(error.errno, error.strerror) from error


class Result(Protocol):
    """What an operation returns: a dataclass that knows its exit status."""

    @property
    def exit_code(self) -> int: ...


class Console(Protocol):
    """Shows events, diagnostics and the result of one command."""

    def show(self, event: events.Event) -> None:
        """Tell one event."""

    def fail(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Tell what ended the command."""

    def finish(self, result: Result, lines: Callable[[Palette], Iterable[str]]) -> int:
        """Tell the result: `lines` as text, or the result itself as JSON. Returns its exit status."""

    def end(self, exit_code: int, diagnostics: Sequence[Diagnostic] = ()) -> None:
        """The last line of a command that has no result object."""

    def close(self) -> None:
        """Put the terminal back as it was."""


class TextConsole:
    """Plain lines: the story to stderr, the result to stdout."""

    def __init__(self, settings: Settings, stdout: TextIO, stderr: TextIO) -> None:
        self._settings = settings
        self._stdout = stdout
        self._stderr = stderr
        self._out = palette_for(stdout, settings.color)
        self._err = palette_for(stderr, settings.color)

    def show(self, event: events.Event) -> None:
        if isinstance(event, events.Item):
            with _writing():
                self._write_item(event.value)
        elif isinstance(event, events.LogWritten | events.Line):
            self._print(self._stdout, story_lines(event, self._settings.cwd, self._out))
        elif not self._is_muted(event):
            self._print(self._stderr, story_lines(event, self._settings.cwd, self._err))

    def fail(self, diagnostics: Sequence[Diagnostic]) -> None:
        for number, diagnostic in enumerate(diagnostics):
            if number:
                self._print(self._stderr, ("",))
            self._print(self._stderr, diagnostic_lines(diagnostic, self._settings.cwd, self._err))

    def finish(self, result: Result, lines: Callable[[Palette], Iterable[str]]) -> int:
        self._print(self._stdout, lines(self._out))
        return result.exit_code

    def end(self, exit_code: int, diagnostics: Sequence[Diagnostic] = ()) -> None:
        pass

    def close(self) -> None:
        with _writing():
            self._stdout.flush()
            self._stderr.flush()

    def _is_muted(self, event: events.Event) -> bool:
        if isinstance(event, events.Found):
            return self._settings.quiet and event.diagnostic.severity is Severity.NOTE
        if isinstance(event, events.UserOutput):
            return False
        if isinstance(event, events.BuildOutput) or getattr(event, "detail", False):
            return not self._settings.verbose
        return self._settings.quiet

    def _write_item(self, value: Any) -> None:  # Any: what the user's endpoint yielded
        if isinstance(value, bytes):
            self._stdout.flush()
            buffer = getattr(self._stdout, "buffer", None)
            if buffer is not None:
                buffer.write(value)
                buffer.flush()
                return
            value = value.decode(errors="replace")
        if isinstance(value, str):
            self._stdout.write(value)
            self._stdout.flush()
            return
        from chains_cli.console.values import value_text

        self._print(self._stdout, (value_text(value, pretty=False),))

    def _print(self, stream: TextIO, lines: Iterable[str]) -> None:
        with _writing():
            for line in lines:
                stream.write(line + "\n")
            stream.flush()


class JsonConsole:
    """JSON lines on stdout, nothing else there."""

    def __init__(self, stdout: TextIO) -> None:
        self._stdout = stdout

    def show(self, event: events.Event) -> None:
        if isinstance(event, events.Found):
            self._diagnostic(event.diagnostic)
        else:
            self._line(event.type, {f.name: getattr(event, f.name) for f in fields(event)})

    def fail(self, diagnostics: Sequence[Diagnostic]) -> None:
        for diagnostic in diagnostics:
            self._diagnostic(diagnostic)

    def finish(self, result: Result, lines: Callable[[Palette], Iterable[str]]) -> int:
        from chains_cli.console.encode import to_plain

        code = int(result.exit_code)
        self._line("result", {"ok": code == 0, **to_plain(result), "exit_code": code})
        return code

    def end(self, exit_code: int, diagnostics: Sequence[Diagnostic] = ()) -> None:
        found = {"diagnostics": tuple(diagnostics)} if diagnostics else {}
        self._line("result", {"ok": exit_code == 0, "exit_code": int(exit_code), **found})

    def close(self) -> None:
        with _writing():
            self._stdout.flush()

    def _diagnostic(self, diagnostic: Diagnostic) -> None:
        self._line("diagnostic", {"diagnostic": diagnostic})

    def _line(self, type_: str, values: dict[str, Any]) -> None:  # Any: JSON values
        from chains_cli.console.encode import json_line

        with _writing():
            self._stdout.write(json_line(type_, values) + "\n")
            self._stdout.flush()


def make_console(settings: Settings, stdout: TextIO, stderr: TextIO) -> Console:
    """The console that fits: JSON, live (stderr is a terminal), or plain lines."""
    if settings.output is Output.JSON:
        return JsonConsole(stdout)
    if stderr.isatty() and not settings.quiet:
        from chains_cli.console.live import LiveConsole

        return LiveConsole(settings, stdout, stderr)
    return TextConsole(settings, stdout, stderr)


@contextmanager
def open_console(settings: Settings, stdout: TextIO, stderr: TextIO) -> Iterator[Console]:
    """`make_console`, closed at the end whatever happens."""
    console = make_console(settings, stdout, stderr)
    try:
        yield console
    finally:
        console.close()


def relative(path: Path, cwd: Path) -> str:
    """A path as people would type it."""
    return path.relative_to(cwd).as_posix() if path.is_relative_to(cwd) else str(path)


__all__ = [
    "Console",
    "JsonConsole",
    "OutputLost",
    "Result",
    "TextConsole",
    "make_console",
    "open_console",
    "relative",
]
