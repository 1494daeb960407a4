"""`chains rollback`"""

from contextlib import closing
from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import ChainArgument, Cli, command

app = make_typer()


@command(app)
def rollback(
    cli: Cli,
    chain: ChainArgument,
    *,
    environment: Annotated[str, typer.Option(metavar="NAME", help="The environment.")] = "production",
) -> int:
    """Point an environment back at the deployment it had before."""
    from chains_cli.console.operate import environment_lines
    from chains_cli.operations.operate import rollback as run

    with cli.console() as console, closing(cli.connect(console.show, start=False)) as remote:
        result = run(remote, chain, environment)
        return console.finish(result, lambda p: environment_lines(result, p))
