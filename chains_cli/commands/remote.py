"""`chains remote`"""

from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import Cli, command

app = make_typer("Name the platforms that `--remote` may go to. Tokens are never shown.")

RemoteArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the remote.")]


@command(app)
def add(
    cli: Cli,
    name: RemoteArgument,
    *,
    url: Annotated[str, typer.Option("--url", metavar="URL", help="URL of its control plane.")],
) -> int:
    """Name a platform; its token is asked for, or read from standard input."""
    from chains_cli.console.remotes import changed_lines
    from chains_cli.operations.remotes import add_remote

    token = cli.ask_secret(f"Token of {name}").strip()
    with cli.console() as console:
        result = add_remote(cli.settings.home, name, url, token)
        return console.finish(result, lambda p: changed_lines(result, "is a remote"))


@command(app, "list")
def list_(cli: Cli) -> int:
    """List the remotes; the one used when none is asked for is marked."""
    from chains_cli.console.remotes import remote_lines
    from chains_cli.operations.remotes import list_remotes

    with cli.console() as console:
        result = list_remotes(cli.settings.home)
        return console.finish(result, lambda p: remote_lines(result, p))


@command(app)
def use(cli: Cli, name: RemoteArgument) -> int:
    """Use this remote when none is asked for; `local` is the platform of this machine."""
    from chains_cli.console.remotes import changed_lines
    from chains_cli.operations.remotes import use_remote

    with cli.console() as console:
        result = use_remote(cli.settings.home, name)
        return console.finish(result, lambda p: changed_lines(result, "is used from now on"))


@command(app)
def remove(cli: Cli, name: RemoteArgument) -> int:
    """Forget a remote and its token; what runs there goes on."""
    from chains_cli.console.remotes import changed_lines
    from chains_cli.operations.remotes import remove_remote

    with cli.console() as console:
        result = remove_remote(cli.settings.home, name)
        return console.finish(result, lambda p: changed_lines(result, "is forgotten"))
