"""`chains publish`"""

from contextlib import closing
from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import ChainArgument, Cli, command

app = make_typer()


@command(app)
def publish(
    cli: Cli,
    chain: ChainArgument,
    *,
    environment: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Promote to this environment when active."),
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="The same as --environment production.")] = False,
    deployment_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the deployment.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until every chainlet is active or has failed.")
    ] = True,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Stop waiting after this time."),
    ] = None,
) -> int:
    """Publish exactly what the development deployment runs, without the workspace."""
    from chains_cli.console.push import push_lines
    from chains_cli.operations.push import PushOptions, option_conflict
    from chains_cli.operations.versions import publish as run

    options = PushOptions(
        environment=environment,
        promote=promote,
        deployment_name=deployment_name,
        wait=wait,
        timeout_s=timeout,
    )
    if conflict := option_conflict(options):
        raise typer.BadParameter(conflict)
    with cli.console() as console, closing(cli.connect(console.show, start=False)) as remote:
        result = run(remote, chain, options=options, report=console.show)
        console.fail(result.diagnostics)
        return console.finish(result, lambda p: push_lines(result, p))
