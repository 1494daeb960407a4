"""Flags + environment -> frozen `Settings`; and the `World`: everything outside that the tool touches."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from chains_cli.discovery.process import Children
    from chains_cli.events import Report
    from chains_cli.remotes.remote import Remote

LOCAL_REMOTE: Final = "local"
"""The embedded platform on this machine."""


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user asked for, once flags, environment and defaults are settled.

    `remote` is "local", a name or the URL of a platform, None for the one that `chains remote use`
    chose; `token` opens a platform by URL, and wins over the one kept for a name.
    `color` is None until the stream is known: a terminal has colour unless `NO_COLOR` is set.
    """

    home: Path
    cwd: Path
    remote: str | None = None
    token: str | None = None
    output: Output = Output.TEXT
    quiet: bool = False
    verbose: bool = False
    color: bool | None = None
    interactive: bool = False


def default_home(environ: Mapping[str, str]) -> Path:
    """`CHAINS_HOME`, else the user data directory of the operating system."""
    if chosen := environ.get("CHAINS_HOME"):
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_data_dir

    return Path(user_data_dir("chains"))


@dataclass(frozen=True, slots=True)
class Flags:
    """The options that every command has, as given; None is "not given"."""

    remote: str | None = None
    output: Output | None = None
    quiet: bool = False
    verbose: bool = False
    no_color: bool = False
    non_interactive: bool = False


def load_settings(
    flags: Flags | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    has_terminal: bool = False,
) -> Settings:
    """Settle flags, then environment, then defaults.

    Args:
        flags: what the command line said.
        environ: the process environment; this process's own if not given.
        cwd: the working directory; this process's own if not given.
        has_terminal: standard input and standard error are a terminal.

    Raises:
        ValueError: `CHAINS_OUTPUT` is neither "text" nor "json".
    """
    flags = flags or Flags()
    environ = os.environ if environ is None else environ
    output = flags.output or Output(environ.get("CHAINS_OUTPUT") or Output.TEXT)
    plain = flags.no_color or bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"
    return Settings(
        home=default_home(environ),
        cwd=cwd or Path.cwd(),
        remote=flags.remote or environ.get("CHAINS_REMOTE") or None,
        token=environ.get("CHAINS_TOKEN") or None,
        output=output,
        quiet=flags.quiet,
        verbose=flags.verbose,
        color=False if plain else None,
        interactive=has_terminal and not flags.non_interactive and not environ.get("CI"),
    )


def _connect(settings: Settings, environ: Mapping[str, str], report: "Report", start: bool) -> "Remote":
    from chains_cli.operations.connect import connect

    return connect(settings, environ, report, start=start)


@dataclass(frozen=True)
class World:
    """What lies outside the tool, as arguments: streams, environment, directory, clock, remotes.

    `children` has the Python that was started to read the user's file, if there is one.
    """

    environ: Mapping[str, str]
    cwd: Path
    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    connect: Callable[[Settings, Mapping[str, str], "Report", bool], "Remote"] = _connect
    clock: Callable[[], float] = time.time
    children: "Children | None" = None

    @classmethod
    def real(cls, children: "Children | None" = None) -> "World":
        """This process's own."""
        return cls(os.environ, Path.cwd(), sys.stdin, sys.stdout, sys.stderr, children=children)

    @property
    def has_terminal(self) -> bool:
        """Whether a person can be asked: standard input and standard error are a terminal."""
        return self.stdin.isatty() and self.stderr.isatty()


__all__ = ["LOCAL_REMOTE", "Flags", "Output", "Settings", "World", "default_home", "load_settings"]
