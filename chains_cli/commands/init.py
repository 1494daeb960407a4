"""`chains init`"""

from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import Cli, command

app = make_typer()

_TEMPLATES = ("hello", "poems", "rag", "streaming")


@command(app)
def init(
    cli: Cli,
    directory: Annotated[
        str, typer.Argument(metavar="DIR", help="A new or empty directory. Default: the current one.")
    ] = ".",
    template: Annotated[
        str, typer.Option("--template", "-t", metavar="|".join(_TEMPLATES), help="What to start from.")
    ] = "hello",
) -> int:
    """Write a chain that runs, with a test."""
    from chains_cli.console.init import init_lines
    from chains_cli.operations.init import Template
    from chains_cli.operations.init import init as run

    if template not in _TEMPLATES:
        raise typer.BadParameter(
            f"`{template}` is not one of {', '.join(_TEMPLATES)}", param_hint="--template"
        )
    with cli.console() as console:
        result = run(cli.path(directory), Template(template))
        return console.finish(result, lambda p: init_lines(result, cli.settings.cwd, p))
