"""One command line in, one exit status out. Nothing escapes as a traceback."""

import sys
from collections.abc import Sequence

import typer

from chains_cli import app
from chains_cli.settings import Flags, Output, World, load_settings

_OUTPUT_OPTIONS = ("--output", "-o")


def run(argv: Sequence[str] | None = None, world: World | None = None) -> int:
    """Run one command line.

    Args:
        argv: the arguments without the program's name; those of this process if not given.
        world: streams, environment and remotes; this process's own if not given.

    Returns:
        The exit status; `chains_cli.exits` names them.
    """
    argv = sys.argv[1:] if argv is None else argv
    world = world or World.real()
    try:
        return app.run(argv, world)
    except app.UsageError as error:
        return _usage(error, argv, world)
    except SystemExit as error:  # Click ends so when a reader has closed the pipe
        return _pipe_closed(error, world)
    except (typer.Abort, app.Interrupted):  # the former: a prompt that was answered with no
        return _failed(KeyboardInterrupt(), argv, world)
    except Exception as error:
        return _failed(error, argv, world)


def _failed(error: BaseException, argv: Sequence[str], world: World) -> int:
    from chains_cli.failures import report_failure

    settings = load_settings(_flags(argv, world), environ=_without_output(world), cwd=world.cwd)
    return report_failure(error, settings, world)


def _without_output(world: World) -> dict[str, str]:
    """The environment without a `CHAINS_OUTPUT` that may be wrong; the flags hold what it says."""
    return {name: value for name, value in world.environ.items() if name != "CHAINS_OUTPUT"}


def _pipe_closed(error: SystemExit, world: World) -> int:
    if isinstance(error.__context__, OSError):
        return _failed(BrokenPipeError(), (), world)
    return error.code if isinstance(error.code, int) else 1


def _flags(argv: Sequence[str], world: World) -> Flags:
    """The flags that matter before the command line could be read."""
    chosen = world.environ.get("CHAINS_OUTPUT", "")
    for at, word in enumerate(argv):
        option, equals, value = word.partition("=")
        if option in _OUTPUT_OPTIONS:
            chosen = value if equals else "".join(argv[at + 1 : at + 2])
    return Flags(output=Output.JSON if chosen == Output.JSON else Output.TEXT)


def _usage(error: Exception, argv: Sequence[str], world: World) -> int:
    """Tell what is wrong with the command line: status 2, or 0 where the help was the answer."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    status = int(getattr(error, "exit_code", 2))
    if type(error).__name__ == "NoArgsIsHelpError":
        world.stdout.write(message.rstrip() + "\n")
        return status
    if _flags(argv, world).output is Output.JSON:
        from chains_cli.console.encode import json_line

        fields = {"ok": False, "exit_code": status, "error": message}
        world.stdout.write(json_line("result", fields) + "\n")
        return status
    path = context.command_path if context is not None else "chains"
    message = message[:1].lower() + message[1:].rstrip(".")
    world.stderr.write(f"error: {message}\nhelp: `{path} --help` lists what there is\n")
    return status


def interrupted(argv: Sequence[str] | None = None, world: World | None = None) -> int:
    """Tell that the user ended the program before `run` could; returns the exit status."""
    return _failed(KeyboardInterrupt(), sys.argv[1:] if argv is None else argv, world or World.real())


__all__ = ["interrupted", "run"]
