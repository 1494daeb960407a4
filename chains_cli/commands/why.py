"""`chains why`"""

from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import Cli, EntrypointArgument, PythonOption, command

app = make_typer()


@command(app)
def why(
    cli: Cli,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file of the chain.")],
    entrypoint: EntrypointArgument = None,
    *,
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="SOURCE", help="The file that declares the chain. Default: FILE."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="COMMIT", help="Compare with this commit. Default: the last one."),
    ] = None,
    python: PythonOption = None,
) -> int:
    """Tell which chainlets FILE reaches, and what its edit since a commit would need.

    The same judgement that watch makes on a save. Contacts nobody.
    """
    from chains_cli.console.why import why_lines
    from chains_cli.operations.source import SourceOptions
    from chains_cli.operations.why import why as run

    with cli.console() as console:
        result = run(
            cli.path(file),
            cli.path(source or file),
            entrypoint,
            cli.settings,
            options=SourceOptions(None, (), python),
            since=since,
            report=console.show,
            environ=cli.world.environ,
        )
        return console.finish(result, lambda p: why_lines(result, p))
