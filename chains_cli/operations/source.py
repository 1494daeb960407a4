"""FILE -> ChainSpec, with the events that go with it."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from chains_cli import events
from chains_cli.discovery.discover import MockOption, discover
from chains_cli.discovery.process import Children
from chains_cli.events import Report
from chains_cli.settings import Settings
from chains_protocol.errors import Code, Diagnostic, Severity
from chains_protocol.spec import ChainSpec


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to read the file. `mocks` are values of `--mock`; `children` may hold a Python to read it."""

    chain_name: str | None = None
    mocks: tuple[str, ...] = ()
    python: str | None = None
    children: Children | None = field(default=None, compare=False)


def read_chain(
    source: Path,
    entrypoint: str | None,
    settings: Settings,
    *,
    options: SourceOptions,
    report: Report,
    environ: Mapping[str, str] = os.environ,
) -> ChainSpec:
    """The chain that `source` declares; warnings and notes are reported.

    Raises:
        DiagnosticsError: CH1xx.
    """
    if (conflict := truss_conflict()) is not None:
        report(events.Found(conflict))
    spec = discover(
        settings.cwd / source,
        entrypoint,
        python=options.python,
        chain_name=options.chain_name,
        mocks=[MockOption.parse(m) for m in absolute_mocks(options.mocks, settings.cwd)],
        report_output=lambda line: report(events.UserOutput(line)),
        environ=environ,
        children=options.children,
    )
    for note in spec.notes:
        report(events.Found(note))
    return spec


def absolute_mocks(values: Iterable[str], cwd: Path) -> tuple[str, ...]:
    """The values of `--mock` with files as absolute paths.

    Raises:
        DiagnosticsError: CH127.
    """
    options = [MockOption.parse(text) for text in values]
    return tuple(
        f"{o.name}={(cwd / o.file).resolve()}:{o.class_name}" if o.file else f"{o.name}=auto" for o in options
    )


def truss_conflict(find: Callable[[str], object] = distribution) -> Diagnostic | None:
    """A warning if another distribution with a `truss_chains` of its own is installed here.

    Args:
        find: looks an installed distribution up by name; raises `PackageNotFoundError`.
    """
    try:
        find("truss")
    except PackageNotFoundError:
        return None
    return Diagnostic(
        code=Code.TRUSS_INSTALLED,
        severity=Severity.WARNING,
        message="the distribution `truss` is installed beside chains and brings a `truss_chains` of its own; "
        "remove it: `pip uninstall truss`, then `pip install --force-reinstall chains-toolchain`",
    )


__all__ = ["SourceOptions", "absolute_mocks", "read_chain", "truss_conflict"]
