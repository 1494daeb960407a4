"""`chains affected`"""

from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import Cli, PythonOption, command

app = make_typer()


@command(app)
def affected(
    cli: Cli,
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Files that declare chains.")],
    *,
    since: Annotated[str, typer.Option("--since", metavar="COMMIT", help="Compare with this commit.")],
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with status 1 if any chainlet is affected.")
    ] = False,
    python: PythonOption = None,
) -> int:
    """Tell which chainlets the changes since a commit reach, and what each needs.

    Compares the files as they are with the commit, which is not checked out. Contacts nobody.
    """
    from chains_cli.console.why import affected_lines
    from chains_cli.operations.affected import affected as run
    from chains_cli.operations.source import SourceOptions

    with cli.console() as console:
        result = run(
            [cli.path(source) for source in sources],
            cli.settings,
            since=since,
            use_exit_code=exit_code,
            options=SourceOptions(None, (), python),
            report=console.show,
            environ=cli.world.environ,
        )
        return console.finish(result, lambda p: affected_lines(result, p))
