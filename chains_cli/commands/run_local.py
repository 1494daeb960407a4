"""`chains run-local`"""

from typing import Annotated

import typer

from chains_cli.app import make_typer
from chains_cli.commands.shared import (
    Cli,
    EntrypointArgument,
    MockOption,
    PythonOption,
    SourceArgument,
    command,
)

app = make_typer()


@command(app)
def run_local(
    cli: Cli,
    source: SourceArgument,
    entrypoint: EntrypointArgument = None,
    *,
    input: Annotated[
        str | None,
        typer.Option(
            "--input", "-i", metavar="JSON|@FILE|-", help="The input. Without it: show what it looks like."
        ),
    ] = None,
    mock: MockOption = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Copy, validate, time out and retry calls as a network would.")
    ] = False,
    secret: Annotated[
        list[str] | None,
        typer.Option("--secret", metavar="NAME=VALUE", help="A secret of the context; may be repeated."),
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option("--data-dir", metavar="DIR", help="The data directory of the context.")
    ] = None,
    record: Annotated[
        str | None,
        typer.Option(
            "--record", metavar="FILE", help="Write each call between chainlets to FILE, secrets hidden."
        ),
    ] = None,
    replay: Annotated[
        str | None,
        typer.Option("--replay", metavar="FILE", help="Answer calls of chainlets from a recorded FILE."),
    ] = None,
    replay_chainlets: Annotated[
        str | None,
        typer.Option(
            "--replay-chainlets",
            metavar="A,B",
            help="The chainlets to replay; all recorded ones if not given.",
        ),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it over HTTP on this machine; a save reloads it.")
    ] = False,
    port: Annotated[
        int,
        typer.Option("--port", metavar="PORT", min=0, max=65535, help="Where to serve; 0: any free port."),
    ] = 8000,
    python: PythonOption = None,
) -> int:
    """Run the chain in SOURCE in one process on this machine."""
    from chains_cli.console.run_local import local_lines, serve_lines
    from chains_cli.operations.inputs import read_input
    from chains_cli.operations.run_local import LocalOptions
    from chains_cli.operations.run_local import run_local as run
    from chains_cli.operations.serve_local import serve_local

    if serve and input is not None:
        raise typer.BadParameter("choose one of --serve and --input")
    if record is not None and input is None:
        raise typer.BadParameter("--record needs --input: a call to record")
    if replay_chainlets is not None and replay is None:
        raise typer.BadParameter("--replay-chainlets needs --replay")
    secrets = dict(_secret(text) for text in secret or ())
    with cli.console() as console:
        options = LocalOptions(
            None if input is None else read_input(input, cwd=cli.settings.cwd, stdin=cli.world.stdin),
            tuple(mock or ()),
            strict,
            secrets,
            None if data_dir is None else cli.path(data_dir),
            python,
            None if record is None else cli.path(record),
            None if replay is None else cli.path(replay),
            tuple(name for name in (replay_chainlets or "").split(",") if name),
        )
        if serve:
            served = serve_local(
                cli.path(source),
                entrypoint,
                cli.settings,
                options=options,
                port=port,
                report=console.show,
                environ=cli.world.environ,
            )
            return console.finish(served, lambda p: serve_lines(served))
        result = run(
            cli.path(source),
            entrypoint,
            cli.settings,
            options=options,
            report=console.show,
            environ=cli.world.environ,
        )
        console.fail(result.diagnostics)
        return console.finish(result, lambda p: local_lines(result, source, p))


def _secret(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter("write NAME=VALUE", param_hint="--secret")
    return name, value
