"""`chains why`"""

from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import Cli, EntrypointArgument, PythonOption, command

app = make_typer()


@command(app)
def why(
    cli: Cli,
    file: Annotated[
        str, typer.Argument(metavar="FILE[:LINE]", help="A file of the chain, or one line of it.")
    ],
    entrypoint: EntrypointArgument = None,
    *,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="SOURCE",
            help="The file that declares the chain. Default: FILE, else the one near it.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="COMMIT", help="Compare with this commit. Default: the last one."),
    ] = None,
    python: PythonOption = None,
) -> int:
    """Tell which chainlets FILE reaches, and what its edit since a commit would need.

    With a LINE: which symbol stands there, who reaches it and through what, and what an edit
    of it would need. The same judgement that watch makes on a save. Contacts nobody.
    """
    from chains_cli.console.why import why_lines
    from chains_cli.operations.declaring import declaring_file
    from chains_cli.operations.source import SourceOptions
    from chains_cli.operations.why import file_and_line
    from chains_cli.operations.why import why as run

    name, line = file_and_line(file, cli.settings.cwd)
    with cli.console() as console:
        result = run(
            cli.path(name),
            cli.path(source) if source else declaring_file(cli.path(name)),
            entrypoint,
            cli.settings,
            options=SourceOptions(None, (), python),
            since=since,
            line=line,
            report=console.show,
            environ=cli.world.environ,
        )
        return console.finish(result, lambda p: why_lines(result, p))
