"""`chains platform`"""

from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import Cli, command

app = make_typer("Start, stop and inspect the platform of this machine. A push starts it by itself.")


@command(app)
def up(cli: Cli) -> int:
    """Start the platform, unless it runs already."""
    from chains_cli.console.platform import platform_lines
    from chains_cli.operations.platform import up as run

    with cli.console() as console:
        result = run(cli.settings.home, cli.world.environ, console.show)
        return console.finish(result, lambda p: platform_lines(result, p))


@command(app)
def down(cli: Cli) -> int:
    """Stop the platform with everything that runs on it; what is deployed starts again with `up`."""
    from chains_cli.console.platform import platform_lines
    from chains_cli.operations.platform import down as run

    with cli.console() as console:
        result = run(cli.settings.home, cli.world.environ, console.show)
        return console.finish(result, lambda p: platform_lines(result, p))


@command(app)
def status(cli: Cli) -> int:
    """Show whether the platform runs, and where. Exits 4 if it does not."""
    from chains_cli.console.platform import platform_lines
    from chains_cli.operations.platform import status as run

    with cli.console() as console:
        result = run(cli.settings.home)
        return console.finish(result, lambda p: platform_lines(result, p))


@command(app)
def run(
    cli: Cli,
    *,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Where to listen. Default: 127.0.0.1.")
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="PORT", help="Default: that of the last start.")] = None,
) -> int:
    """Run the platform in the foreground, its log on this terminal."""
    from chains_cli.operations.platform import run_in_foreground

    with cli.console() as console:
        return run_in_foreground(cli.settings.home, cli.world.environ, console.show, host=host, port=port)


@command(app)
def logs(
    cli: Cli,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
) -> int:
    """Show what the platform's own processes wrote."""
    from chains_cli.operations.platform import logs as run

    with cli.console() as console:
        result = run(cli.settings.home, console.show, follow=follow)
        return console.finish(result, lambda p: ())


@command(app)
def gc(
    cli: Cli,
    *,
    older_than: Annotated[
        float,
        typer.Option(metavar="MINUTES", min=0, help="Keep what a push sent or wanted since."),
    ] = 10.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count; remove nothing.")] = False,
) -> int:
    """Remove packages, files and environments that no deployment needs any more."""
    from contextlib import closing

    from chains_cli.console.platform import gc_lines
    from chains_cli.operations.platform import collect as run

    with cli.console() as console, closing(cli.connect(console.show, start=False)) as remote:
        result = run(remote, older_than_s=older_than * 60, dry_run=dry_run)
        return console.finish(result, lambda p: gc_lines(result))
