"""`chains secrets`"""

from contextlib import closing
from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import Cli, command

app = make_typer("Set, list and delete secrets. Values are never shown and never stand on a command line.")

SecretArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the secret.")]


@command(app, "set")
def set_(cli: Cli, name: SecretArgument) -> int:
    """Store a secret; its value is asked for, or read from standard input."""
    from chains_cli.console.operate import secrets_lines
    from chains_cli.operations.operate import set_secret

    value = cli.ask_secret(f"Value of {name}")
    with cli.console() as console, closing(cli.connect(console.show)) as remote:
        result = set_secret(remote, name, value)
        return console.finish(result, lambda p: secrets_lines(result, "is set"))


@command(app, "list")
def list_(cli: Cli) -> int:
    """List the names of the secrets."""
    from chains_cli.console.operate import secrets_lines
    from chains_cli.operations.operate import list_secrets

    with cli.console() as console, closing(cli.connect(console.show, start=False)) as remote:
        result = list_secrets(remote)
        return console.finish(result, lambda p: secrets_lines(result))


@command(app)
def delete(cli: Cli, name: SecretArgument) -> int:
    """Delete a secret; replicas that run keep what they got."""
    from chains_cli.console.operate import secrets_lines
    from chains_cli.operations.operate import delete_secret

    with cli.console() as console, closing(cli.connect(console.show, start=False)) as remote:
        result = delete_secret(remote, name)
        return console.finish(result, lambda p: secrets_lines(result, "is deleted"))
