"""`chains doctor`"""

from chains_cli.app import make_typer
from chains_cli.commands.shared import Cli, command

app = make_typer()


@command(app)
def doctor(cli: Cli) -> int:
    """Find what is wrong with this machine. Exits 1 if something is."""
    from chains_cli.console.doctor import doctor_lines
    from chains_cli.operations.doctor import doctor as run

    with cli.console() as console:
        result = run(cli.settings.home, cli.world.environ)
        return console.finish(result, lambda p: doctor_lines(result, p))
