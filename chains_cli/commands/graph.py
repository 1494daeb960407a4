"""`chains graph`"""

from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import (
    Cli,
    EntrypointArgument,
    NameOption,
    PythonOption,
    SourceArgument,
    command,
)

app = make_typer()

_FORMATS = ("tree", "mermaid", "json")


@command(app)
def graph(
    cli: Cli,
    source: SourceArgument,
    entrypoint: EntrypointArgument = None,
    *,
    format: Annotated[
        str, typer.Option("--format", metavar="|".join(_FORMATS), help="How to print the graph.")
    ] = "tree",
    name: NameOption = None,
    python: PythonOption = None,
) -> int:
    """Show who calls whom in the chain in SOURCE."""
    from chains_cli.console.graph import graph_lines
    from chains_cli.operations.graph import graph as run
    from chains_cli.operations.source import SourceOptions

    if format not in _FORMATS:
        raise typer.BadParameter(f"`{format}` is not one of {', '.join(_FORMATS)}", param_hint="--format")
    with cli.console() as console:
        result = run(
            cli.path(source),
            entrypoint,
            cli.settings,
            options=SourceOptions(name, (), python, cli.world.children),
            report=console.show,
            environ=cli.world.environ,
        )
        return console.finish(result, lambda p: graph_lines(result, format, p))
