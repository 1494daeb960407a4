"""`chains push`"""

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
def push(
    cli: Cli,
    source: SourceArgument,
    entrypoint: EntrypointArgument = None,
    *,
    name: NameOption = None,
    environment: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Promote to this environment when active."),
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="The same as --environment production.")] = False,
    development: Annotated[
        bool,
        typer.Option("--development", help="Make the development deployment, which watch keeps current."),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Make the development deployment, then watch the file.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until every chainlet is active or has failed.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; change nothing.")] = False,
    if_changed: Annotated[
        bool, typer.Option("--if-changed", help="Do nothing at all if this is what runs already.")
    ] = False,
    deployment_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the deployment.")
    ] = None,
    mock: MockOption = None,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Stop waiting after this time."),
    ] = None,
    allow_missing: Annotated[
        list[str] | None,
        typer.Option(metavar="NEED", help="A need that may go unmet, such as gpu; may be repeated."),
    ] = None,
    strict_target: Annotated[
        bool,
        typer.Option("--strict-target", help="Refuse what the target cannot honour, instead of warning."),
    ] = False,
    python: PythonOption = None,
) -> int:
    """Deploy the chain in SOURCE.

    What did not change is not sent, not built and not restarted.
    """
    from contextlib import closing

    from chains_cli.console.push import push_lines
    from chains_cli.operations.packages import prepare
    from chains_cli.operations.push import PushOptions, option_conflict, push_prepared
    from chains_cli.operations.source import SourceOptions

    options = PushOptions(
        chain_name=name,
        environment=environment,
        promote=promote,
        development=development or watch,
        wait=wait or watch,
        dry_run=dry_run,
        if_changed=if_changed,
        deployment_name=deployment_name,
        mocks=tuple(mock or ()),
        timeout_s=timeout,
        allow_missing=tuple(allow_missing or ()),
        strict_target=strict_target,
        python=python,
    )
    if conflict := option_conflict(options):
        raise typer.BadParameter(conflict)
    if watch and not dry_run:
        from chains_cli.commands.watch import run_watch
        from chains_cli.operations.watch import WatchOptions

        followed = WatchOptions(
            chain_name=name,
            mocks=options.mocks,
            python=python,
            allow_missing=options.allow_missing,
            strict_target=strict_target,
        )
        return run_watch(cli, source, entrypoint, followed)
    with cli.console() as console:
        prepared = prepare(  # a chain that is not valid starts no platform
            cli.path(source),
            entrypoint,
            cli.settings,
            options=SourceOptions(name, options.mocks, python, cli.world.children),
            report=console.show,
            environ=cli.world.environ,
        )
        with closing(cli.connect(console.show)) as remote:
            result = push_prepared(prepared, options=options, remote=remote, report=console.show)
        console.fail(result.diagnostics)
        return console.finish(result, lambda p: push_lines(result, p))
