"""`chains delete`"""

from contextlib import closing
from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import ChainArgument, Cli, command

app = make_typer()


@command(app)
def delete(
    cli: Cli,
    chain: ChainArgument,
    *,
    deployment: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only this deployment, or `development`."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Stop and delete a chain with all its deployments, or one deployment."""
    from chains_cli.console.operate import delete_lines
    from chains_cli.operations.operate import delete as run

    what = f"chain `{chain}`" if deployment is None else f"deployment `{deployment}` of `{chain}`"
    if not yes:
        cli.confirm(f"Delete {what}?", option="--yes")
    with cli.console() as console, closing(cli.connect(console.show, start=False)) as remote:
        result = run(remote, chain, deployment)
        return console.finish(result, lambda p: delete_lines(result))
