"""`chains watch`"""

from typing import TYPE_CHECKING, Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import (
    Cli,
    EntrypointArgument,
    MockOption,
    NameOption,
    PythonOption,
    SourceArgument,
    command,
)

if TYPE_CHECKING:
    from chains_cli.operations.watch import WatchOptions

app = make_typer()


@command(app)
def watch(
    cli: Cli,
    source: SourceArgument,
    entrypoint: EntrypointArgument = None,
    *,
    name: NameOption = None,
    chainlets: Annotated[
        str | None, typer.Option("--chainlets", metavar="A,B", help="Patch only these chainlets.")
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Tell which symbols changed, and how each chainlet reaches them."),
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Bring the deployment up to date once, then end; for CI.")
    ] = False,
    smoke: Annotated[
        str | None,
        typer.Option(
            "--smoke",
            metavar="JSON|@FILE",
            help="Call the new version with this input before it becomes visible.",
        ),
    ] = None,
    mock: MockOption = None,
    python: PythonOption = None,
) -> int:
    """Keep the development deployment of the chain in SOURCE current while you edit.

    Makes the deployment if there is none. Each save does the lightest thing that is safe, for
    each chainlet by itself; a save that cannot be loaded changes nothing that runs.
    """
    from chains_cli.operations.inputs import read_input
    from chains_cli.operations.watch import WatchOptions

    given = None if smoke is None else read_input(smoke, cwd=cli.settings.cwd, stdin=cli.world.stdin)
    options = WatchOptions(
        chain_name=name,
        chainlets=tuple(filter(None, (part.strip() for part in (chainlets or "").split(",")))),
        explain=explain,
        once=once,
        smoke=given,
        mocks=tuple(mock or ()),
        python=python,
    )
    return run_watch(cli, source, entrypoint, options)


def run_watch(cli: Cli, source: str, entrypoint: str | None, options: "WatchOptions") -> int:
    """Watch until the user ends it; also the second half of `chains push --watch`."""
    from contextlib import closing

    from chains_cli.console.watch import watch_lines
    from chains_cli.events import in_turn
    from chains_cli.operations.watch import read_watched
    from chains_cli.operations.watch import watch as run

    with cli.console() as console:
        report = in_turn(console.show)
        watched = read_watched(  # a chain that is not valid starts no platform
            cli.path(source),
            entrypoint,
            cli.settings,
            options=options,
            report=report,
            environ=cli.world.environ,
            children=cli.world.children,
        )
        with closing(cli.connect(console.show)) as remote:
            result = run(watched, remote=remote, report=report)
        console.fail(result.diagnostics)
        return console.finish(result, lambda p: watch_lines(result, p))
