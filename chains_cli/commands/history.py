"""`chains history`"""

from contextlib import closing
from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import ChainArgument, Cli, command

app = make_typer()


@command(app)
def history(
    cli: Cli,
    chain: ChainArgument,
    *,
    deployment: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only this deployment, or `development`."),
    ] = None,
) -> int:
    """List what changed a chain: deployments, patches, promotions, and replicas that ended. Times are UTC."""
    from chains_cli.console.status import history_lines
    from chains_cli.operations.inspect import history as run

    with cli.console() as console, closing(cli.connect(console.show, start=False)) as remote:
        result = run(remote, chain, deployment)
        return console.finish(result, lambda p: history_lines(result, p))
