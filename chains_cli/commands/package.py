"""`chains package`"""

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


@command(app)
def package(
    cli: Cli,
    source: SourceArgument,
    entrypoint: EntrypointArgument = None,
    *,
    out: Annotated[
        str, typer.Option("--out", metavar="DIR", help="Where to write; one directory a chainlet.")
    ],
    target: Annotated[
        str,
        typer.Option(
            "--target",
            metavar="process|truss",
            help="Who runs them: our own replicas, or any Truss server, with our runtime inside.",
        ),
    ] = "process",
    name: NameOption = None,
    mock: MockOption = None,
    python: PythonOption = None,
) -> int:
    """Write the packages of the chain in SOURCE to a directory. Contacts nobody."""
    from chains_cli.console.package import package_lines
    from chains_cli.operations.packages import package as run
    from chains_cli.operations.source import SourceOptions

    if target not in ("process", "truss"):
        raise typer.BadParameter(f"`{target}` is not one of process, truss", param_hint="--target")
    with cli.console() as console:
        result = run(
            cli.path(source),
            entrypoint,
            cli.path(out),
            cli.settings,
            options=SourceOptions(name, tuple(mock or ()), python, cli.world.children),
            report=console.show,
            environ=cli.world.environ,
            target="truss" if target == "truss" else "process",
        )
        return console.finish(result, lambda p: package_lines(result, cli.settings.cwd))
