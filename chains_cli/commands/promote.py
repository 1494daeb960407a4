"""`chains promote`"""

from contextlib import closing
from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import ChainArgument, Cli, command

app = make_typer()


@command(app)
def promote(
    cli: Cli,
    chain: ChainArgument,
    *,
    environment: Annotated[str, typer.Option(metavar="NAME", help="The environment.")] = "production",
    deployment: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The deployment. Default: the newest that runs."),
    ] = None,
) -> int:
    """Point an environment at a deployment. No request fails meanwhile."""
    from chains_cli.console.operate import environment_lines
    from chains_cli.operations.operate import promote as run

    with cli.console() as console, closing(cli.connect(console.show, start=False)) as remote:
        result = run(remote, chain, environment, deployment)
        return console.finish(result, lambda p: environment_lines(result, p))
