"""`chains check`"""

from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import (
    Cli,
    EntrypointArgument,
    MockOption,
    NameOption,
    PythonOption,
    SourceArgument,
    command,
)

app = make_typer()

_FORMATS = ("text", "json", "github", "sarif")


@command(app)
def check(
    cli: Cli,
    source: SourceArgument,
    entrypoint: EntrypointArgument = None,
    *,
    format: Annotated[
        str, typer.Option("--format", metavar="|".join(_FORMATS), help="How to print what was found.")
    ] = "text",
    types: Annotated[bool, typer.Option("--types", help="Run mypy on the file, too.")] = False,
    name: NameOption = None,
    mock: MockOption = None,
    python: PythonOption = None,
) -> int:
    """Report everything that is wrong with the chain in SOURCE.

    Runs the file once, as a push does, and builds the packages in memory. Contacts nobody.
    """
    from chains_cli.console.formats import check_lines
    from chains_cli.operations.check import check as run
    from chains_cli.operations.source import SourceOptions

    if format not in _FORMATS:
        raise typer.BadParameter(f"`{format}` is not one of {', '.join(_FORMATS)}", param_hint="--format")
    options = SourceOptions(name, tuple(mock or ()), python, cli.world.children)
    with cli.console() as console:
        result = run(
            cli.path(source),
            entrypoint,
            cli.settings,
            options=options,
            report=console.show,
            environ=cli.world.environ,
            types=types,
        )
        return console.finish(result, lambda p: check_lines(result, format, cli.settings.cwd, p))
