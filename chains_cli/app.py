"""The command tree: names, one-line helps and groups, without loading a command.

`chains --help` needs only this table. The module of a command is loaded when that command
is asked for, and loads its operation when it runs.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""Click's class, whether it is installed beside Typer or inside it."""

CONTEXT: Final = {"help_option_names": ["-h", "--help"]}
SHARED_PANEL: Final = "Shared options"


class Entry(NamedTuple):
    """One command: its module below `chains_cli.commands`, its panel in the help, its one line."""

    name: str
    module: str
    panel: str
    help: str


_WRITE: Final = "Write and check"
_DEPLOY: Final = "Deploy and call"
_OPERATE: Final = "Operate"
_MACHINE: Final = "This machine"

COMMANDS: Final = (
    Entry("init", "init", _WRITE, "Write a chain that runs, with a test."),
    Entry("check", "check", _WRITE, "Report everything that is wrong with a chain."),
    Entry("graph", "graph", _WRITE, "Show a chain as a tree."),
    Entry("run-local", "run_local", _WRITE, "Run a chain in one process on this machine."),
    Entry("why", "why", _WRITE, "Tell which chainlets a file reaches."),
    Entry("affected", "affected", _WRITE, "Tell which chainlets the changes since a commit reach."),
    Entry("package", "package", _DEPLOY, "Write a chain's packages to a directory."),
    Entry("push", "push", _DEPLOY, "Deploy a chain."),
    Entry("watch", "watch", _DEPLOY, "Keep a development deployment current while you edit."),
    Entry("call", "call", _DEPLOY, "Call a deployed chain."),
    Entry("list", "list", _OPERATE, "List the chains."),
    Entry("status", "status", _OPERATE, "Show what runs, since when, and why not."),
    Entry("logs", "logs", _OPERATE, "Show what a chain's replicas wrote."),
    Entry("history", "history", _OPERATE, "List what changed a chain."),
    Entry("promote", "promote", _OPERATE, "Point an environment at a deployment."),
    Entry("rollback", "rollback", _OPERATE, "Point an environment back at its previous deployment."),
    Entry("undo", "undo", _OPERATE, "Bring back the previous version of the development deployment."),
    Entry("publish", "publish", _OPERATE, "Publish exactly what the development deployment runs."),
    Entry("delete", "delete", _OPERATE, "Stop and delete a chain or one deployment."),
    Entry("secrets", "secrets", _OPERATE, "Set, list and delete secrets."),
    Entry("remote", "remote", _MACHINE, "Name the platforms that --remote may go to."),
    Entry("platform", "platform", _MACHINE, "Start, stop and inspect the embedded platform."),
    Entry("doctor", "doctor", _MACHINE, "Find what is wrong with this machine."),
)


class PlainCommand(TyperCommand):
    """A command whose help lists the options shared by all commands apart from its own."""

    def format_options(self, ctx: Any, formatter: Any) -> None:  # Any: click's classes, vendored or not
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": [], SHARED_PANEL: []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            if param.param_type_name == "argument":
                record = (_argument_name(param), record[1])
            is_shared = getattr(param, "rich_help_panel", None) == SHARED_PANEL or param.name == "help"
            kind = "Arguments" if param.param_type_name == "argument" else "Options"
            sections[SHARED_PANEL if is_shared else kind].append(record)
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # Any: click's context
        names = [_argument_name(p) for p in self.get_params(ctx) if p.param_type_name == "argument"]
        return ["[OPTIONS]", *names]


def _argument_name(param: Any) -> str:  # Any: a click parameter
    """`SOURCE`, or `[ENTRYPOINT]` if it may be left out."""
    name = str(param.metavar or param.name).upper()
    if name.startswith("["):  # how others write that it may be left out
        name = name.removeprefix("[").removesuffix("]")
    return name if param.required else f"[{name}]"


class Interrupted(BaseException):
    """Ctrl-C while a command line was read or its command loaded; Typer would end without a word."""


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted from error


class LazyGroup(TyperGroup):
    """The root: lists commands from `COMMANDS`, loads the one that is asked for."""

    def __init__(self, **attrs: Any) -> None:  # Any: whatever Typer hands to a group
        super().__init__(**attrs)
        for entry in COMMANDS:
            self.add_command(TyperCommand(entry.name, help=entry.help, rich_help_panel=entry.panel))

    def make_context(self, *args: Any, **extra: Any) -> Any:  # Any: click's classes
        """As Typer does."""
        with _told():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:  # Any: click's classes
        """As Typer does."""
        with _told():
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # Any: click's classes
        """Replace the placeholder by the real command."""
        name, command, rest = super().resolve_command(ctx, args)
        return (name, command if name is None else load_command(name), rest)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # Any: click's classes
        """One section a panel, in the order of `COMMANDS`."""
        width = max(len(entry.name) for entry in COMMANDS)
        for panel in dict.fromkeys(entry.panel for entry in COMMANDS):
            with formatter.section(panel):
                rows = [(e.name.ljust(width), e.help) for e in COMMANDS if e.panel == panel]
                formatter.write_dl(rows)


def load_command(name: str) -> Any:  # Any: a click command
    """The real command of that name, its module loaded."""
    entry = next(e for e in COMMANDS if e.name == name)
    module = import_module(f"chains_cli.commands.{entry.module}")
    command = typer.main.get_command(module.app)
    command.name = name
    return command


def make_typer(help: str | None = None) -> typer.Typer:
    """A Typer app in our manner: plain text help, `-h`, no completion options, no traceback dressing."""
    return typer.Typer(
        help=help,
        add_completion=False,
        rich_markup_mode=None,
        context_settings=CONTEXT,
        pretty_exceptions_enable=False,
        no_args_is_help=False,
    )


def tool_version() -> str:
    """The version of the installed distribution; "unknown" in a bare source tree."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("chains-toolchain")
    except PackageNotFoundError:
        return "unknown"


def _version(value: bool) -> None:
    if value:
        typer.echo(f"chains {tool_version()}")
        raise typer.Exit


root = typer.Typer(
    cls=LazyGroup,
    add_completion=True,
    rich_markup_mode=None,
    context_settings=CONTEXT,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)


@root.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Pipelines of several models and processing steps, written as typed Python."""


def run(args: Sequence[str], obj: object) -> int:
    """Run one command line; returns its exit status. Errors of the command line are raised."""
    command = typer.main.get_command(root)
    status = command.main(list(args), prog_name="chains", standalone_mode=False, obj=obj)
    return status if isinstance(status, int) else 0


__all__ = [
    "COMMANDS",
    "CONTEXT",
    "SHARED_PANEL",
    "Entry",
    "Interrupted",
    "LazyGroup",
    "PlainCommand",
    "UsageError",
    "load_command",
    "make_typer",
    "root",
    "run",
    "tool_version",
]
