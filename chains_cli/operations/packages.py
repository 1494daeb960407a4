"""FILE -> packages: what check, package, push and watch have in common.

Packaging is loaded while the child interpreter reads the user's file: neither waits for the other.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chains_cli import events
from chains_cli.events import Report
from chains_cli.exits import Exit
from chains_cli.operations.places import in_workspace, places_in
from chains_cli.operations.source import SourceOptions, read_chain
from chains_cli.settings import Settings
from chains_protocol.spec import ChainSpec

if TYPE_CHECKING:
    from chains_cli.packaging.build import Target
    from chains_cli.packaging.package import ChainPackages, Package


@dataclass(frozen=True, slots=True)
class Prepared:
    """A chain that was read, and its packages."""

    spec: ChainSpec
    packages: "ChainPackages"

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


def prepare(
    source: Path,
    entrypoint: str | None,
    settings: Settings,
    *,
    options: SourceOptions,
    report: Report,
    environ: Mapping[str, str] = os.environ,
    target: "Target" = "process",
) -> Prepared:
    """`read_chain`, then its packages.

    Raises:
        DiagnosticsError: CH1xx, CH2xx.
    """
    loading = threading.Thread(target=_load_packaging, daemon=True)
    loading.start()
    spec = read_chain(source, entrypoint, settings, options=options, report=report, environ=environ)
    loading.join()
    packages = _build(spec, settings, target)
    for note in packages.notes:
        report(events.Found(in_workspace(note, spec.workspace)))
    return Prepared(spec, packages)


def _load_packaging() -> None:
    from chains_cli.packaging import build  # noqa: F401 (is used when the spec is there)
    from chains_cli.packaging.render import package_renderer

    package_renderer().warm_up()


def _build(spec: ChainSpec, settings: Settings, target: "Target") -> "ChainPackages":
    """The packages; digests of large files are kept for the next time."""
    from chains_cli.packaging.build import build_packages
    from chains_cli.packaging.digests import KeptDigests
    from chains_cli.packaging.reader import ContentCache, WorkspaceReader

    digests = KeptDigests(settings.home / "cache" / "digests.json")
    reader = WorkspaceReader(Path(spec.workspace), ContentCache(digests=digests))
    with places_in(spec.workspace):
        packages = build_packages(spec, reader=reader, target=target)
    digests.save()
    return packages


def package(
    source: Path,
    entrypoint: str | None,
    out: Path,
    settings: Settings,
    *,
    options: SourceOptions,
    report: Report,
    environ: Mapping[str, str] = os.environ,
    target: "Target" = "process",
) -> PackageResult:
    """Write the packages of a chain below `out`, one directory a Chainlet; contact nobody.

    Raises:
        DiagnosticsError: CH1xx, CH2xx; CH207 if `out` holds something else.
    """
    prepared = prepare(
        source, entrypoint, settings, options=options, report=report, environ=environ, target=target
    )
    for built in prepared.packages:
        report(events.Step(f"  {built.display_name}:", detail=True))
        report_files(built, report)
    from chains_cli.packaging.write import write_packages

    write_packages(prepared.packages, out)
    sizes = {p.display_name: p.size_bytes for p in prepared.packages}
    return PackageResult(prepared.packages.chain_name, str(out), sizes)


def report_files(built: "Package", report: Report) -> None:
    """Tell each file of a package, and why it is there."""
    for entry in built.manifest.files:
        reason = built.origins.get(entry.path, "")
        report(events.PackageFile(built.display_name, entry.path, entry.size_bytes, reason))


__all__ = ["PackageResult", "Prepared", "package", "prepare", "report_files"]
