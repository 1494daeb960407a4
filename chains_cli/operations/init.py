"""Write a chain that runs, with a test, into a directory."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from chains_cli.exits import Exit
from chains_cli.templates import template_root
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError

SOURCE_NAME = "chain.py"
_SKIPPED = frozenset({"__pycache__", ".pytest_cache"})


class Template(StrEnum):
    """Directories of `templates/init`; each is also the name of the chain it declares."""

    HELLO = "hello"
    POEMS = "poems"
    RAG = "rag"
    STREAMING = "streaming"


EXAMPLE_INPUTS = {
    Template.HELLO: '{"names": ["Ada", "Grace"]}',
    Template.POEMS: '{"words": ["bird", "plane"]}',
    Template.RAG: '{"question": "What is a chainlet?"}',
    Template.STREAMING: '{"name": "Ada"}',
}
"""An input that each template answers; its README and our tests use it."""


@dataclass(frozen=True, slots=True)
class InitResult:
    """What was written: `files` are paths below `directory`."""

    directory: str
    template: Template
    files: tuple[str, ...]
    exit_code: int = Exit.OK


def init(directory: Path, template: Template, root: Path | None = None) -> InitResult:
    """Copy a template into `directory`, which is made, or is empty.

    Raises:
        DiagnosticsError: CH207 if there is something already, or it can't be written.
    """
    source = (root or template_root()) / "init" / template.value
    _check_free(directory)
    files = _files(source)
    try:
        for name in files:
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise _refused(f"`{directory}` cannot be written: {why}") from error
    return InitResult(str(directory), template, tuple(files))


def _files(source: Path) -> Sequence[str]:
    found = (p.relative_to(source) for p in source.rglob("*") if p.is_file())
    return sorted(p.as_posix() for p in found if _SKIPPED.isdisjoint(p.parts))


def _check_free(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        message = f"`{directory}` is a file, not a directory"
    elif directory.is_dir() and any(directory.iterdir()):
        message = f"the directory `{directory}` is not empty"
    else:
        return
    raise _refused(message)


def _refused(message: str) -> DiagnosticsError:
    remedy = "name a new or an empty directory, for example `chains init my_chain`"
    return DiagnosticsError([Diagnostic(code=Code.OUTPUT_NOT_EMPTY, message=message, help=remedy)])


__all__ = ["EXAMPLE_INPUTS", "SOURCE_NAME", "InitResult", "Template", "init"]
