"""FILE -> ChainSpec -> packages: what check, package, push and watch have in common."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from chains_cli import events
from chains_cli.discovery import MockOption, discover
from chains_cli.events import Report
from chains_cli.exits import Exit
from chains_cli.packaging.build import build_packages
from chains_cli.packaging.package import ChainPackages
from chains_cli.packaging.write import write_packages
from chains_cli.settings import Settings
from chains_protocol.errors import Code, Diagnostic, Severity
from chains_protocol.spec import ChainSpec


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to read the file. `mocks` are values of `--mock`."""

    chain_name: str | None = None
    mocks: tuple[str, ...] = ()
    python: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A chain that was read, and its packages."""

    spec: ChainSpec
    packages: ChainPackages

    @property
    def input_schema(self) -> Mapping[str, object]:
        """JSON Schema of the entrypoint's input."""
        return self.spec.chainlet(self.spec.entrypoint).spec.endpoint.input_schema


@dataclass(frozen=True, slots=True)
class PackageResult:
    """Where the packages were written; `sizes` maps a display name to the bytes of its files."""

    chain: str
    directory: str
    sizes: Mapping[str, int]
    exit_code: int = Exit.OK


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
        mocks=[MockOption.parse(text) for text in options.mocks],
        report_output=lambda line: report(events.UserOutput(line)),
        environ=environ,
    )
    for note in spec.notes:
        report(events.Found(note))
    return spec


def prepare(
    source: Path,
    entrypoint: str | None,
    settings: Settings,
    *,
    options: SourceOptions,
    report: Report,
    environ: Mapping[str, str] = os.environ,
) -> Prepared:
    """`read_chain`, then its packages.

    Raises:
        DiagnosticsError: CH1xx, CH2xx.
    """
    spec = read_chain(source, entrypoint, settings, options=options, report=report, environ=environ)
    packages = build_packages(spec)
    for note in packages.notes:
        report(events.Found(note))
    return Prepared(spec, packages)


def package(
    source: Path,
    entrypoint: str | None,
    out: Path,
    settings: Settings,
    *,
    options: SourceOptions,
    report: Report,
    environ: Mapping[str, str] = os.environ,
) -> PackageResult:
    """Write the packages of a chain below `out`, one directory a Chainlet; contact nobody.

    Raises:
        DiagnosticsError: CH1xx, CH2xx; CH207 if `out` holds something else.
    """
    prepared = prepare(source, entrypoint, settings, options=options, report=report, environ=environ)
    write_packages(prepared.packages, out)
    sizes = {p.display_name: p.size_bytes for p in prepared.packages}
    return PackageResult(prepared.packages.chain_name, str(out), sizes)


def truss_conflict() -> Diagnostic | None:
    """A warning if another distribution with a `truss_chains` of its own is installed here."""
    try:
        distribution("truss")
    except PackageNotFoundError:
        return None
    return Diagnostic(
        code=Code.TRUSS_INSTALLED,
        severity=Severity.WARNING,
        message="the distribution `truss` is installed beside chains and brings a `truss_chains` of its own",
        help="keep them apart: `pip uninstall truss`, then `pip install --force-reinstall chains-toolchain`",
    )


__all__ = ["PackageResult", "Prepared", "SourceOptions", "package", "prepare", "read_chain", "truss_conflict"]
