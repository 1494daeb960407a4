"""`chains list`"""

from contextlib import closing

from chains_cli.app import make_typer
from chains_cli.commands.shared import Cli, command

app = make_typer()


@command(app, "list")
def list_(cli: Cli) -> int:
    """List the chains of the remote."""
    from chains_cli.console.status import list_lines
    from chains_cli.operations.inspect import list_chains

    with cli.console() as console, closing(cli.connect(console.show, start=False)) as remote:
        result = list_chains(remote, cli.world.clock())
        return console.finish(result, lambda p: list_lines(result, p))
