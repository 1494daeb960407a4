"""`chains undo`"""

from contextlib import closing
from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import ChainArgument, Cli, command

app = make_typer()


@command(app)
def undo(
    cli: Cli,
    chain: ChainArgument,
    *,
    to: Annotated[
        int | None,
        typer.Option(
            "--to", metavar="VERSION", min=1, help="The version to bring back. Default: the one before."
        ),
    ] = None,
) -> int:
    """Bring back the previous version of the development deployment.

    Repeated, it walks further back. Requests that are under way end on the version they began with.
    """
    from chains_cli.console.versions import undo_lines
    from chains_cli.operations.versions import undo as run

    with cli.console() as console, closing(cli.connect(console.show, start=False)) as remote:
        result = run(remote, chain, to)
        console.fail(result.diagnostics)
        return console.finish(result, lambda p: undo_lines(result, p))
