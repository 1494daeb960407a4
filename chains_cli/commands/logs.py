"""`chains logs`"""

from contextlib import closing
from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import ChainArgument, Cli, command

app = make_typer()


@command(app)
def logs(
    cli: Cli,
    chain: ChainArgument,
    chainlet: Annotated[str | None, typer.Argument(metavar="CHAINLET", help="Only this chainlet.")] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
    deployment: Annotated[
        str | None,
        typer.Option(metavar="ID", help="A deployment or `development`. Default: the newest."),
    ] = None,
    since: Annotated[float | None, typer.Option(metavar="SECONDS", help="Only the last SECONDS.")] = None,
) -> int:
    """Show what the replicas of a chain wrote. Times are UTC."""
    from chains_cli.operations.inspect import logs as run

    start = None if since is None else cli.world.clock() - since
    with cli.console() as console, closing(cli.connect(console.show, start=False)) as remote:
        result = run(
            remote,
            chain,
            console.show,
            chainlet=chainlet,
            selector=deployment,
            follow=follow,
            since=start,
        )
        return console.finish(result, lambda p: ())
