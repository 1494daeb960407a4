"""Everything that is wrong with a chain, as data."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chains_cli import events
from chains_cli.events import Report
from chains_cli.exits import Exit, diagnostics_exit
from chains_cli.interpreters import choose_interpreter
from chains_cli.operations.packages import prepare
from chains_cli.operations.source import SourceOptions
from chains_cli.operations.types import check_types
from chains_cli.settings import Settings
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, sort_diagnostics

_UNREADABLE: Final = {
    Code.SOURCE_NOT_FOUND,
    Code.SOURCE_NOT_A_FILE,
    Code.SYNTAX_ERROR,
    Code.INTERPRETER_UNUSABLE,
}
"""A file about which mypy has nothing to add."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """All diagnostics, sorted by place; without errors also what the chain is."""

    diagnostics: tuple[Diagnostic, ...]
    chain: str | None = None
    entrypoint: str | None = None
    chainlets: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return Exit.INVALID if diagnostics_exit(self.diagnostics) else Exit.OK


def check(
    source: Path,
    entrypoint: str | None,
    settings: Settings,
    *,
    options: SourceOptions,
    report: Report,
    environ: Mapping[str, str] = os.environ,
    types: bool = False,
) -> CheckResult:
    """Read the chain and build its packages in memory; nothing is written or sent.

    `types` also runs mypy on the file, unless it is no readable Python file.
    """
    found: list[Diagnostic] = []

    def collect(event: events.Event) -> None:
        if isinstance(event, events.Found):
            found.append(event.diagnostic)
        else:
            report(event)

    try:
        prepared = prepare(source, entrypoint, settings, options=options, report=collect, environ=environ)
    except DiagnosticsError as error:
        found += error.diagnostics
        if types and not _UNREADABLE & {d.code for d in error.diagnostics}:
            path = settings.cwd / source
            found += check_types(path, choose_interpreter(path, options.python, environ).executable, environ)
        return CheckResult(sort_diagnostics(found))
    if types:
        found += check_types(Path(prepared.spec.source), prepared.spec.python.executable, environ)
    packages = prepared.packages
    names = tuple(package.display_name for package in packages)
    return CheckResult(sort_diagnostics(found), packages.chain_name, packages.entrypoint, names)


__all__ = ["CheckResult", "check"]
