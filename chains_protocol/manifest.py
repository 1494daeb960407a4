"""What a package says about itself, and what a Chain of packages says."""

from typing import Final

from pydantic import Field

from chains_protocol.base import Frozen
from chains_protocol.digest import Digest, tree_digest
from chains_protocol.paths import RelativePath
from chains_protocol.spec import ChainletSpec
from chains_protocol.version import PROTOCOL_VERSION

SPEC_FILE: Final = "chains.json"
"""In a package's root: its `ChainletSpec` as canonical JSON."""

SOURCE_DIR: Final = "packages"
"""In a package's root: what goes on the replica's `sys.path`."""


WRAPPED_FILE: Final = "truss.json"
"""In the root of a package that wraps a Truss: its config with all defaults, as JSON, for our replicas."""


class FileEntry(Frozen):
    """One file of a package: POSIX path below its root, SHA-256 of its bytes, their number."""

    path: RelativePath
    digest: Digest
    size_bytes: int = Field(ge=0)


class EnvironmentSpec(Frozen):
    """What a Chainlet's environment is built from: PEP 508 lines, sorted, and a Python minor version.

    A line may end with hashes as pip writes them. `constraints` bind what requirements bring along.
    """

    python_version: str = Field(pattern=r"^3\.\d+$")
    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()


class PackageManifest(Frozen):
    """A package: its files, its digest (over paths and contents), its spec and its environment."""

    digest: Digest
    files: tuple[FileEntry, ...]
    spec: ChainletSpec
    environment: EnvironmentSpec

    def computed_digest(self) -> str:
        """The digest that `files` really have; differs from `digest` in a forged manifest."""
        return tree_digest({entry.path: entry.digest for entry in self.files})


class ChainManifest(Frozen):
    """All packages of a Chain, dependencies first. `entrypoint` is a display name."""

    protocol: int = PROTOCOL_VERSION
    chain_name: str
    entrypoint: str
    packages: tuple[PackageManifest, ...]

    def package(self, display_name: str) -> PackageManifest:
        """The package of that Chainlet; `KeyError` if there is none."""
        for found in self.packages:
            if found.spec.display_name == display_name:
                return found
        raise KeyError(display_name)


__all__ = [
    "SOURCE_DIR",
    "SPEC_FILE",
    "WRAPPED_FILE",
    "ChainManifest",
    "EnvironmentSpec",
    "FileEntry",
    "PackageManifest",
]
