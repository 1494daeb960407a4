"""What all commands share: their options, and the frame they run in.

    app = make_typer()

    @command(app)
    def status(cli: Cli, chain: ChainArgument) -> int:
        '''Show what runs.'''

`cli` is not an option: `command` replaces it by the options all commands have.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from chains_cli.app import SHARED_PANEL, PlainCommand, UsageError
from chains_cli.settings import Flags, Output, Settings, World, load_settings

if TYPE_CHECKING:
    from chains_cli.console import Console
    from chains_cli.events import Report
    from chains_cli.remotes.remote import Remote

SourceArgument = Annotated[
    str, typer.Argument(metavar="SOURCE", help="The Python file that declares the chain.")
]
EntrypointArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="ENTRYPOINT",
        help="Class name of the entrypoint; optional when one class is marked.",
    ),
]
ChainArgument = Annotated[str, typer.Argument(metavar="CHAIN", help="Name of the chain.")]
PythonOption = Annotated[
    str | None,
    typer.Option(
        "--python",
        metavar="PATH",
        help="Python that reads the file. Default: VIRTUAL_ENV, .venv beside or above the file, else ours.",
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Name of the chain. Default: what the file says."),
]
MockOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mock",
        metavar="NAME=auto|FILE:CLASS",
        help="Put a stand-in in the place of a chainlet; may be repeated.",
    ),
]


def _shared(*names: str, help: str, metavar: str | None = None) -> Any:  # Any: Typer's option marker
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel=SHARED_PANEL)


RemoteOption = Annotated[
    str | None,
    _shared(
        "--remote",
        metavar="NAME|URL",
        help="The platform to use. Default: what `remote use` chose, else local.",
    ),
]
OutputOption = Annotated[
    Output | None, _shared("--output", "-o", metavar="text|json", help="How to print. Default: text.")
]
QuietOption = Annotated[bool, _shared("--quiet", "-q", help="Tell only the result, warnings and errors.")]
VerboseOption = Annotated[bool, _shared("--verbose", "-v", help="Tell more.")]
NoColorOption = Annotated[bool, _shared("--no-color", help="Print without colours.")]
NonInteractiveOption = Annotated[bool, _shared("--non-interactive", help="Never ask.")]

_SHARED = {
    "remote": (RemoteOption, None),
    "output": (OutputOption, None),
    "quiet": (QuietOption, False),
    "verbose": (VerboseOption, False),
    "no_color": (NoColorOption, False),
    "non_interactive": (NonInteractiveOption, False),
}


@dataclass(frozen=True)
class Cli:
    """What a command gets: the settled settings and the world."""

    settings: Settings
    world: World

    @contextmanager
    def console(self) -> Iterator["Console"]:
        """The console of this command."""
        from chains_cli.console import open_console

        with open_console(self.settings, self.world.stdout, self.world.stderr) as console:
            yield console

    def connect(self, report: "Report", *, start: bool = True) -> "Remote":
        """The remote the user chose; `start` starts the embedded platform if it does not run."""
        return self.world.connect(self.settings, self.world.environ, report, start)

    def confirm(self, question: str, *, option: str) -> None:
        """Ask; ends the command unless the answer is yes. `option` is what says yes without asking."""
        if not self.settings.interactive:
            raise typer.BadParameter(f"nobody can be asked here; say yes with {option}")
        self.world.stderr.write(f"{question} [y/N] ")
        self.world.stderr.flush()
        if self.world.stdin.readline().strip().lower() not in ("y", "yes"):
            raise typer.Abort

    def ask_secret(self, what: str) -> str:
        """A value from a prompt that does not show it, or all of standard input."""
        if self.world.stdin.isatty():
            if not self.settings.interactive:
                raise typer.BadParameter("nobody can be asked here; send the value on standard input")
            return str(typer.prompt(what, hide_input=True, err=True))
        return self.world.stdin.read().removesuffix("\n").removesuffix("\r")

    def path(self, text: str) -> Path:
        """A path the user typed, absolute."""
        return self.settings.cwd / Path(text).expanduser()


def command(app: typer.Typer, name: str | None = None) -> Callable[[Callable[..., int]], Callable[..., None]]:
    """Register a function `(cli, ...) -> exit status` as a command with the shared options."""

    def register(function: Callable[..., int]) -> Callable[..., None]:
        signature = inspect.signature(function)
        hints = get_type_hints(function, include_extras=True)
        own = [p.replace(annotation=hints[p.name]) for p in signature.parameters.values() if p.name != "cli"]
        shared = [
            inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for n, (annotation, default) in _SHARED.items()
        ]
        context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]

        def run(ctx: typer.Context, **values: Any) -> None:  # Any: what Typer parsed
            flags = Flags(**{n: values.pop(n) for n in _SHARED})
            raise typer.Exit(_run(ctx.obj, flags, lambda cli: function(cli, **values)))

        parameters += [*shared, context]
        run.__name__ = function.__name__
        run.__doc__ = function.__doc__
        # Typer reads both; they describe the options, not the wrapper.
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name, cls=PlainCommand)(run)
        return run

    return register


def _run(world: World | None, flags: Flags, body: Callable[[Cli], int]) -> int:
    world = world or World.real()
    try:
        settings = load_settings(flags, environ=world.environ, cwd=world.cwd, has_terminal=world.has_terminal)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="CHAINS_OUTPUT") from error
    try:
        return int(body(Cli(settings, world)))
    except (typer.Exit, typer.Abort, UsageError):
        raise
    except (Exception, KeyboardInterrupt) as error:
        from chains_cli.failures import report_failure

        return report_failure(error, settings, world)


__all__ = [
    "ChainArgument",
    "Cli",
    "EntrypointArgument",
    "MockOption",
    "NameOption",
    "PythonOption",
    "SourceArgument",
    "command",
]
