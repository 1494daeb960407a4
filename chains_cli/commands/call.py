"""`chains call`"""

from contextlib import closing
from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import ChainArgument, Cli, command

app = make_typer()


@command(app)
def call(
    cli: Cli,
    chain: ChainArgument,
    *,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", metavar="JSON|@FILE|-", help="The input."),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Call what this environment points at."),
    ] = None,
    deployment: Annotated[str | None, typer.Option(metavar="ID", help="Call this deployment.")] = None,
    development: Annotated[
        bool, typer.Option("--development", help="Call the development deployment.")
    ] = False,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="Give up after this time.")] = None,
) -> int:
    """Call a deployed chain and print its answer.

    Without a choice of deployment: production if it exists, else the newest that is active.
    """
    from chains_cli.console.call import call_lines
    from chains_cli.operations.call import CallOptions
    from chains_cli.operations.call import call as run
    from chains_cli.operations.inputs import read_input

    if sum((environment is not None, deployment is not None, development)) > 1:
        raise typer.BadParameter("choose one of --environment, --deployment and --development")
    options = CallOptions(environment, deployment, development, timeout)
    with cli.console() as console:
        document = None if data is None else read_input(data, cwd=cli.settings.cwd, stdin=cli.world.stdin)
        with closing(cli.connect(console.show)) as remote:
            result = run(remote, chain, document, options=options, report=console.show)
        return console.finish(result, lambda p: call_lines(result))
