"""What must hold for a manifest before anything is done with it. Pure."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.manifest import SPEC_FILE, ChainManifest, PackageManifest
from chains_protocol.version import PROTOCOL_VERSION

NAME: Final = re.compile(r"[0-9a-zA-Z_.-]{1,128}")
"""Names that may stand in a URL: of chains, environments, deployments, secrets."""


def check_manifest(manifest: ChainManifest, chain: str) -> tuple[Diagnostic, ...]:
    """Everything that is wrong with it; empty if it can be deployed as `chain`."""
    if manifest.protocol != PROTOCOL_VERSION:
        return (
            Diagnostic(
                code=Code.PROTOCOL_MISMATCH,
                message=f"the manifest speaks protocol {manifest.protocol}, this platform {PROTOCOL_VERSION}",
                help="use a tool and a platform of the same version",
            ),
        )
    return tuple(_problems(manifest, chain))


def require_manifest(manifest: ChainManifest, chain: str) -> None:
    """Raise `DiagnosticsError` if the manifest can't be deployed as `chain`."""
    found = check_manifest(manifest, chain)
    if found:
        raise DiagnosticsError(found)


def _problems(manifest: ChainManifest, chain: str) -> Iterator[Diagnostic]:
    if manifest.chain_name != chain:
        yield _bad(f"the manifest is of chain `{manifest.chain_name}`, the address of `{chain}`")
    if not NAME.fullmatch(chain):
        yield _bad(f"`{chain}` can't be the name of a chain")
    names = [p.spec.display_name for p in manifest.packages]
    for name, count in sorted(Counter(names).items()):
        if count > 1:
            yield _bad(f"the manifest has {count} packages for `{name}`")
    if manifest.entrypoint not in names:
        yield _bad(f"the manifest has no package for its entrypoint `{manifest.entrypoint}`")
    seen: set[str] = set()
    for package in manifest.packages:
        yield from _package_problems(package)
        for dependency in package.spec.dependencies:
            if dependency.display_name not in names:
                yield _bad(
                    f"`{package.spec.display_name}` depends on `{dependency.display_name}`, "
                    "which has no package"
                )
            elif dependency.display_name not in seen:
                yield _bad(
                    f"`{dependency.display_name}` has to come before `{package.spec.display_name}`, "
                    "which depends on it"
                )
        seen.add(package.spec.display_name)


def _package_problems(package: PackageManifest) -> Iterator[Diagnostic]:
    name = package.spec.display_name
    if package.computed_digest() != package.digest:
        yield _bad(f"the digest of `{name}` is not that of its files", Code.BLOB_MISMATCH)
    paths = [entry.path for entry in package.files]
    if SPEC_FILE not in paths:
        yield _bad(f"the package of `{name}` has no `{SPEC_FILE}`", Code.BAD_PACKAGE)
    folded = Counter(path.casefold() for path in paths)
    for path in sorted(paths):
        if folded[path.casefold()] > 1:
            yield _bad(f"`{path}` of `{name}` is there twice, or differs from another path only in case")
    directories = {p[:i].casefold() for p in paths for i, c in enumerate(p) if c == "/"}
    for path in sorted(paths):
        if path.casefold() in directories:
            yield _bad(f"`{path}` of `{name}` is a file and a directory")


def _bad(message: str, code: Code = Code.BAD_REQUEST) -> Diagnostic:
    return Diagnostic(
        code=code, message=message, help="package the chain again with this version of the tool"
    )


__all__ = ["NAME", "check_manifest", "require_manifest"]
