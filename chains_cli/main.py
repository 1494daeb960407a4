"""The console script. It loads nothing, `typing` neither, before it can tell that it was interrupted."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from chains_cli.settings import World

_COLLECTED_AT = (50_000, 20, 20)
"""Loading libraries and packaging makes many objects and little garbage: Python looks for it less often."""


def main(argv: Sequence[str] | None = None, world: World | None = None) -> int:
    """`chains_cli.command_line.run`; interrupted while that is still being loaded, it says so, too.

    As the console script (no `argv`), SIGTERM ends a command the way Ctrl-C does: a supervisor, or a
    shell whose background jobs ignore SIGINT, has no other.
    """
    try:
        if argv is None and world is None:
            return _run_script()
        from chains_cli.command_line import run

        return run(argv, world)
    except KeyboardInterrupt:
        import signal

        # the rest takes a moment and must not end in a traceback
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        from chains_cli.command_line import interrupted

        return interrupted(argv, world)


def _run_script() -> int:
    """Run this process's own command line; the user's file is read by a Python that is started first."""
    import gc
    import signal

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    gc.set_threshold(*_COLLECTED_AT)
    import os
    import sys

    _open_closed(sys, os)
    from chains_cli.discovery.early import start_early

    children = start_early(sys.argv[1:], os.environ)
    try:
        from chains_cli.command_line import run
        from chains_cli.settings import World

        return run(None, World.real(children))
    finally:
        children.close()
        gc.freeze()  # all ends now: looking through it for garbage would take a tenth of a short command


def _open_closed(sys: ModuleType, os: ModuleType) -> None:
    """A standard stream that the caller closed is an empty one; its number must not go to another file."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 (no `pathlib` yet; lives as long as we do)


__all__ = ["main"]
