"""`chains status`"""

from contextlib import closing
from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import Cli, command

app = make_typer()


@command(app)
def status(
    cli: Cli,
    chain: Annotated[
        str | None,
        typer.Argument(metavar="CHAIN", help="Name of the chain. Default: all."),
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Show deployments that stopped, too.")] = False,
) -> int:
    """Show what runs, since when, and why something does not."""
    from chains_cli.console.status import status_lines
    from chains_cli.operations.inspect import status as run

    with cli.console() as console, closing(cli.connect(console.show, start=False)) as remote:
        result = run(remote, chain, cli.world.clock(), everything=everything)
        return console.finish(result, lambda p: status_lines(result, p, verbose=cli.settings.verbose))
