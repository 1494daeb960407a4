"""Starts the child before the command line is read, so that both processes load what they need at once.

Light: the tool's own libraries are loaded after it. A wrong guess costs a process that is ended
unused; `Children.take` compares the guess with what was chosen.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from chains_cli.discovery.process import Child, Children
from chains_cli.interpreters import Interpreter, choose_interpreter

_READERS: Final = frozenset({"check", "graph", "package", "push"})
"""Commands whose first argument is a file that is read."""


def start_early(argv: Sequence[str], environ: Mapping[str, str]) -> Children:
    """Start the child that the command line will want, if that is plain to see."""
    if len(argv) < 2 or argv[0] not in _READERS or any(word.startswith("--python") for word in argv):
        return Children()
    source = Path(argv[1])
    if source.suffix != ".py" or not source.is_file():
        return Children()
    try:
        return Children(Child(child_command(choose_interpreter(source, None, environ)), environ))
    except OSError:  # the command will meet it again, and tell
        return Children()


def child_command(interpreter: Interpreter) -> tuple[str, ...]:
    """The command line of a child, without its file descriptors."""
    return (interpreter.executable, str(Path(__file__).with_name("child.py")))


__all__ = ["child_command", "start_early"]
